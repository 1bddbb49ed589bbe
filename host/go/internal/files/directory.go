package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"wif/internal/contract"
)

// Directory is a store in a directory, for credentials of several processes on one machine: they make one exchange between them.
//
// There is a file for each identity, which its owner alone may read. It is replaced as a whole and written through to the disk. A lock
// beside it, which ends with the process that holds it, makes the comparison and the replacement one operation. The directory must be on a
// file system whose locks work (not on every network file system), and nobody else may be able to write to it.
type Directory struct {
	path  string
	calls Calls
}

// OpenDirectory is a store in this directory, which is made if it is not there. It is an error if it cannot be made, is no directory, or
// others than its owner can write to it, and where the system has no locks that other languages see.
func OpenDirectory(path string) (*Directory, error) {
	if !canLock {
		return nil, errors.New("a store in a directory needs Unix: its locks are not those of this system")
	}
	if _, err := os.Stat(path); err != nil {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, at(path, err)
		}
	}
	if err := checkDirectory(path); err != nil {
		return nil, err
	}
	resolved, err := canonical(path)
	if err != nil {
		return nil, at(path, err)
	}
	return &Directory{resolved, NewCalls()}, nil
}

func checkDirectory(path string) error {
	metadata, err := os.Stat(path)
	if err != nil {
		return at(path, err)
	}
	if !metadata.IsDir() {
		return fmt.Errorf("%s is no directory", path)
	}
	owner, mode, known := ownerOf(metadata)
	if known && owner != uint32(os.Geteuid()) && owner != root {
		return fmt.Errorf("%s belongs to another user, %d: name another directory", path, owner)
	}
	if known && mode&writableByGroupOrOthers != 0 {
		return fmt.Errorf("others can write to %s: take that right away (chmod go-w), or name another", path)
	}
	return nil
}

// Load is the entry under this key; nil if there is none.
func (d *Directory) Load(ctx context.Context, key string) (*contract.Entry, error) {
	path := d.fileOf(key)
	type result struct {
		entry *contract.Entry
		err   error
	}
	loaded, err := aside(ctx, ctx, d.calls, readers, path, func() result {
		entry, err := loadEntry(path)
		return result{entry, err}
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, err, context.Cause(ctx))
	}
	if loaded.err != nil {
		return nil, loaded.err
	}
	return bounded(loaded.entry)
}

// Swap replaces the entry if its version is the expected one, or, where none is expected, if there is no entry; as one operation, whoever
// else writes. It gives the new version. Where that is empty, it gives the entry that is there instead, or nil.
func (d *Directory) Swap(ctx context.Context, key string, expected *string, value string) (version string, there *contract.Entry, err error) {
	path := d.fileOf(key)
	return swap(ctx, d.calls, path, expected, func() (*contract.Entry, error) { return loadEntry(path) }, func() (string, error) {
		version := newVersion()
		return version, replace(path, document(version, value))
	})
}

// swap replaces what is loaded, under the lock of its file, if it is what is expected.
func swap(
	ctx context.Context, calls Calls, path string, expected *string, load func() (*contract.Entry, error), write func() (string, error),
) (string, *contract.Entry, error) {
	type result struct {
		version string
		there   *contract.Entry
	}
	swapped, err := locked(ctx, calls, path, func() (result, error) {
		there, err := load()
		if err != nil {
			return result{}, err
		}
		if !isExpected(there, expected) {
			return result{there: there}, nil
		}
		version, err := write()
		return result{version: version}, err
	})
	if err != nil {
		return "", nil, err
	}
	there, err := bounded(swapped.there)
	return swapped.version, there, err
}

func isExpected(there *contract.Entry, expected *string) bool {
	if there == nil || expected == nil {
		return there == nil && expected == nil
	}
	return there.Version == *expected
}

// fileOf is the file of a key. Keys are hexadecimal; anything else becomes so, and names no other folder.
func (d *Directory) fileOf(key string) string {
	digits := func(letter rune) rune {
		if strings.ContainsRune("0123456789abcdefABCDEF", letter) {
			return -1
		}
		return letter
	}
	if key == "" || len(key) > 128 || strings.Map(digits, key) != "" {
		key = "x" + hex.EncodeToString([]byte(key))
	}
	return filepath.Join(d.path, key+".json")
}

// loadEntry reads an entry. What is no entry is one that no session can read: it is said, and replaced at the cost of a round trip.
func loadEntry(path string) (*contract.Entry, error) {
	text, err := readPrivate(path)
	if text == nil || err != nil {
		return nil, err
	}
	var members map[string]any
	if json.Unmarshal([]byte(*text), &members) == nil {
		version, hasVersion := members["version"].(string)
		value, hasValue := members["value"].(string)
		if hasVersion && hasValue {
			return &contract.Entry{Version: version, Value: value}, nil
		}
	}
	return &contract.Entry{Version: digest(*text)}, nil
}

// document is an entry as it stands in its file, in every language.
func document(version, value string) string {
	return fmt.Sprintf(`{"value":%s,"version":%s}`, quoted(value), quoted(version))
}

func newVersion() string {
	var random [8]byte
	// It never fails.
	_, _ = rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

// bounded refuses what is larger than anything that is meant here: it would stop the component each time that it is handed over.
func bounded(entry *contract.Entry) (*contract.Entry, error) {
	limit := contract.Authority.Limits.ContentBytes
	if entry != nil && len(entry.Value) > limit {
		return nil, fmt.Errorf("it is %d bytes long, and no more than %d are taken", len(entry.Value), limit)
	}
	return entry, nil
}
