package files

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Where the kernel lacks the one kind of lock, programs with the other kind, and those that lock by SQLite, are kept out all the same.
func TestLocksOfEachKindExcludeEachOther(t *testing.T) {
	path := filepath.Join(place(t), "entry")
	file := func() *os.File {
		file, err := openLock(path)
		check(t, err)
		t.Cleanup(func() { _ = file.Close() })
		return file
	}
	held := func(err error) {
		t.Helper()
		equal(t, errors.Is(err, errHeld), true)
	}
	one, other := file(), file()
	check(t, tryLockBoth(one))
	held(tryLock(other))
	held(tryLockBoth(other))
	check(t, unlockBoth(one))
	check(t, tryLock(other))
	held(tryLock(one))
	held(tryLockBoth(one))
	// Nothing is lost with another file of the same.
	check(t, file().Close())
	held(tryLock(one))
	check(t, unlock(other))
	check(t, tryLockBoth(one))
}

// The byte, the kind and the number are the same in every language.
func TestTheLockIsThatOfAByteOfSQLites(t *testing.T) {
	path := filepath.Join(place(t), "entry")
	held, err := lockOf(t.Context(), path)
	check(t, err)
	defer held.close()
	equal(t, held.file.Name(), path+".lock")
	other, err := openLock(path)
	check(t, err)
	defer other.Close()
	for from, isHeld := range map[int64]bool{0: false, 0x4000_0000: false, 0x4000_0001: true, 0x4000_0002: false} {
		err := setLock(other, setLockOfOpenFile, syscall.F_WRLCK, from, 1)
		equal(t, errors.Is(err, errHeld), isHeld)
	}
}

// The lock of JavaScript's programs, as Python has it.
const sqliteHolds = `
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    database.execute("PRAGMA journal_mode = MEMORY")
    database.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
except sqlite3.OperationalError as error:
    print(error, flush=True)
sys.stdin.read()
database.close()
`

func sqlite(t *testing.T, lock string) *another {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is needed: its sqlite3 stands for JavaScript's")
	}
	if said, err := exec.Command(python, "-c", "import sqlite3").CombinedOutput(); err != nil {
		t.Skipf("python3 has no sqlite3, which stands for JavaScript's: %s", said)
	}
	return start(t, exec.Command(python, "-c", sqliteHolds, lock))
}

func TestWhatSQLiteLocksIsLockedHere(t *testing.T) {
	directory := place(t)
	store := store(t, directory)
	first := swapTo(t, store, nil, "one")
	lock := placeOfLock(store.fileOf(key))
	javascript := sqlite(t, lock)
	javascript.says(t, "held")
	_, _, err := store.Swap(within(t, 200), key, &first, "two")
	contains(t, err, lock+" has been locked for ")
	file, err := openLock(store.fileOf(key))
	check(t, err)
	defer file.Close()
	equal(t, errors.Is(tryLockBoth(file), errHeld), true)
	javascript.ends(t)
	if swapTo(t, store, &first, "two") == "" {
		t.Fatal("it was written to")
	}
	for _, left := range []string{lock + "-journal", lock + "-wal"} {
		if _, err := os.Lstat(left); err == nil {
			t.Fatalf("%s is left", left)
		}
	}
}

func TestWhatIsLockedHereIsLockedForSQLite(t *testing.T) {
	path := filepath.Join(place(t), "entry")
	held, err := lockOf(t.Context(), path)
	check(t, err)
	javascript := sqlite(t, placeOfLock(path))
	javascript.says(t, "database is locked")
	javascript.ends(t)
	check(t, held.release())
	javascript = sqlite(t, placeOfLock(path))
	javascript.says(t, "held")
	javascript.ends(t)
	check(t, tryLockBoth(held.file))
	defer held.close()
	javascript = sqlite(t, placeOfLock(path))
	javascript.says(t, "database is locked")
	javascript.ends(t)
}
