// Package executable runs the program that the configuration names as the source of identity tokens, and finds the token in its output.
//
// No shell reads the command, and the program has no variable of this process but those that are named.
package executable

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"wif/internal/contract"
	"wif/internal/files"
)

const (
	// No program prints more to its standard output, in bytes: a token is a quarter of it at most.
	maxOutput = 64 << 10
	// So much is shown of what it says to its standard error, in bytes.
	maxShown = 500
	// A shorter value of a variable is no secret, in bytes.
	secretFrom = 6
)

// What Google's programs are told by, and may insist on.
const (
	googleAudience    = "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"
	googleTokenType   = "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE"
	googleInteractive = "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE"
)

// So many programs are being started at once. A file system that does not answer keeps the places, and with each a thread.
var starting = make(chan struct{}, 16)

// Run runs a program and takes the token out of what it prints. It is given the variables of this process that are named, and is told the
// audience. When the context is done it ends, with what it has started. Whether it may run is checked before. The outcome is content or
// failed.
func Run(ctx context.Context, command, environment []string, audience string) contract.Outcome {
	if len(command) == 0 || !filepath.IsAbs(command[0]) {
		return contract.Failed("the configuration names no program by its absolute path")
	}
	token, err := newProgram(ctx, command, environment, audience).run(ctx)
	if err != nil {
		return contract.Failed(fmt.Sprintf("%s %s", command[0], err))
	}
	return contract.Content(token)
}

// program is one that runs once.
type program struct {
	command        *exec.Cmd
	output, words  io.ReadCloser
	passed         []variable
	late           error
	printed, spoke chan []byte
}

type variable struct{ name, value string }

func newProgram(ctx context.Context, command, environment []string, audience string) *program {
	p := &program{late: lateness(ctx), printed: make(chan []byte, 1), spoke: make(chan []byte, 1)}
	p.command = &exec.Cmd{Path: command[0], Args: command, SysProcAttr: inGroup()}
	p.command.Env = []string{googleAudience + "=" + audience, googleTokenType + "=" + tokenTypes[0], googleInteractive + "=0"}
	for _, name := range environment {
		if value, ok := lookup(name); ok {
			p.passed = append(p.passed, variable{name, value})
			p.command.Env = append(p.command.Env, name+"="+value)
		}
	}
	return p
}

// lookup is the variable's value. A name that no variable can have is absent.
func lookup(name string) (string, bool) {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return "", false
	}
	return os.LookupEnv(name)
}

// lateness is what is said where the context ends the program.
func lateness(ctx context.Context) error {
	if until, ok := ctx.Deadline(); ok {
		return fmt.Errorf("gave no answer within %d ms", max(0, time.Until(until)).Round(time.Millisecond).Milliseconds())
	}
	return errors.New("was ended, for nobody waits for it any longer")
}

func (p *program) run(ctx context.Context) (string, error) {
	if err := p.start(ctx); err != nil {
		return "", err
	}
	output, words, err := p.listen(ctx)
	if err != nil {
		p.end()
		return "", err
	}
	if err := p.wait(ctx); err != nil {
		return "", err
	}
	token, err := tokenIn(output)
	status := p.command.ProcessState
	var refused refusal
	switch {
	case err == nil && status.Success():
		return token, nil
	case !status.Success() && !errors.As(err, &refused):
		err = ended(status)
	}
	return "", fmt.Errorf("%w%s", err, said(words, p.passed))
}

// start starts it, and has both of its outputs read. It holds nobody up: the file system may not answer.
func (p *program) start(ctx context.Context) error {
	select {
	case starting <- struct{}{}:
	case <-ctx.Done():
		return p.late
	}
	begun := make(chan error, 1)
	go func() {
		defer func() { <-starting }()
		begun <- p.begin()
	}()
	select {
	case err := <-begun:
		if err != nil {
			return fmt.Errorf("cannot be run: %w", files.Reason(err))
		}
	case <-ctx.Done():
		go func() {
			if <-begun == nil {
				p.end()
			}
		}()
		return p.late
	}
	go func() { p.printed <- printed(p.output) }()
	go func() { p.spoke <- wordsOf(p.words, p.longestPassed()) }()
	return nil
}

func (p *program) begin() (err error) {
	if p.output, err = p.command.StdoutPipe(); err != nil {
		return err
	}
	if p.words, err = p.command.StderrPipe(); err != nil {
		return err
	}
	return p.command.Start()
}

// listen waits until both outputs end.
func (p *program) listen(ctx context.Context) (output, words []byte, err error) {
	select {
	case output = <-p.printed:
	case <-ctx.Done():
		return nil, nil, p.late
	}
	if len(output) > maxOutput {
		return nil, nil, fmt.Errorf("printed more than %d bytes, and no token is so long", maxOutput)
	}
	select {
	case words = <-p.spoke:
	case <-ctx.Done():
		return nil, nil, p.late
	}
	return output, words, nil
}

// wait waits for its end: it may have closed its outputs and go on.
func (p *program) wait(ctx context.Context) error {
	waited := make(chan error, 1)
	go func() { waited <- p.command.Wait() }()
	select {
	case err := <-waited:
		var status *exec.ExitError
		if err != nil && !errors.As(err, &status) {
			return fmt.Errorf("cannot be waited for: %w", files.Reason(err))
		}
		return nil
	case <-ctx.Done():
		// It may end in this moment: then its number is nobody's yet.
		killGroup(p.command.Process)
		return p.late
	}
}

// end ends it, with what it has started. Nobody reads any longer what it prints, for it may end late, nor what those do that have left its
// group.
func (p *program) end() {
	killGroup(p.command.Process)
	_, _ = p.output.Close(), p.words.Close()
	go p.command.Wait()
}

// printed is what it prints, to one byte more than it may. What was read before a fault is judged as it is.
func printed(output io.Reader) []byte {
	bytes, _ := io.ReadAll(io.LimitReader(output, maxOutput+1))
	return bytes
}

// wordsOf is the beginning of what it says, with the whole of each value that begins in it. The rest is read, too, or the program would
// stop in the middle.
func wordsOf(words io.Reader, longestValue int) []byte {
	reader := bufio.NewReader(words)
	// White space before it is no part of it, however much there is.
	for next, err := reader.ReadByte(); err == nil; next, err = reader.ReadByte() {
		if !isSpace(next) {
			_ = reader.UnreadByte()
			break
		}
	}
	bytes, _ := io.ReadAll(io.LimitReader(reader, int64(maxShown+longestValue)))
	_, _ = io.Copy(io.Discard, reader)
	return bytes
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func (p *program) longestPassed() (longest int) {
	for _, variable := range p.passed {
		longest = max(longest, len(variable.value))
	}
	return longest
}

func ended(status *os.ProcessState) error {
	if code := status.ExitCode(); code >= 0 {
		return fmt.Errorf("ended with exit code %d", code)
	}
	return errors.New("was ended by a signal")
}

// said is what it says for itself, unless that repeats what it was given. The component leaves out what looks like a token.
func said(words []byte, passed []variable) string {
	for _, variable := range passed {
		// Not every program repeats the end of a line.
		value := strings.TrimSpace(variable.value)
		if len(value) >= secretFrom && strings.Contains(string(words), value) {
			return ". What it says is withheld, for it repeats a variable"
		}
	}
	text := strings.TrimRightFunc(strings.ToValidUTF8(string(words), string(utf8.RuneError)), unicode.IsSpace)
	if text == "" {
		return ""
	}
	return ". It says: " + cut(text, maxShown)
}

// cut is no longer than so many bytes, and ends with a whole character.
func cut(text string, length int) string {
	if len(text) <= length {
		return text
	}
	for !utf8.RuneStart(text[length]) {
		length--
	}
	return text[:length]
}
