package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	writableByGroupOrOthers = 0o022
	// In such a directory nobody moves or removes what belongs to another, like `/tmp`.
	sticky = 0o1000
	root   = 0
)

// reader is who this process runs as, and where this user is at home.
type reader struct {
	home string
	user uint32
}

func thisReader() reader {
	reader := reader{user: uint32(os.Geteuid())}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		reader.home, _ = canonical(home)
	}
	return reader
}

// distrusted is why others than root and this process's user could have written this file or directory, or put another in its place, with
// the command that mends it; empty if they could not.
func distrusted(path string) (string, error) {
	resolved, err := canonical(path)
	if err != nil {
		return "", err
	}
	metadata, err := os.Stat(resolved)
	if err != nil {
		return "", err
	}
	return thisReader().distrusts(resolved, metadata)
}

// distrusts is the same for a path without links: what ssh asks of the files that it goes by. It looks at the directories up to the home of
// this user, or to the root.
func (r reader) distrusts(path string, file fs.FileInfo) (string, error) {
	why := r.distrustsOne(path, file)
	for at := path; why == "" && filepath.Dir(at) != at; {
		at = filepath.Dir(at)
		metadata, err := os.Stat(at)
		if err != nil {
			return "", err
		}
		why = r.distrustsOne(at, metadata)
		if at == r.home {
			break
		}
	}
	return why, nil
}

func (r reader) distrustsOne(path string, metadata fs.FileInfo) string {
	owner, mode, known := ownerOf(metadata)
	if !known {
		return ""
	}
	if owner != root && owner != r.user {
		why := fmt.Sprintf("%s belongs to the user %d, and not to root or to the user %d that this runs as", path, owner, r.user)
		return fmt.Sprintf("%s: chown %d %s mends it", why, r.user, word(path))
	}
	guarded := metadata.IsDir() && mode&sticky != 0
	if mode&writableByGroupOrOthers == 0 || guarded {
		return ""
	}
	return fmt.Sprintf("its group or others may write %s (mode %04o): chmod go-w %s mends it", path, mode, word(path))
}

// word is what a shell reads as this path.
func word(path string) string {
	special := func(letter rune) bool {
		isPlain := letter >= 'a' && letter <= 'z' || letter >= 'A' && letter <= 'Z' || letter >= '0' && letter <= '9'
		return !isPlain && !strings.ContainsRune("-_./:@%+,", letter)
	}
	if !strings.ContainsFunc(path, special) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
