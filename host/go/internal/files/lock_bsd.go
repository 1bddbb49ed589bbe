//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package files

import (
	"os"
	"syscall"
)

// canLock says whether this system has a lock that other languages see.
const canLock = true

// The lock of a file. These systems do not keep it apart from those of bytes, which SQLite takes.

func tryLock(file *os.File) error { return setLockOfFile(file, syscall.LOCK_EX|syscall.LOCK_NB) }

func unlock(file *os.File) error { return setLockOfFile(file, syscall.LOCK_UN) }
