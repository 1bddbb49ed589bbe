//go:build !unix

package files

import "io/fs"

const (
	noFollow   = 0
	noWait     = 0
	noTerminal = 0
)

// ownerOf is not known here: who may use a file is not a matter of its mode.
func ownerOf(fs.FileInfo) (owner, mode uint32, known bool) { return 0, 0, false }
