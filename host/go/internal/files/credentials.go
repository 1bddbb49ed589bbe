package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"wif/internal/contract"
)

// The credentials file of a person's login, `credentials/NAME.json` beside a profile in the vendor's format, as an entry that is compared
// and swapped.
//
// Its owner alone may read it; a link, another owner or another mode is refused. The version is a hash of the content, for other programs
// write the file, too.

// LoadCredentials is the content of a credentials file and its version. Its outcome is entry, absent, denied or failed.
func LoadCredentials(ctx context.Context, path string, places Places) contract.Outcome {
	place, refused := credentialsAt(path, places)
	if refused.Tag != "" {
		return refused
	}
	return read(ctx, places, place, func() contract.Outcome {
		if rule := checkCredentials(place, places); rule != "" {
			return contract.Denied(rule)
		}
		entry, err := loadCredentials(place)
		if err == nil {
			entry, err = bounded(entry)
		}
		switch {
		case err != nil:
			return contract.Failed(err.Error())
		case entry == nil:
			return contract.Absent
		}
		return contract.Found(*entry)
	})
}

// SwapCredentials replaces a credentials file if its version is the expected one, and never makes one. Its outcome is swapped, conflict,
// denied, failed or unsupported.
func SwapCredentials(ctx context.Context, path string, expected *string, value string, places Places) contract.Outcome {
	place, refused := credentialsAt(path, places)
	if refused.Tag != "" {
		return refused
	}
	refused = read(ctx, places, place, func() (refused contract.Outcome) {
		if rule := checkCredentials(place, places); rule != "" {
			refused = contract.Denied(rule)
		}
		return refused
	})
	switch {
	case refused.Tag != "":
		return refused
	case expected == nil:
		return contract.Denied("a credentials file is replaced, and never made")
	case !canLock:
		return contract.Unsupported
	}
	load := func() (*contract.Entry, error) { return loadCredentials(place) }
	version, there, err := swap(ctx, places.Calls(), place, expected, load, func() (string, error) { return digest(value), replace(place, value) })
	switch {
	case err != nil:
		return contract.Failed(err.Error())
	case version == "":
		return contract.Conflict(there)
	}
	return contract.Swapped(version)
}

// readCredentials answers whoever asks for the file: what others could read is no secret any more.
func readCredentials(path string, request contract.FileRequest, places Places) contract.Outcome {
	if rule := checkCredentials(path, places); rule != "" {
		return contract.Denied(rule)
	}
	entry, err := loadCredentials(path)
	switch limit := limitOf(request); {
	case err != nil:
		return contract.Denied(err.Error())
	case entry == nil:
		return contract.Absent
	case int64(len(entry.Value)) > limit:
		return tooLong(limit)
	}
	return contract.Content(entry.Value)
}

// credentialsAt is where this process reads them, if the configuration leads to them.
func credentialsAt(path string, places Places) (string, contract.Outcome) {
	if !places.IsCredentials(path) {
		rule := fmt.Sprintf("%s is not the credentials file of a profile that the configuration leads to", contract.Shown(path))
		return "", contract.Denied(rule)
	}
	place, ok := Absolute(path)
	if !ok {
		return "", unplaced
	}
	return place, contract.Outcome{}
}

// checkCredentials gives the rule that refuses this path, if one does. The file itself is no link, or it is refused when it is read.
func checkCredentials(path string, places Places) string {
	directory, name := filepath.Split(path)
	resolved := path
	if real, err := canonical(directory); err == nil {
		resolved = filepath.Join(real, name)
	}
	if rule := checkDirectories(resolved, places); rule != "" {
		return rule
	}
	// Whoever may write there could put another login in its place. What cannot be looked at cannot be read, either.
	why, err := distrusted(directory)
	if err != nil {
		return ""
	}
	return why
}

// loadCredentials is the content and its version; nil if there is no file. A file goes before the keychain: another program wrote it later.
func loadCredentials(path string) (*contract.Entry, error) {
	content, err := readPrivate(path)
	switch {
	case err != nil:
		return nil, err
	case content != nil:
		return &contract.Entry{Version: digest(*content), Value: *content}, nil
	case isInKeychain(path):
		return nil, errors.New("the login is in the keychain, which Go cannot read: use wif exec, or log in again without --keychain")
	}
	return nil, nil
}

// isInKeychain says whether `wif login --keychain` left a file that says so.
func isInKeychain(path string) bool {
	metadata, err := os.Lstat(path + ".keychain")
	return err == nil && metadata.Mode().IsRegular()
}
