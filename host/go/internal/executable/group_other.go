//go:build !unix

package executable

import (
	"os"
	"syscall"
)

func inGroup() *syscall.SysProcAttr { return nil }

// killGroup ends the process alone: there are no groups here.
func killGroup(leader *os.Process) { _ = leader.Kill() }
