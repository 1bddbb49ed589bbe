package files

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// SQLite's lock for whoever is about to write: one of its bytes. Linux keeps locks of bytes apart from those of files. This one is of the
// kind that belongs to an open file: the other kind does not exclude goroutines of one process, and ends when any of them closes the file.

const (
	// SQLite's RESERVED_BYTE, the same in every version 3 (its page on locking, "File Locking And Concurrency"). The file is empty.
	reserved = 0x4000_0001
	// F_OFD_SETLK of the kernel.
	setLockOfOpenFile = 37
)

// canLock says whether this system has a lock that other languages see.
const canLock = true

func tryLock(file *os.File) error {
	err := setLock(file, setLockOfOpenFile, syscall.F_WRLCK, reserved, 1)
	// A kernel without locks of this kind, such as a sandbox's.
	if errors.Is(err, syscall.EINVAL) {
		return tryLockBoth(file)
	}
	return err
}

func unlock(file *os.File) error {
	err := setLock(file, setLockOfOpenFile, syscall.F_UNLCK, reserved, 1)
	if errors.Is(err, syscall.EINVAL) {
		return unlockBoth(file)
	}
	return err
}

// tryLockBoth takes two locks in place of that one: the file's excludes goroutines and processes like this one, and then that of all its
// bytes, which is the process's, excludes programs that lock by SQLite.
func tryLockBoth(file *os.File) error {
	if err := setLockOfFile(file, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	held := setLock(file, syscall.F_SETLK, syscall.F_WRLCK, 0, 0)
	if held == nil {
		return nil
	}
	if err := setLockOfFile(file, syscall.LOCK_UN); err != nil {
		return err
	}
	return held
}

func unlockBoth(file *os.File) error {
	if err := setLock(file, syscall.F_SETLK, syscall.F_UNLCK, 0, 0); err != nil {
		return err
	}
	return setLockOfFile(file, syscall.LOCK_UN)
}

// setLock sets or ends the lock of so many bytes; of all where that is none. Its process is none, or locks of open files are refused.
func setLock(file *os.File, command int, kind int16, from, length int64) error {
	lock := syscall.Flock_t{Type: kind, Whence: io.SeekStart, Start: from, Len: length, Pid: 0}
	err := onDescriptor(file, func(descriptor uintptr) error { return syscall.FcntlFlock(descriptor, command, &lock) })
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EINTR) {
		return errHeld
	}
	return err
}
