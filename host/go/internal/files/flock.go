//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package files

import (
	"errors"
	"os"
	"syscall"
)

// setLockOfFile sets or ends the lock of the file as a whole.
func setLockOfFile(file *os.File, how int) error {
	err := onDescriptor(file, func(descriptor uintptr) error { return syscall.Flock(int(descriptor), how) })
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return errHeld
	}
	return err
}
