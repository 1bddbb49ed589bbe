//go:build unix

package files

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wif/internal/contract"
)

func TestNoFileIsLongerThanAny(t *testing.T) {
	path, most := filepath.Join(place(t), "token"), contract.Authority.Limits.ContentBytes
	read := func(maxBytes uint32) contract.Outcome {
		return Read(context.Background(), contract.FileRequest{Path: path, MaxBytes: maxBytes, Protection: "any"}, policy{})
	}
	write(t, path, strings.Repeat("a", most))
	outcome := read(1 << 31)
	is(t, outcome, "content", "")
	equal(t, len(outcome.Payload.(string)), most)
	is(t, read(1_000), "failed", "the file is longer than 1000 bytes")
	write(t, path, strings.Repeat("a", most+1))
	is(t, read(1<<31), "failed", "the file is longer than 1048576 bytes")
	write(t, path, "abc")
	is(t, read(3), "content", "abc")
	is(t, read(0), "failed", "longer than 0 bytes")
}

// To open it may do something: it lets a writer at a pipe go on.
func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	pipe := filepath.Join(place(t), "pipe")
	check(t, syscall.Mkfifo(pipe, 0o600))
	var goesOn atomic.Bool
	ended := make(chan error, 1)
	go func() {
		// Waits for a reader.
		opened, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		goesOn.Store(true)
		_ = opened.Close()
		ended <- err
	}()
	// It waits there, or will: only what is too late for it would go unnoticed.
	time.Sleep(100 * time.Millisecond)
	outcome := reads(pipe, policy{})
	time.Sleep(100 * time.Millisecond)
	wentOn := goesOn.Load()
	// Both ends at once, which waits for nobody, lets it go.
	both, err := os.OpenFile(pipe, os.O_RDWR, 0)
	check(t, err)
	check(t, <-ended)
	_ = both.Close()
	is(t, outcome, "denied", "regular files only")
	equal(t, wentOn, false)
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	directory := place(t)
	is(t, reads(directory, policy{}), "failed", "it is a directory")
	is(t, reads("/dev/null", policy{}), "denied", "regular files only")
	is(t, reads(filepath.Join(directory, "nothing"), policy{}), "absent", "")
	write(t, filepath.Join(directory, "file"), "x")
	is(t, reads(filepath.Join(directory, "file/token"), policy{}), "absent", "")
	check(t, os.Symlink("loop", filepath.Join(directory, "loop")))
	is(t, reads(filepath.Join(directory, "loop"), policy{}), "failed", "")
}

// A mount is swapped all the time, as a kubelet does it: what it showed before is removed at once.
func TestAFileThatIsSwappedWhileItIsReadIsReadAsAWhole(t *testing.T) {
	root := place(t)
	tokens := []string{"short", strings.Repeat("long", 1_000)}
	show := func(generation int) {
		folder, next := filepath.Join(root, fmt.Sprintf("..%d", generation)), filepath.Join(root, "next")
		must(os.Mkdir(folder, 0o700))
		must(os.WriteFile(filepath.Join(folder, "token"), []byte(tokens[generation%2]), 0o600))
		must(os.Symlink(filepath.Base(folder), next))
		must(os.Rename(next, filepath.Join(root, "..data")))
	}
	show(0)
	check(t, os.Symlink("..data/token", filepath.Join(root, "token")))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for generation := 1; ; generation++ {
			select {
			case <-stop:
				return
			// A kubelet takes a minute; a read takes some fifty microseconds.
			case <-time.After(time.Millisecond):
			}
			show(generation)
			must(os.RemoveAll(filepath.Join(root, fmt.Sprintf("..%d", generation-1))))
		}
	}()
	seen := map[string]int{}
	for tries := 0; tries < 2_000 || len(seen) < 2; tries++ {
		outcome := reads(filepath.Join(root, "token"), below(root))
		is(t, outcome, "content", "")
		seen[outcome.Payload.(string)]++
	}
	close(stop)
	<-stopped
	if seen[tokens[0]] == 0 || seen[tokens[1]] == 0 || len(seen) != 2 {
		t.Fatalf("%d different contents", len(seen))
	}
}

// To ask whether there is one would meet the same.
func TestAFileThatIsGoneBeforeItIsOpenedIsLookedForOnceMore(t *testing.T) {
	root := place(t)
	show := func(generation int) {
		name, link := fmt.Sprint(generation), filepath.Join(root, "token")
		must(os.WriteFile(filepath.Join(root, name), []byte(name), 0o600))
		must(os.Symlink(name, link+".next"))
		must(os.Rename(link+".next", link))
	}
	for times, expected := range map[int]contract.Outcome{swaps: contract.Content(fmt.Sprint(swaps)), swaps + 1: contract.Absent} {
		show(0)
		asked := 0
		// The path is resolved by then.
		swapping := policy{asked: func() {
			if asked < times {
				must(os.Remove(filepath.Join(root, fmt.Sprint(asked))))
				asked++
				show(asked)
			}
		}}
		equal(t, reads(filepath.Join(root, "token"), swapping), expected)
	}
}

// What was checked is what is opened.
func TestALinkInThePlaceOfAFileIsNotFollowed(t *testing.T) {
	directory, other := place(t), place(t)
	path := filepath.Join(directory, "token")
	write(t, path, "in")
	write(t, filepath.Join(other, "token"), "out")
	swapping := below(directory)
	swapping.asked = func() {
		must(os.Remove(path))
		must(os.Symlink(filepath.Join(other, "token"), path))
	}
	is(t, reads(path, swapping), "failed", "")
}

func TestDirectoriesAreLimited(t *testing.T) {
	allowed, other := place(t), place(t)
	write(t, filepath.Join(allowed, "token"), "in")
	write(t, filepath.Join(other, "token"), "out")
	check(t, os.Symlink(filepath.Join(other, "token"), filepath.Join(allowed, "leaves")))
	check(t, os.Symlink(allowed, filepath.Join(other, "enters")))
	is(t, reads(filepath.Join(allowed, "token"), below("/nowhere", allowed)), "content", "in")
	is(t, reads(filepath.Join(other, "enters/token"), below(allowed)), "content", "in")
	is(t, reads(filepath.Join(allowed, "token"), below(filepath.Join(other, "enters"))), "content", "in")
	for _, path := range []string{filepath.Join(other, "token"), filepath.Join(allowed, "leaves"), allowed + "/../" + filepath.Base(other) + "/token"} {
		outcome := reads(path, below(allowed))
		is(t, outcome, "denied", filepath.Join(other, "token")+"; allow it with wif.Options.AllowDirectories")
	}
	// A name that begins alike is another.
	check(t, os.Mkdir(allowed+"-too", 0o700))
	write(t, allowed+"-too/token", "no")
	is(t, reads(allowed+"-too/token", below(allowed)), "denied", "AllowDirectories")
	is(t, reads(filepath.Join(allowed, "token"), below()), "denied", "AllowDirectories")
	is(t, reads(filepath.Join(allowed, "token"), below("/")), "content", "in")
}

func TestAProfileIsNoLinkOutOfItsDirectory(t *testing.T) {
	directory, other := place(t), place(t)
	check(t, os.Mkdir(filepath.Join(directory, "configs"), 0o700))
	profile := filepath.Join(directory, "configs/me.json")
	write(t, filepath.Join(other, "me.json"), "{}")
	check(t, os.Symlink(filepath.Join(other, "me.json"), profile))
	outcome := reads(profile, policy{profiles: directory})
	is(t, outcome, "denied", "it is a link that leads out of "+directory+", to "+filepath.Join(other, "me.json"))
	check(t, os.Remove(profile))
	write(t, profile, "{}")
	is(t, reads(profile, policy{profiles: directory}), "content", "{}")
	// Whatever was asked for, a profile that others may write is none.
	check(t, os.Chmod(profile, 0o666))
	is(t, reads(profile, policy{profiles: directory}), "denied", "chmod go-w "+profile+" mends it")
	is(t, reads(profile, policy{}), "content", "{}")
}

func TestProtectionIsWhatIsAskedFor(t *testing.T) {
	path := filepath.Join(place(t), "token")
	write(t, path, "x")
	check(t, os.Chmod(path, 0o620))
	request := contract.FileRequest{Path: path, MaxBytes: 100, Protection: "unwritable-by-others"}
	is(t, Read(context.Background(), request, policy{}), "denied", "mode 0620")
	request.Protection = "any"
	is(t, Read(context.Background(), request, policy{}), "content", "x")
}

func TestARelativePathBeginsWhereTheProgramWasStarted(t *testing.T) {
	before := startedIn
	t.Cleanup(func() { startedIn = before })
	startedIn = place(t)
	write(t, filepath.Join(startedIn, "token"), "here")
	is(t, reads("token", policy{}), "content", "here")
	startedIn = ""
	is(t, reads("token", policy{}), "denied", "name the whole path")
}

// silence is a file system that does not answer until the test says so.
type silence struct {
	t         *testing.T
	directory string
	places    policy
	answer    func()
}

func newSilence(t *testing.T) *silence {
	answer := make(chan struct{})
	s := &silence{t, place(t), policy{asked: func() { <-answer }}, sync.OnceFunc(func() { close(answer) })}
	t.Cleanup(s.answer)
	return s
}

func (s *silence) path(name string) string {
	path := filepath.Join(s.directory, name)
	write(s.t, path, "x")
	return path
}

// ask begins a read that is given up as soon as it waits for the file system.
func (s *silence) ask(name string) {
	s.t.Helper()
	path, before := s.path(name), len(callsOfTests)
	ctx, cancel := context.WithCancel(context.Background())
	outcome := make(chan contract.Outcome, 1)
	go func() { outcome <- Read(ctx, contract.FileRequest{Path: path, MaxBytes: 10}, s.places) }()
	eventually(s.t, func() bool { return len(callsOfTests) > before })
	cancel()
	is(s.t, <-outcome, "failed", "has not answered in time")
}

// isFull says that no further read begins.
func (s *silence) isFull(name string) {
	s.t.Helper()
	request := contract.FileRequest{Path: s.path(name), MaxBytes: 10}
	is(s.t, Read(within(s.t, 20), request, s.places), "failed", "has not answered earlier reads yet")
}

func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it never comes to that")
		}
	}
}

func TestAFileSystemThatDoesNotAnswerHoldsUpNobody(t *testing.T) {
	silence := newSilence(t)
	for range readsOfOne {
		silence.ask("token")
	}
	for range 3 {
		silence.isFull("token")
	}
	equal(t, len(callsOfTests), readsOfOne)
	is(t, reads(silence.path("other"), policy{}), "content", "x")
	silence.answer()
	is(t, reads(silence.path("token"), policy{}), "content", "x")
	eventually(t, func() bool {
		readers.guard.Lock()
		defer readers.guard.Unlock()
		return len(callsOfTests) == 0 && len(readers.named) == 0
	})
}

func TestTheFilesOfACredentialHaveSoManyPlacesAndHoldUpNoOther(t *testing.T) {
	silence := newSilence(t)
	for i := range callsAtOnce {
		silence.ask(fmt.Sprint(i))
	}
	silence.isFull("another")
	if _, _, err := store(t, place(t)).Swap(within(t, 5_000), key, nil, "x"); err != nil {
		t.Fatal("a store has places of its own", err)
	}
	silence.answer()
	is(t, reads(silence.path("another"), policy{}), "content", "x")
	eventually(t, func() bool { return len(callsOfTests) == 0 })
}

func TestBytesThatAreNoTextAreReplacedAsInOtherLanguages(t *testing.T) {
	for bytes, expected := range map[string]string{
		"plain é \U0001f980":       "plain é \U0001f980",
		"Hello \xf0\x90\x80World":  "Hello \ufffdWorld",
		"\xff\xfe":                 "\ufffd\ufffd",
		"\xe2\x82":                 "\ufffd",
		"\xe2\x82\xe2\x82\xac":     "\ufffd€",
		"\xed\xa0\x80":             "\ufffd\ufffd\ufffd",
		"\xc0\xaf\xe0\x80\xaf":     "\ufffd\ufffd\ufffd\ufffd\ufffd",
		"\xf4\x90\x80\x80\xf4\x8f": "\ufffd\ufffd\ufffd\ufffd\ufffd",
		"\xc3":                     "\ufffd",
		"a\ufffdb\x80":             "a\ufffdb\ufffd",
	} {
		equal(t, text([]byte(bytes)), expected)
	}
	path := filepath.Join(place(t), "token")
	write(t, path, "a\xe2\x82b")
	is(t, reads(path, policy{}), "content", "a\ufffdb")
}
