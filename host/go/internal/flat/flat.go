//go:build !cgo || !wif_library

// Package flat runs the state machine as a core module behind a flat interface, in wazero: guest/flat says what its functions take and give.
package flat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"wif/internal/contract"
	"wif/internal/embedded"
)

// pageBytes is a page of memory.
const pageBytes = 65_536

// patience is how long a call may take. An interpreted one takes up to 60 ms, for an identity token of 16 KiB; on a busy machine it waits, too.
const patience = 5 * time.Second

// interpretedSessions are interpreted: to compile the module takes longer than all steps of such a few, in the life of most processes. It
// needs memory that can be executed, too, and is not there for every processor. What is opened later is compiled.
const interpretedSessions = 8

var (
	opened      atomic.Int64
	interpreted = sync.OnceValues(func() (*code, error) { return load(embedded.Module, wazero.NewRuntimeConfigInterpreter()) })
	compiled    = sync.OnceValues(func() (*code, error) { return load(embedded.Module, wazero.NewRuntimeConfig()) })
)

// code is a module that was loaded into a runtime.
type code struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

func load(module []byte, config wazero.RuntimeConfig) (*code, error) {
	ctx := context.Background()
	pages := uint32(contract.Authority.Limits.MemoryBytes / pageBytes)
	// A call whose time is over is ended, for which it looks at each loop.
	made := wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(pages).WithCloseOnContextDone(true))
	loaded, err := made.CompileModule(ctx, module)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the module cannot be used: %w", err), made.Close(ctx))
	}
	return &code{made, loaded}, nil
}

// Session is one session, in an instance of its own.
type Session struct {
	module  api.Module
	session uint64
	// stopped is why no call can follow.
	stopped error
}

// longestAnswer is in bytes: an output with a journal and an entry, each as long as it may be and written as JSON.
const longestAnswer = 4 << 20

// Open opens a session. Its error is a *contract.Refusal, or why there is no instance.
func Open(opening contract.Opening) (*Session, error) {
	text, err := contract.JSON(opening)
	if err != nil {
		return nil, err
	}
	return OpenText(text)
}

// OpenText is Open for those who have the opening as JSON.
func OpenText(opening []byte) (*Session, error) {
	loaded := interpreted
	if opened.Add(1) > interpretedSessions {
		loaded = compiled
	}
	code, err := loaded()
	if err != nil {
		return nil, err
	}
	return code.open(opening)
}

func (c *code) open(opening []byte) (*Session, error) {
	ctx := context.Background()
	module, err := c.runtime.InstantiateModule(ctx, c.module, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, fmt.Errorf("it cannot be instantiated: %w", err)
	}
	session := &Session{module: module}
	answer, err := session.call("wif_open", nil, opening)
	if err != nil {
		session.Close()
		return nil, err
	}
	var given struct {
		Session *uint64           `json:"session"`
		Refused *contract.Refusal `json:"refused"`
		Form    string            `json:"form"`
	}
	err = json.Unmarshal(answer, &given)
	switch {
	case err != nil:
		err = errors.New("what it gave is no JSON")
	case given.Refused != nil:
		err = given.Refused
	case given.Form != "":
		err = &Form{given.Form}
	case given.Session == nil:
		err = errors.New("it gave no session")
	}
	if err != nil {
		session.Close()
		return nil, err
	}
	session.session = *given.Session
	return session, nil
}

// Form says that a text has not the form of the contract. The session lives on.
type Form struct{ What string }

func (f *Form) Error() string { return f.What }

// Step takes a clock and an event, and gives an output.
func (s *Session) Step(now contract.Clock, event contract.Event) (contract.Output, error) {
	var output contract.Output
	clock, err := contract.JSON(now)
	if err != nil {
		return output, err
	}
	text, err := contract.JSON(event)
	if err != nil {
		return output, err
	}
	answer, err := s.StepText(clock, text)
	clear(text)
	if err != nil {
		return output, err
	}
	if err := json.Unmarshal(answer, &output); err != nil {
		return output, errors.New("what it gave is no output")
	}
	clear(answer)
	return output, nil
}

// StepText is Step for those who have all of it as JSON.
func (s *Session) StepText(clock, event []byte) ([]byte, error) {
	return s.formed(s.call("wif_step", &s.session, clock, event))
}

// Status takes a clock, and gives a status.
func (s *Session) Status(now contract.Clock) (json.RawMessage, error) {
	clock, err := contract.JSON(now)
	if err != nil {
		return nil, err
	}
	return s.StatusText(clock)
}

// StatusText is Status for those who have the clock as JSON.
func (s *Session) StatusText(clock []byte) (json.RawMessage, error) {
	return s.formed(s.call("wif_status", &s.session, clock))
}

// EntryKey is the key of this identity's entry in a store: a text of JSON, or null.
func (s *Session) EntryKey() (json.RawMessage, error) {
	return s.formed(s.call("wif_entry_key", &s.session))
}

// Close ends the instance. Its memory goes.
func (s *Session) Close() { s.stop(errors.New("it was closed")) }

func (s *Session) stop(why error) {
	if s.stopped == nil {
		s.stopped = why
		// The token and the journal are in it.
		if memory := s.module.Memory(); memory != nil {
			if all, there := memory.Read(0, memory.Size()); there {
				clear(all)
			}
		}
		// Nothing can be done about an error, and there is none.
		_ = s.module.Close(context.Background())
	}
}

func (s *Session) formed(answer []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var form struct {
		Form string `json:"form"`
	}
	// An output has no member of this name.
	if len(answer) < 1000 && json.Unmarshal(answer, &form) == nil && form.Form != "" {
		return nil, &Form{form.Form}
	}
	return answer, nil
}

// call hands texts over and takes an answer. Any error is the end of the instance: nobody knows what it was in the middle of.
func (s *Session) call(name string, session *uint64, texts ...[]byte) ([]byte, error) {
	if s.stopped != nil {
		return nil, fmt.Errorf("no call can follow: %w", s.stopped)
	}
	answer, err := s.called(name, session, texts...)
	if err != nil {
		s.stop(err)
	}
	return answer, err
}

func (s *Session) called(name string, session *uint64, texts ...[]byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var arguments []uint64
	if session != nil {
		arguments = append(arguments, *session)
	}
	for _, text := range texts {
		address, err := s.invoke(ctx, "wif_allocate", uint64(len(text)))
		if err != nil {
			return nil, err
		}
		if !s.module.Memory().Write(uint32(address), text) {
			return nil, errors.New("it gave a place that is outside of its memory")
		}
		arguments = append(arguments, address, uint64(len(text)))
	}
	packed, err := s.invoke(ctx, name, arguments...)
	if err != nil {
		return nil, err
	}
	address, length := uint32(packed>>32), uint32(packed)
	if length > longestAnswer {
		return nil, errors.New("its answer is too long")
	}
	view, there := s.module.Memory().Read(address, length)
	if !there {
		return nil, errors.New("its answer is outside of its memory")
	}
	answer := append([]byte(nil), view...)
	_, err = s.invoke(ctx, "wif_release", uint64(address), uint64(length))
	return answer, err
}

func (s *Session) invoke(ctx context.Context, name string, arguments ...uint64) (uint64, error) {
	function := s.module.ExportedFunction(name)
	if function == nil {
		return 0, fmt.Errorf("it has no function %s", name)
	}
	results, err := function.Call(ctx, arguments...)
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("%s took too long", name)
	case err != nil:
		return 0, fmt.Errorf("%s: %w", name, err)
	case len(results) == 0:
		return 0, nil
	}
	return results[0], nil
}
