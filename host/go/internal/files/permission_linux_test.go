package files

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"wif/internal/contract"
)

func TestAFileThatThisProcessMayNotReadIsDenied(t *testing.T) {
	directory := place(t)
	path := filepath.Join(directory, "token")
	write(t, path, "x")
	check(t, os.Chmod(path, 0))
	outcomes := make(chan contract.Outcome, 1)
	go func() {
		if os.Geteuid() == root {
			// Root may read all. This thread may not any longer, and ends with the goroutine.
			runtime.LockOSThread()
			must(os.Chown(directory, somebody, -1))
			must(os.Chown(path, somebody, -1))
			must(syscall.Setfsuid(somebody))
		}
		outcomes <- readNow(path, contract.FileRequest{Path: path, MaxBytes: 10}, "", policy{})
	}()
	outcome := <-outcomes
	is(t, outcome, "denied", "permissions do not let this process read it")
}
