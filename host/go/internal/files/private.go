package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"wif/internal/contract"
)

// Files that hold a secret: read only if nobody else could have read or written them, made for their owner alone, and replaced as a whole.
// Every error names the file.

// No such file is larger, in bytes: an entry in its document.
var maxPrivate = 2 * int64(contract.Authority.Limits.ContentBytes)

// readPrivate is the content; nil if there is no file.
func readPrivate(path string) (*string, error) {
	metadata, err := os.Lstat(path)
	if err != nil && isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, at(path, err)
	}
	if err := checkPrivate(path, metadata); err != nil {
		return nil, err
	}
	// Exchanged since it was looked at, for a link or a pipe, it is not followed and not waited for.
	file, err := os.OpenFile(path, os.O_RDONLY|noFollow|noWait, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, at(path, err)
	}
	defer file.Close()
	if metadata, err = file.Stat(); err != nil {
		return nil, at(path, err)
	}
	if err := checkPrivate(path, metadata); err != nil {
		return nil, err
	}
	bytes, err := readAtMost(file, min(metadata.Size(), maxPrivate), maxPrivate)
	if err != nil {
		return nil, at(path, err)
	}
	content := text(bytes)
	return &content, nil
}

// replace replaces the file: whoever reads it meanwhile, or after a process was killed here, has the old one or the new one. It is for
// whoever holds its lock: what a killed process left unfinished beside it is then removed by the next.
func replace(path, content string) error {
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return at(unfinished, err)
	}
	if err := create(unfinished, content); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		_ = os.Remove(unfinished)
		return at(path, err)
	}
	syncDirectory(filepath.Dir(path))
	return nil
}

// create makes a file that was not there, and writes it through to the disk.
func create(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow|noWait, 0o600)
	if err != nil {
		return at(path, err)
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path)
		return at(path, err)
	}
	return nil
}

// syncDirectory lets a renaming outlive a failure of power, too. Not every file system can.
func syncDirectory(path string) {
	if directory, err := os.Open(path); err == nil {
		_ = directory.Sync()
		_ = directory.Close()
	}
}

// digest tells one content from another.
func digest(content string) string {
	hash := sha256.Sum256([]byte(content))
	return hex.EncodeToString(hash[:16])
}

// at is the same error, with the file that it is about.
func at(path string, err error) error { return fmt.Errorf("%s: %w", path, Reason(err)) }

// A link in the place of a file would have it made or read elsewhere, and a pipe would hold up whoever opens it.
func irregular(path string) error { return fmt.Errorf("%s is no regular file: remove it", path) }

// checkPrivate refuses what others could have read or written: who could read it has the token, and who could write it may have put one of
// theirs.
func checkPrivate(path string, metadata fs.FileInfo) error {
	if !metadata.Mode().IsRegular() {
		return irregular(path)
	}
	owner, mode, known := ownerOf(metadata)
	if !known {
		return nil
	}
	if owner != uint32(os.Geteuid()) {
		return fmt.Errorf("%s belongs to another user, %d: remove it", path, owner)
	}
	if mode&0o077 != 0 {
		return fmt.Errorf("others than its owner can use %s (mode %04o): chmod 600 it, or remove it", path, mode&0o777)
	}
	return nil
}
