package contract

import (
	"encoding/json"
	"strings"

	"wif/internal/embedded"
)

// Authority is wit/authority.json: what a session may ask of its host without leave of the embedding program.
var Authority = func() (authority authority) {
	must(json.Unmarshal(embedded.Authority, &authority))
	return authority
}()

// Rules is wit/rules.json: what every host does alike with a request that is to carry the credential.
var Rules = func() (rules rules) {
	must(json.Unmarshal(embedded.Rules, &rules))
	return rules
}()

type authority struct {
	Variables []string `json:"variables"`
	Exchange  struct {
		Method      string   `json:"method"`
		Path        string   `json:"path"`
		ContentType string   `json:"content-type"`
		Headers     []string `json:"headers"`
	} `json:"exchange"`
	Usable struct {
		Credential []string `json:"credential"`
		Set        []string `json:"set"`
		Merge      []string `json:"merge"`
	} `json:"usable"`
	Limits Limits `json:"limits"`
}

// Limits are never exceeded, whatever a session says. Names say the unit.
type Limits struct {
	RequestBytes   int   `json:"request-bytes"`
	RequestHeaders int   `json:"request-headers"`
	ResponseBytes  int   `json:"response-bytes"`
	ContentBytes   int   `json:"content-bytes"`
	Tasks          int   `json:"tasks"`
	List           int   `json:"list"`
	NoteBytes      int   `json:"note-bytes"`
	FieldBytes     int   `json:"field-bytes"`
	JournalBytes   int   `json:"journal-bytes"`
	WakeAtLeastMs  int64 `json:"wake-at-least-ms"`
	WakeAtMostMs   int64 `json:"wake-at-most-ms"`
	WaitAtMostMs   int64 `json:"wait-at-most-ms"`
	Rest           int64 `json:"rest"`
	NotesAtOnce    int   `json:"notes-at-once"`
	NoteEveryMs    int64 `json:"note-every-ms"`
	RequestsAtOnce int   `json:"requests-at-once"`
	RequestEveryMs int64 `json:"request-every-ms"`
	EntriesAtOnce  int   `json:"entries-at-once"`
	EntryEveryMs   int64 `json:"entry-every-ms"`
	MemoryBytes    int   `json:"memory-bytes"`
}

type rules struct {
	Credentials struct {
		Names    []string `json:"names"`
		Prefixes []string `json:"prefixes"`
	} `json:"credentials"`
}

// IsCredential says whether a header field of this name holds a caller's own credential.
func IsCredential(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	for _, known := range Rules.Credentials.Names {
		if name == known {
			return true
		}
	}
	for _, prefix := range Rules.Credentials.Prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// The lists are part of the program.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Shown is a text of a stranger's for people: cut, and without what would write lines of a log, move a terminal's cursor, or turn the
// direction of what stands beside it.
func Shown(text string) string {
	const longest = 2000
	shown := strings.Map(func(r rune) rune {
		switch {
		case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return ' '
		}
		return r
	}, text)
	if runes := []rune(shown); len(runes) > longest {
		return string(runes[:longest])
	}
	return shown
}
