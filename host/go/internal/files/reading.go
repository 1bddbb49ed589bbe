// Package files reads files, and keeps entries in files that all processes of a machine share: programs in Rust, C, Python, JavaScript and
// Go have the same form of them, and the same locks.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"wif/internal/contract"
)

// So many times in a row a file may be swapped while it is being read.
const swaps = 8

// Protection that a file needs which leads to other files.
const unwritableByOthers = "unwritable-by-others"

// Places is what the policy says of files. Any goroutine may ask, and for as long as a file system takes to answer.
type Places interface {
	// DirectoryOfProfile is where this file of discovery is, and has to be without links, too.
	DirectoryOfProfile(path string) (directory string, is bool)
	// IsCredentials says whether this is the credentials file of a profile that the configuration leads to.
	IsCredentials(path string) bool
	// Directories are those below which files have to be, if they are limited.
	Directories() (directories []string, limited bool)
	// Calls are the places of the credential whose policy this is.
	Calls() Calls
}

// startedIn is what relative paths are relative to; empty if that is not known.
var startedIn, _ = os.Getwd()

var unplaced = contract.Denied("the directory in which this program was started is not known: name the whole path")

// Read reads a file that the policy has allowed by name. Its outcome is content, absent, denied or failed. It waits until the context is
// done, for a file system may never answer.
func Read(ctx context.Context, request contract.FileRequest, places Places) contract.Outcome {
	path, ok := Absolute(request.Path)
	if !ok {
		return unplaced
	}
	isCredentials := places.IsCredentials(request.Path)
	within, isProfile := places.DirectoryOfProfile(request.Path)
	if isProfile {
		// A profile opens other files: what it is held to is not for the component to say.
		request.Protection = unwritableByOthers
	}
	return read(ctx, places, path, func() contract.Outcome {
		if isCredentials {
			return readCredentials(path, request, places)
		}
		return readNow(path, request, within, places)
	})
}

// read does this for one of those that read at once.
func read(ctx context.Context, places Places, path string, work func() contract.Outcome) contract.Outcome {
	outcome, err := aside(ctx, ctx, places.Calls(), readers, path, work)
	switch {
	case errors.Is(err, errNoPlace):
		return contract.Failed("the file system has not answered earlier reads yet")
	case err != nil:
		return contract.Failed("the file system has not answered in time")
	}
	return outcome
}

// Absolute is the path as this process reads it. What is left out of it here, such as "..", would lead elsewhere behind a link.
func Absolute(path string) (string, bool) {
	if filepath.IsAbs(path) {
		return path, true
	}
	return startedIn + string(filepath.Separator) + path, startedIn != ""
}

func readNow(path string, request contract.FileRequest, within string, places Places) contract.Outcome {
	outcome, err := tryRead(path, request, within, places)
	// What a mount swaps is removed at once: the file that the path led to may be gone before it is opened. To ask whether there is
	// one would meet the same.
	for again := 0; again < swaps && isSwapped(err); again++ {
		outcome, err = tryRead(path, request, within, places)
	}
	switch {
	case err == nil:
		return outcome
	case isAbsent(err):
		return contract.Absent
	case errors.Is(err, fs.ErrPermission):
		return contract.Denied("the file's permissions do not let this process read it")
	}
	return contract.Failed(Reason(err).Error())
}

// isSwapped says that what was there a moment before is gone, or is no link any longer.
func isSwapped(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL)
}

// isAbsent also says so of a path of which a part is a file: `/a/token/token` of a mount that is not there yet.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func tryRead(path string, request contract.FileRequest, within string, places Places) (contract.Outcome, error) {
	// Resolved once, and then opened where it led: a link that is swapped meanwhile gives the old file or the new one, and
	// nothing that was not checked.
	resolved, err := canonical(path)
	if err != nil {
		return contract.Outcome{}, err
	}
	if outcome, err := checkWithin(resolved, within); err != nil || outcome.Tag != "" {
		return outcome, err
	}
	if rule := checkDirectories(resolved, places); rule != "" {
		return contract.Denied(rule), nil
	}
	// Before opening: to open a device may do something.
	before, err := os.Stat(resolved)
	if err != nil {
		return contract.Outcome{}, err
	}
	if refused := refuseIrregular(before); refused.Tag != "" {
		return refused, nil
	}
	// Exchanged for a pipe since it was looked at, it must not make us wait for a writer.
	file, err := os.OpenFile(resolved, os.O_RDONLY|noFollow|noWait|noTerminal, 0)
	if err != nil {
		return contract.Outcome{}, err
	}
	defer file.Close()
	return readOpened(file, resolved, request)
}

func readOpened(file *os.File, resolved string, request contract.FileRequest) (contract.Outcome, error) {
	metadata, err := file.Stat()
	if err != nil {
		return contract.Outcome{}, err
	}
	if refused := refuseIrregular(metadata); refused.Tag != "" {
		return refused, nil
	}
	if request.Protection == unwritableByOthers {
		if why, err := thisReader().distrusts(resolved, metadata); err != nil || why != "" {
			return contract.Denied(why), err
		}
	}
	limit := limitOf(request)
	content, err := readAtMost(file, min(metadata.Size(), limit), limit+1)
	if err != nil {
		return contract.Outcome{}, err
	}
	if int64(len(content)) > limit {
		return tooLong(limit), nil
	}
	return contract.Content(text(content)), nil
}

// readAtMost reads to the end, or so many bytes.
func readAtMost(file io.Reader, expected, limit int64) ([]byte, error) {
	content := make([]byte, 0, expected+1)
	for int64(len(content)) < limit {
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
		room := content[len(content):min(int64(cap(content)), limit)]
		length, err := file.Read(room)
		content = content[:len(content)+length]
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return content, nil
}

func limitOf(request contract.FileRequest) int64 {
	return min(int64(request.MaxBytes), int64(contract.Authority.Limits.ContentBytes))
}

func tooLong(limit int64) contract.Outcome {
	return contract.Failed(fmt.Sprintf("the file is longer than %d bytes", limit))
}

func refuseIrregular(metadata fs.FileInfo) contract.Outcome {
	switch mode := metadata.Mode(); {
	case mode.IsRegular():
		return contract.Outcome{}
	case mode.IsDir():
		return contract.Failed("it is a directory")
	}
	return contract.Denied("the policy allows regular files only")
}

// checkWithin checks that the file is in this directory when all links are followed, if one is named.
func checkWithin(resolved, directory string) (contract.Outcome, error) {
	if directory == "" {
		return contract.Outcome{}, nil
	}
	directory, ok := Absolute(directory)
	if !ok {
		return unplaced, nil
	}
	real, err := canonical(directory)
	if err != nil || isBelow(resolved, real) {
		return contract.Outcome{}, err
	}
	return contract.Denied(fmt.Sprintf("it is a link that leads out of %s, to %s: put the file itself there", directory, resolved)), nil
}

// checkDirectories gives the rule that refuses this path without links, if one does.
func checkDirectories(resolved string, places Places) string {
	directories, limited := places.Directories()
	if !limited {
		return ""
	}
	for _, directory := range directories {
		if real, err := canonical(directory); err == nil && isBelow(resolved, real) {
			return ""
		}
	}
	return fmt.Sprintf("the policy does not allow %s; allow it with wif.Options.AllowDirectories", resolved)
}

func isBelow(path, directory string) bool {
	rest, ok := strings.CutPrefix(path, directory)
	separator := string(filepath.Separator)
	return ok && (rest == "" || strings.HasSuffix(directory, separator) || strings.HasPrefix(rest, separator))
}

// canonical is the path without links, from the root on.
func canonical(path string) (string, error) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = here + string(filepath.Separator) + path
	}
	return filepath.EvalSymlinks(path)
}

// Reason is the system's word for what failed, without the path.
func Reason(err error) error {
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	var ofCall *os.SyscallError
	switch {
	case errors.As(err, &ofPath):
		return ofPath.Err
	case errors.As(err, &ofLink):
		return ofLink.Err
	case errors.As(err, &ofCall):
		return ofCall.Err
	}
	return err
}
