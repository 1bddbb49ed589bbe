//go:build unix

package executable

import (
	"os"
	"syscall"
)

// inGroup lets the program begin a group of its own, to which belongs what it starts.
func inGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends the group of a process that nobody has waited for to its end: afterwards its number may be another's. It may have ended in
// this moment.
func killGroup(leader *os.Process) { _ = syscall.Kill(-leader.Pid, syscall.SIGKILL) }
