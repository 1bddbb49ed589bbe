//go:build unix

package files

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wif/internal/contract"
)

// login is a credentials file beside a profile.
func login(t *testing.T) (path string, places policy) {
	t.Helper()
	directory := filepath.Join(place(t), "credentials")
	check(t, os.Mkdir(directory, 0o700))
	path = filepath.Join(directory, "me.json")
	write(t, path, "old")
	return path, policy{credentials: path}
}

func loads(path string, places Places) contract.Outcome {
	return LoadCredentials(context.Background(), path, places)
}

func swapsIn(path string, expected *string, places Places) contract.Outcome {
	return SwapCredentials(context.Background(), path, expected, "new", places)
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}

func TestTheCredentialsFileOfAProfileIsWhereThePolicyAllowsIt(t *testing.T) {
	path, places := login(t)
	there := digest("old")
	places.directories, places.limited = []string{place(t)}, true
	for _, outcome := range []contract.Outcome{loads(path, places), swapsIn(path, &there, places), reads(path, places)} {
		is(t, outcome, "denied", "the policy does not allow "+path+"; allow it with wif.Options.AllowDirectories")
	}
	equal(t, content(t, path), "old")
	places.directories = []string{filepath.Dir(path)}
	is(t, reads(path, places), "content", "old")
	equal(t, loads(path, places).Payload.(contract.Entry), contract.Entry{Version: there, Value: "old"})
	outcome := swapsIn(path, &there, places)
	is(t, outcome, "swapped", digest("new"))
	equal(t, content(t, path), "new")
	is(t, swapsIn(path, &there, places), "conflict", "")
	elsewhere := filepath.Join(filepath.Dir(path), "other.json")
	for _, outcome := range []contract.Outcome{loads(elsewhere, places), swapsIn(elsewhere, &there, places)} {
		is(t, outcome, "denied", elsewhere+" is not the credentials file of a profile that the configuration leads to")
	}
}

func TestACredentialsFileIsReplacedAndNeverMade(t *testing.T) {
	path, places := login(t)
	is(t, swapsIn(path, nil, places), "denied", "a credentials file is replaced, and never made")
	check(t, os.Remove(path))
	there := digest("old")
	is(t, swapsIn(path, nil, places), "denied", "a credentials file is replaced, and never made")
	outcome := swapsIn(path, &there, places)
	is(t, outcome, "conflict", "")
	text, err := outcome.MarshalJSON()
	check(t, err)
	equal(t, string(text), `{"conflict":null}`)
	is(t, loads(path, places), "absent", "")
	is(t, reads(path, places), "absent", "")
	if _, err := os.Lstat(path); err == nil {
		t.Fatal("it was made")
	}
}

// Whoever may write to its directory could put another login in its place.
func TestACredentialsFileInADirectoryThatOthersMayWriteIsRefused(t *testing.T) {
	path, places := login(t)
	there := digest("old")
	check(t, os.Chmod(filepath.Dir(path), 0o777))
	for _, outcome := range []contract.Outcome{loads(path, places), swapsIn(path, &there, places), reads(path, places)} {
		is(t, outcome, "denied", "chmod go-w "+filepath.Dir(path))
	}
	equal(t, content(t, path), "old")
}

func TestACredentialsFileThatOthersCouldReadIsRefused(t *testing.T) {
	path, places := login(t)
	there := digest("old")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o610} {
		check(t, os.Chmod(path, mode))
		is(t, loads(path, places), "failed", "others than its owner can use "+path)
		is(t, swapsIn(path, &there, places), "failed", "chmod 600 it, or remove it")
		is(t, reads(path, places), "denied", "others than its owner can use "+path)
	}
	check(t, os.Chmod(path, 0o600))
	moved := filepath.Join(place(t), "moved")
	check(t, os.Rename(path, moved))
	check(t, os.Symlink(moved, path))
	is(t, loads(path, places), "failed", path+" is no regular file: remove it")
	is(t, swapsIn(path, &there, places), "failed", path+" is no regular file: remove it")
	is(t, reads(path, places), "denied", path+" is no regular file: remove it")
	equal(t, content(t, moved), "old")
}

func TestALoginInTheKeychainIsNotReadAndAFileGoesBeforeIt(t *testing.T) {
	path, places := login(t)
	there := digest("old")
	write(t, path+".keychain", "it is there")
	is(t, loads(path, places), "entry", "")
	is(t, swapsIn(path, &there, places), "swapped", "")
	check(t, os.Remove(path))
	is(t, loads(path, places), "failed", "the login is in the keychain")
	is(t, swapsIn(path, &there, places), "failed", "the login is in the keychain")
	is(t, reads(path, places), "denied", "the login is in the keychain")
}

func TestNoMoreOfACredentialsFileIsReadThanIsAskedFor(t *testing.T) {
	path, places := login(t)
	request := contract.FileRequest{Path: path, MaxBytes: 2}
	is(t, Read(context.Background(), request, places), "failed", "the file is longer than 2 bytes")
	write(t, path, strings.Repeat("x", contract.Authority.Limits.ContentBytes+1))
	is(t, loads(path, places), "failed", "it is 1048577 bytes long")
}

func TestNoRefusalQuotesWhatIsInAFile(t *testing.T) {
	const canary = "sk-ant-ort01-canary"
	path, places := login(t)
	write(t, path, canary)
	check(t, os.Chmod(path, 0o644))
	there := digest(canary)
	request := contract.FileRequest{Path: path, MaxBytes: 3}
	for _, outcome := range []contract.Outcome{
		loads(path, places), swapsIn(path, &there, places), reads(path, places), Read(context.Background(), request, policy{}),
	} {
		if text, _ := outcome.MarshalJSON(); strings.Contains(string(text), canary) {
			t.Fatal("it is shown")
		}
	}
}
