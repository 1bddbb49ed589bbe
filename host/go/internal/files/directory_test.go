//go:build unix

package files

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wif/internal/contract"
)

func TestASwapReplacesWhatItExpectsAndNothingElse(t *testing.T) {
	store := store(t, filepath.Join(place(t), "a/store"))
	if load(t, store, key) != nil {
		t.Fatal("there is none")
	}
	first := swapTo(t, store, nil, "one")
	other := "another"
	equal(t, swapTo(t, store, nil, "two"), "")
	version, there, err := store.Swap(context.Background(), key, &other, "two")
	check(t, err)
	equal(t, version, "")
	equal(t, *there, contract.Entry{Version: first, Value: "one"})
	second := swapTo(t, store, &first, "two")
	equal(t, first != second && second != "", true)
	equal(t, *load(t, store, key), contract.Entry{Version: second, Value: "two"})
	if load(t, store, "another") != nil {
		t.Fatal("each identity has its own")
	}
	version, there, err = store.Swap(context.Background(), "abc", &second, "x")
	check(t, err)
	if version != "" || there != nil {
		t.Fatal("there is none that could be expected")
	}
}

func TestOfManyThatSwapAtOnceOneSucceeds(t *testing.T) {
	directory := filepath.Join(place(t), "store")
	store(t, directory)
	var done atomic.Int32
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			store, err := OpenDirectory(directory)
			must(err)
			version, _, err := store.Swap(context.Background(), key, nil, fmt.Sprint(i))
			must(err)
			if version != "" {
				done.Add(1)
			}
		})
	}
	all.Wait()
	equal(t, done.Load(), 1)
}

func TestNoUpdateOfTwoProcessesWithManyGoroutinesIsLost(t *testing.T) {
	directory := filepath.Join(place(t), "store")
	store := store(t, directory)
	others := []*another{process(t, "count", directory), process(t, "count", directory)}
	for _, other := range others {
		other.ends(t)
	}
	equal(t, load(t, store, key).Value, fmt.Sprint(len(others)*counters*counts))
	if _, err := os.Lstat(store.fileOf(key) + ".new"); err == nil {
		t.Fatal("something unfinished is left")
	}
}

func TestAKilledWriterLosesNothing(t *testing.T) {
	directory := filepath.Join(place(t), "store")
	store := store(t, directory)
	for range 15 {
		writer := process(t, "write", directory)
		writer.says(t, "writes")
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		check(t, writer.Process.Kill())
		_ = writer.Wait()
		entry := load(t, store, key)
		if entry == nil || !isWhole(entry.Value) {
			t.Fatal("the entry is not whole")
		}
		if swapTo(t, store, &entry.Version, wholeValue(3)) == "" {
			t.Fatal("nobody else wrote")
		}
		equal(t, load(t, store, key).Value, wholeValue(3))
	}
	// What is left unfinished is removed by the next.
	unfinished := store.fileOf(key) + ".new"
	check(t, os.WriteFile(unfinished, []byte("{"), 0o644))
	entry := load(t, store, key)
	swapTo(t, store, &entry.Version, "x")
	if _, err := os.Lstat(unfinished); err == nil {
		t.Fatal("something unfinished is left")
	}
}

func TestWhatItKeepsIsItsOwnersAlone(t *testing.T) {
	folder := filepath.Join(place(t), "store")
	store := store(t, folder)
	swapTo(t, store, nil, "sk-ant-oat01-x")
	entries, err := os.ReadDir(folder)
	check(t, err)
	equal(t, len(entries), 2)
	for _, entry := range entries {
		metadata, err := entry.Info()
		check(t, err)
		equal(t, metadata.Mode(), 0o600)
	}
	metadata, err := os.Stat(folder)
	check(t, err)
	equal(t, metadata.Mode().Perm(), 0o700)
	check(t, os.Chmod(store.fileOf(key), 0o640))
	_, err = store.Load(context.Background(), key)
	contains(t, err, "others than its owner can use "+store.fileOf(key)+" (mode 0640)")
	_, _, err = store.Swap(context.Background(), key, nil, "x")
	contains(t, err, "others than its owner")
	if os.Geteuid() == root {
		check(t, os.Chmod(store.fileOf(key), 0o600))
		check(t, os.Chown(store.fileOf(key), somebody, -1))
		_, err = store.Load(context.Background(), key)
		contains(t, err, "belongs to another user, 54321: remove it")
	}
}

func TestADirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	directory := place(t)
	check(t, os.Chmod(directory, 0o770))
	_, err := OpenDirectory(directory)
	contains(t, err, "others can write to "+directory)
	_, err = OpenDirectory("/dev/null")
	contains(t, err, "/dev/null is no directory")
	_, err = OpenDirectory("/dev/null/store")
	contains(t, err, "/dev/null/store: ")
	if os.Geteuid() == root {
		check(t, os.Chmod(directory, 0o700))
		check(t, os.Chown(directory, somebody, -1))
		_, err = OpenDirectory(directory)
		contains(t, err, "belongs to another user, 54321: name another directory")
	}
}

func TestWhatIsNoEntryIsReplacedAndALinkIsRefused(t *testing.T) {
	directory := place(t)
	store := store(t, filepath.Join(directory, "store"))
	file := store.fileOf(key)
	for _, garbage := range []string{"", "{", "[]", "null", `{"version":1,"value":"x"}`, `{"version":"1"}`, `{"Version":"1","VALUE":"x"}`, "\xff"} {
		write(t, file, garbage)
		entry := load(t, store, key)
		// The session says that it cannot read it.
		equal(t, entry.Value, "")
		equal(t, len(entry.Version), 32)
		if swapTo(t, store, &entry.Version, "good") == "" {
			t.Fatal(garbage)
		}
	}
	check(t, os.Rename(file, filepath.Join(directory, "elsewhere")))
	check(t, os.Symlink(filepath.Join(directory, "elsewhere"), file))
	_, err := store.Load(context.Background(), key)
	contains(t, err, file+" is no regular file: remove it")
}

// Keys come from the component, which is hostile until checked.
func TestAKeyNamesNoOtherFolder(t *testing.T) {
	directory := place(t)
	store := store(t, filepath.Join(directory, "store"))
	for _, key := range []string{"../out", "/etc/passwd", ".", "", "a/b", "é"} {
		_, _, err := store.Swap(context.Background(), key, nil, "x")
		check(t, err)
	}
	entries, err := os.ReadDir(directory)
	check(t, err)
	equal(t, len(entries), 1)
}

// Programs in other languages read what this writes, and this reads what they write.
func TestTheFormIsTheOneOfOtherLanguages(t *testing.T) {
	directory := place(t)
	store := store(t, directory)
	for key, name := range map[string]string{
		"0123abCD": "0123abCD.json", "../x": "x2e2e2f78.json", "": "x.json", "é": "xc3a9.json",
		strings.Repeat("a", 128): strings.Repeat("a", 128) + ".json", "0g": "x3067.json",
	} {
		equal(t, store.fileOf(key), filepath.Join(directory, name))
	}
	equal(t, store.fileOf(strings.Repeat("a", 129)), filepath.Join(directory, "x"+strings.Repeat("61", 129)+".json"))
	version := swapTo(t, store, nil, "a\"\\/\b\f\n\r\t\x01\x1f\x7f<é\u2028")
	written, err := os.ReadFile(store.fileOf(key))
	check(t, err)
	equal(t, string(written), `{"value":"a\"\\/\b\f\n\r\t\u0001\u001f`+"\x7f<é\u2028"+`","version":"`+version+`"}`)
	equal(t, len(version), 16)
	equal(t, load(t, store, key).Value, "a\"\\/\b\f\n\r\t\x01\x1f\x7f<é\u2028")
	write(t, store.fileOf(key), ` {"version":"00112233aabbccdd","value":"\u0061\u2028","more":[1]}`)
	equal(t, *load(t, store, key), contract.Entry{Version: "00112233aabbccdd", Value: "a\u2028"})
	// SHA-256, of which half is taken.
	equal(t, digest(""), "e3b0c44298fc1c149afbf4c8996fb924")
}

func TestAnEntryThatIsTooLongIsNotHandedOver(t *testing.T) {
	store := store(t, place(t))
	write(t, store.fileOf(key), document("1", strings.Repeat("x", contract.Authority.Limits.ContentBytes+1)))
	_, err := store.Load(context.Background(), key)
	contains(t, err, "it is 1048577 bytes long, and no more than 1048576 are taken")
	_, _, err = store.Swap(context.Background(), key, nil, "x")
	contains(t, err, "it is 1048577 bytes long")
	one := "1"
	if swapTo(t, store, &one, "x") == "" {
		t.Fatal("it is replaced all the same")
	}
}
