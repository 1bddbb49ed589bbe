//go:build unix

package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func within(t *testing.T, ms int) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestALockThatAnotherProcessHoldsIsWaitedForAndItsTimeOutNamesTheFile(t *testing.T) {
	store := store(t, place(t))
	path := store.fileOf(key)
	holder := process(t, "hold", path)
	holder.says(t, "held")
	_, _, err := store.Swap(within(t, 200), key, nil, "x")
	contains(t, err, placeOfLock(path)+" has been locked for ")
	gone, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, _, err = store.Swap(gone, key, nil, "x")
	equal(t, errors.Is(err, context.Canceled), true)
	contains(t, err, path)
	if entry := load(t, store, key); entry != nil {
		t.Fatal("who has given up has nothing done")
	}
	swapped := make(chan error, 1)
	go func() {
		version, _, err := store.Swap(context.Background(), key, nil, "mine")
		if version == "" && err == nil {
			err = errors.New("another entry was there")
		}
		swapped <- err
	}()
	select {
	case err := <-swapped:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	holder.ends(t)
	check(t, <-swapped)
	equal(t, load(t, store, key).Value, "mine")
}

func TestALockEndsWithTheProcessThatHoldsIt(t *testing.T) {
	store := store(t, place(t))
	holder := process(t, "hold", store.fileOf(key))
	holder.says(t, "held")
	check(t, holder.Process.Kill())
	_ = holder.Wait()
	swapTo(t, store, nil, "x")
	equal(t, load(t, store, key).Value, "x")
}

func TestWhatStandsInThePlaceOfALockIsRefused(t *testing.T) {
	directory := place(t)
	store := store(t, directory)
	path := store.fileOf(key)
	lock := placeOfLock(path)
	check(t, os.Symlink(filepath.Join(directory, "elsewhere"), lock))
	_, _, err := store.Swap(context.Background(), key, nil, "x")
	contains(t, err, lock+" is no regular file: remove it")
	check(t, os.Remove(lock))
	check(t, os.Mkdir(path, 0o700))
	_, _, err = store.Swap(context.Background(), key, nil, "x")
	contains(t, err, path+" is no regular file: remove it")
	if entries, _ := os.ReadDir(directory); len(entries) != 1 {
		t.Fatal("what can be no such file leaves no lock behind")
	}
}

func TestALockThatWasReplacedIsNone(t *testing.T) {
	path := filepath.Join(place(t), "entry")
	held, err := lockOf(context.Background(), path)
	check(t, err)
	defer held.close()
	check(t, held.checkPlace(path))
	check(t, os.Remove(placeOfLock(path)))
	contains(t, held.checkPlace(path), "was replaced while it was being locked")
	write(t, placeOfLock(path), "")
	contains(t, held.checkPlace(path), "was replaced while it was being locked")
}

func TestWhoHasGivenUpHasNothingDone(t *testing.T) {
	store := store(t, place(t))
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		if version, _, err := store.Swap(gone, key, nil, "x"); version != "" || err == nil {
			t.Fatal("it was done")
		}
	}
	eventually(t, func() bool { return len(store.calls) == 0 })
	if load(t, store, key) != nil {
		t.Fatal("it was done later")
	}
}
