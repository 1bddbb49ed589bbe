//go:build unix

package files

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A user that is neither root nor whoever runs the tests.
const somebody = 54_321

// scene is a profile two folders deep, in a directory that is nobody's home.
type scene struct {
	t            *testing.T
	folder, file string
	reader       reader
}

func newScene(t *testing.T) *scene {
	folder := filepath.Join(place(t), "con fig")
	check(t, os.MkdirAll(filepath.Join(folder, "configs"), 0o700))
	file := filepath.Join(folder, "configs/default.json")
	write(t, file, "{}")
	return &scene{t, folder, file, reader{user: uint32(os.Geteuid())}}
}

func (s *scene) why() string {
	s.t.Helper()
	metadata, err := os.Stat(s.file)
	check(s.t, err)
	why, err := s.reader.distrusts(s.file, metadata)
	check(s.t, err)
	return why
}

func (s *scene) mode(path string, mode uint32) {
	s.t.Helper()
	special := os.FileMode(0)
	if mode&sticky != 0 {
		special = os.ModeSticky
	}
	check(s.t, os.Chmod(path, os.FileMode(mode&0o777)|special))
}

func endsWith(t *testing.T, text, end string) {
	t.Helper()
	if !strings.HasSuffix(text, end) {
		t.Fatalf("%q does not end with %q", text, end)
	}
}

func TestWhatThisUserAloneMayWriteIsTrusted(t *testing.T) {
	scene := newScene(t)
	equal(t, scene.why(), "")
	scene.mode(scene.file, 0o644)
	scene.mode(scene.folder, 0o755)
	equal(t, scene.why(), "")
}

func TestAFileThatOthersMayWriteIsRefusedWithTheCommandThatMendsIt(t *testing.T) {
	scene := newScene(t)
	for _, mode := range []uint32{0o602, 0o620, 0o666, 0o1666} {
		scene.mode(scene.file, mode)
		why := scene.why()
		contains(t, why, fmt.Sprintf("mode %04o", mode))
		endsWith(t, why, fmt.Sprintf("chmod go-w '%s' mends it", scene.file))
	}
}

func TestADirectoryThatOthersMayWriteIsRefusedUnlessEachMayMoveOnlyWhatIsTheirs(t *testing.T) {
	scene := newScene(t)
	for _, mode := range []uint32{0o777, 0o770, 0o702} {
		scene.mode(scene.folder, mode)
		endsWith(t, scene.why(), fmt.Sprintf("chmod go-w '%s' mends it", scene.folder))
	}
	scene.mode(scene.folder, 0o1777)
	equal(t, scene.why(), "")
}

func TestWhatIsAboveTheHomeOfThisUserIsNotLookedAt(t *testing.T) {
	scene := newScene(t)
	scene.mode(scene.folder, 0o777)
	scene.reader.home = filepath.Join(scene.folder, "configs")
	equal(t, scene.why(), "")
	scene.reader.home = scene.folder
	endsWith(t, scene.why(), "mends it")
}

func TestTheHomeIsTheOneOfTheVariable(t *testing.T) {
	scene := newScene(t)
	scene.mode(scene.folder, 0o777)
	t.Setenv("HOME", filepath.Join(scene.folder, "configs"))
	why, err := distrusted(scene.file)
	check(t, err)
	equal(t, why, "")
	t.Setenv("HOME", "configs")
	why, err = distrusted(scene.file)
	check(t, err)
	endsWith(t, why, "mends it")
}

func TestWhatBelongsToAnotherUserIsRefused(t *testing.T) {
	scene := newScene(t)
	// Root can give a file away; others look at their own with the eyes of somebody else.
	if scene.reader.user != root {
		scene.reader.user = somebody
		endsWith(t, scene.why(), fmt.Sprintf("chown %d '%s' mends it", somebody, scene.file))
		return
	}
	for _, path := range []string{scene.file, scene.folder} {
		check(t, os.Chown(path, somebody, -1))
		why := scene.why()
		contains(t, why, fmt.Sprintf("%s belongs to the user %d, and not to root or to the user 0", path, somebody))
		endsWith(t, why, fmt.Sprintf("chown 0 '%s' mends it", path))
		check(t, os.Chown(path, root, -1))
	}
	equal(t, scene.why(), "")
}

func TestAPathIsOneWordOfAShell(t *testing.T) {
	for path, expected := range map[string]string{
		"/etc/a-b_c.json:@%+,1": "/etc/a-b_c.json:@%+,1",
		"/con fig":              "'/con fig'",
		"/it's":                 `'/it'\''s'`,
		"/$(x);é":               "'/$(x);é'",
	} {
		equal(t, word(path), expected)
	}
}
