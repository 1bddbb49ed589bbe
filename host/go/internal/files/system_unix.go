//go:build unix

package files

import (
	"io/fs"
	"syscall"
)

// How files are opened: no link is followed, no writer of a pipe is waited for, no terminal becomes this process's.
const (
	noFollow   = syscall.O_NOFOLLOW
	noWait     = syscall.O_NONBLOCK
	noTerminal = syscall.O_NOCTTY
)

// ownerOf is whom a file belongs to, and its mode. Not every system knows.
func ownerOf(metadata fs.FileInfo) (owner, mode uint32, known bool) {
	status, known := metadata.Sys().(*syscall.Stat_t)
	if !known {
		return 0, 0, false
	}
	return uint32(status.Uid), uint32(status.Mode) & 0o7777, true
}
