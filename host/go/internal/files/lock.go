package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

const (
	// So long a lock is waited for, if nothing else is said. Who holds it writes one file.
	lockWait = 10 * time.Second
	// How often a lock is asked for that somebody else holds.
	askAgain = 5 * time.Millisecond
)

// errHeld says that somebody else holds a lock.
var errHeld = errors.New("somebody else holds the lock")

// locked does this while nobody else has the file's lock, in whatever language. Who has given up waiting has nothing done, but what has
// begun is done to its end.
func locked[T any](ctx context.Context, calls Calls, path string, work func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	limit := patience(ctx)
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// Whoever comes first: the work, or the one who has given up waiting for it.
	var settled atomic.Bool
	late := func() error {
		if errors.Is(ctx.Err(), context.Canceled) {
			return fmt.Errorf("%s: %w", placeOfLock(path), context.Cause(ctx))
		}
		return fmt.Errorf("%s has been locked for %d ms, or its file system has no locks", placeOfLock(path), limit.Milliseconds())
	}
	done, err := aside(ctx, waiting, calls, writers, path, func() (done result) {
		lock, err := lockOf(waiting, path)
		if errors.Is(err, errHeld) {
			return result{err: late()}
		}
		if err != nil {
			return result{err: err}
		}
		defer lock.close()
		if waiting.Err() != nil || !settled.CompareAndSwap(false, true) {
			return result{err: late()}
		}
		done.value, done.err = work()
		if err := lock.release(); done.err == nil && err != nil {
			done.err = at(placeOfLock(path), err)
		}
		return done
	})
	switch {
	case errors.Is(err, errNoPlace), err != nil && settled.CompareAndSwap(false, true):
		return done.value, late()
	case err != nil:
		return done.value, fmt.Errorf("%s: %w", path, context.Cause(ctx))
	}
	return done.value, done.err
}

// patience is a part of the time that there is: the error that names the lock is to be heard.
func patience(ctx context.Context) time.Duration {
	if until, ok := ctx.Deadline(); ok {
		return min(lockWait, max(0, time.Until(until)*4/5))
	}
	return lockWait
}

// lock is one beside a file. It ends with the process that holds it, too. What holds it in JavaScript is the lock that SQLite takes of a
// database: no other is to be had there.
type lock struct{ file *os.File }

func placeOfLock(path string) string { return path + ".lock" }

// lockOf waits for the lock of this file. Its error is errHeld where the context ends that.
func lockOf(ctx context.Context, path string) (lock, error) {
	file, err := openLock(path)
	if err != nil {
		return lock{}, err
	}
	for {
		err := tryLock(file)
		if err == nil {
			break
		}
		if errors.Is(err, errHeld) && pause(ctx) {
			continue
		}
		_ = file.Close()
		if errors.Is(err, errHeld) {
			return lock{}, errHeld
		}
		return lock{}, at(placeOfLock(path), err)
	}
	held := lock{file}
	if err := held.checkPlace(path); err != nil {
		held.close()
		return lock{}, err
	}
	return held, nil
}

// pause says whether to go on waiting.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func openLock(path string) (*os.File, error) {
	beside := placeOfLock(path)
	// What can be no such file leaves no lock behind. Before the lock is opened, for the message: opening refuses links, and does not wait
	// at a pipe.
	for _, path := range []string{path, beside} {
		if metadata, err := os.Lstat(path); err == nil && !metadata.Mode().IsRegular() {
			return nil, irregular(path)
		}
	}
	file, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|noFollow|noWait, 0o600)
	if err != nil {
		return nil, at(beside, err)
	}
	// And after, for it may have been replaced meanwhile.
	metadata, err := file.Stat()
	if err != nil {
		err = at(beside, err)
	} else if !metadata.Mode().IsRegular() {
		err = irregular(beside)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// checkPlace refuses a lock that others do not see any longer: they would hold another one.
func (l lock) checkPlace(path string) error {
	beside := placeOfLock(path)
	ours, err := l.file.Stat()
	if err != nil {
		return at(beside, err)
	}
	theirs, err := os.Lstat(beside)
	if err != nil || !os.SameFile(ours, theirs) {
		return fmt.Errorf("%s was replaced while it was being locked", beside)
	}
	return nil
}

// release is by name: a process that was forked meanwhile has the file, too, and would hold the lock for as long as it lives.
func (l lock) release() error { return unlock(l.file) }

// close ends the lock, if it has not ended.
func (l lock) close() { _ = l.file.Close() }

// onDescriptor does this with the file's descriptor.
func onDescriptor(file *os.File, do func(descriptor uintptr) error) error {
	connection, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := connection.Control(func(descriptor uintptr) { done = do(descriptor) }); err != nil {
		return err
	}
	return done
}
