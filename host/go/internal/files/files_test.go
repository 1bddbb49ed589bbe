//go:build unix

package files

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wif/internal/contract"
)

// The tests run this program once more, as another process with this to do.
const role = "WIF_TEST_OF_FILES"

const key = "0123abcd"

func TestMain(m *testing.M) {
	what, where, _ := strings.Cut(os.Getenv(role), " ")
	switch what {
	case "":
		os.Exit(m.Run())
	case "count":
		must(count(where))
	case "hold":
		held, err := lockOf(context.Background(), where)
		must(err)
		fmt.Println("held")
		_, _ = io.Copy(io.Discard, os.Stdin)
		must(held.release())
	case "write":
		must(writeForEver(where))
	}
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// another is a process that does this. Its input ends when the test says so.
type another struct {
	*exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
}

func start(t *testing.T, command *exec.Cmd) *another {
	t.Helper()
	input, err := command.StdinPipe()
	check(t, err)
	output, err := command.StdoutPipe()
	check(t, err)
	command.Stderr = os.Stderr
	check(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() })
	return &another{command, input, bufio.NewReader(output)}
}

func process(t *testing.T, what, where string) *another {
	t.Helper()
	program, err := os.Executable()
	check(t, err)
	command := exec.Command(program)
	command.Env = append(os.Environ(), role+"="+what+" "+where)
	return start(t, command)
}

// says waits for a line.
func (a *another) says(t *testing.T, expected string) {
	t.Helper()
	line, _ := a.output.ReadString('\n')
	equal(t, strings.TrimSpace(line), expected)
}

// ends lets it end, and waits for that.
func (a *another) ends(t *testing.T) {
	t.Helper()
	check(t, a.input.Close())
	said, _ := io.ReadAll(a.output)
	if err := a.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// policy is what the tests allow.
type policy struct {
	profiles, credentials string
	directories           []string
	limited               bool
	asked                 func()
}

func (p policy) DirectoryOfProfile(string) (string, bool) { return p.profiles, p.profiles != "" }
func (p policy) IsCredentials(path string) bool           { return p.credentials != "" && p.credentials == path }
func (p policy) Directories() ([]string, bool) {
	if p.asked != nil {
		p.asked()
	}
	return p.directories, p.limited
}

// Calls are the same for all tests.
func (policy) Calls() Calls { return callsOfTests }

var callsOfTests = NewCalls()

func below(directories ...string) policy { return policy{directories: directories, limited: true} }

// place is a directory of this user's alone, without links.
func place(t *testing.T) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	check(t, os.Chmod(path, 0o700))
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(content), 0o600))
	check(t, os.Chmod(path, 0o600))
}

func reads(path string, places Places) contract.Outcome {
	return Read(context.Background(), contract.FileRequest{Path: path, MaxBytes: 1_000_000, Protection: "any"}, places)
}

func store(t *testing.T, path string) *Directory {
	t.Helper()
	store, err := OpenDirectory(path)
	check(t, err)
	return store
}

func load(t *testing.T, store *Directory, key string) *contract.Entry {
	t.Helper()
	entry, err := store.Load(context.Background(), key)
	check(t, err)
	return entry
}

// swapTo gives the new version; empty where another entry is there.
func swapTo(t *testing.T, store *Directory, expected *string, value string) string {
	t.Helper()
	version, _, err := store.Swap(context.Background(), key, expected, value)
	check(t, err)
	return version
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, got, expected T) {
	t.Helper()
	if got != expected {
		t.Fatalf("%#v, where %#v is expected", got, expected)
	}
}

func contains(t *testing.T, text any, part string) {
	t.Helper()
	if shown := fmt.Sprint(text); !strings.Contains(shown, part) {
		t.Fatalf("%q is not in %q", part, shown)
	}
}

// is fails unless the outcome is this one. Of a text, the expected part is in it.
func is(t *testing.T, outcome contract.Outcome, tag, part string) {
	t.Helper()
	if outcome.Tag != tag {
		t.Fatalf("%s %v, where %s is expected", outcome.Tag, outcome.Payload, tag)
	}
	if part != "" {
		contains(t, outcome.Payload, part)
	}
}

const (
	counters = 8
	counts   = 12
)

// count adds to the number in the store, as several that share an identity.
func count(directory string) error {
	var all sync.WaitGroup
	failures := make(chan error, counters)
	for range counters {
		all.Go(func() {
			for range counts {
				if err := addOne(directory); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failures)
	return <-failures
}

func addOne(directory string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := OpenDirectory(directory)
	if err != nil {
		return err
	}
	entry, err := store.Load(ctx, key)
	for err == nil {
		number, expected := 0, (*string)(nil)
		if entry != nil {
			number, _ = strconv.Atoi(entry.Value)
			expected = &entry.Version
		}
		var version string
		if version, entry, err = store.Swap(ctx, key, expected, strconv.Itoa(number+1)); version != "" {
			return nil
		}
	}
	return err
}

// writeForEver ends only with the process.
func writeForEver(directory string) error {
	store, err := OpenDirectory(directory)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		entry, err := store.Load(context.Background(), key)
		if err != nil {
			return err
		}
		var expected *string
		if entry != nil {
			expected = &entry.Version
		}
		if version, _, err := store.Swap(context.Background(), key, expected, wholeValue(i)); err != nil || version == "" {
			return errors.Join(err, errors.New("somebody else wrote"))
		}
		if i == 0 {
			fmt.Println("writes")
		}
	}
}

// wholeValue says how long it is.
func wholeValue(i int) string {
	length := 1 + i*7919%200_000
	return fmt.Sprintf("%d:%s", length, strings.Repeat("v", length))
}

func isWhole(value string) bool {
	length, rest, ok := strings.Cut(value, ":")
	return ok && length == strconv.Itoa(len(rest)) && strings.Trim(rest, "v") == ""
}
