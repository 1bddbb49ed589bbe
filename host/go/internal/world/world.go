// Package world is the emulator as the tests of this package use it. The test in Rust tells where it is.
package world

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// URL is where the API is.
var URL, admin = os.Getenv("ANTHROPIC_BASE_URL"), os.Getenv("EMULATOR_ADMIN")

// Entry is one of the emulator's history.
type Entry struct {
	Kind          string `json:"kind"`
	Reason        string `json:"reason"`
	AccessTokenID string `json:"access_token_id"`
	RequestID     string `json:"request_id"`
}

// New is the emulator for one test: with a new identity token and no fault. It gives what happens from here on.
func New(t *testing.T) func(kind string) []Entry {
	Ask(t, "DELETE", "/faults", "", nil)
	Ask(t, "POST", "/token-file/rotate", "{}", nil)
	var since struct{ Next int }
	Ask(t, "GET", "/history?since=0", "", &since)
	entries := func(kind string) []Entry {
		var history struct{ Entries []Entry }
		Ask(t, "GET", fmt.Sprintf("/history?since=%d", since.Next), "", &history)
		var found []Entry
		for _, entry := range history.Entries {
			if entry.Kind == kind {
				found = append(found, entry)
			}
		}
		return found
	}
	t.Cleanup(func() {
		for _, exchange := range entries("exchange") {
			if exchange.Reason == "jti_reused" {
				t.Error("a spent identity token was sent again")
			}
		}
	})
	return entries
}

// Ask asks its administrator.
func Ask(t *testing.T, method, path, body string, into any) {
	t.Helper()
	request, err := http.NewRequest(method, admin+path, strings.NewReader(body))
	Check(t, err)
	response, err := http.DefaultClient.Do(request)
	Check(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Check(t, err)
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s", method, path, text)
	}
	if into != nil {
		Check(t, json.Unmarshal(text, into))
	}
}

// Check fails the test where there is an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Equal fails the test where it is something else.
func Equal[T comparable](t *testing.T, got, expected T) {
	t.Helper()
	if got != expected {
		t.Fatalf("%v, where %v is expected", got, expected)
	}
}
