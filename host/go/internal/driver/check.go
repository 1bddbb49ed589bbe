package driver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"wif/internal/contract"
)

// nudgeAgain is when callers who say that a token is needed are heard again at the latest, in milliseconds: what was due has been done.
const nudgeAgain = 1000

// aThousandYears is in milliseconds. Later is never.
const aThousandYears = 31_557_600_000_000

// checked is a session's output as it may be used.
type checked struct {
	snapshot *Snapshot
	// originDenied says that there is a token for an origin that the policy refuses. The access says so, too.
	originDenied bool
	wakeAt       int64
	tasks        []contract.NumberedTask
	journal      *string
	notes        []contract.Note
}

// breach is how the component broke the contract.
type breach string

func (b breach) Error() string { return string(b) }

// check looks at an output as if a stranger had said it. The step began at the first moment, and its times count from then; but the session
// is left alone from the step's end on. Tasks are checked when they are done, for a refusal is an answer to them.
func check(output contract.Output, now, ended int64, host Host) (checked, error) {
	limits := contract.Authority.Limits
	if output.Journal != nil && len(*output.Journal) > limits.JournalBytes {
		return checked{}, breach("the journal is too long")
	}
	if len(output.Notes) > limits.List {
		return checked{}, breach("too many notes")
	}
	notes := make([]contract.Note, 0, len(output.Notes))
	for _, note := range output.Notes {
		size := len(note.Message)
		for _, field := range note.Fields {
			size += len(field.Name) + len(field.Value)
		}
		if len(note.Fields) > limits.List || size > limits.NoteBytes {
			return checked{}, breach("a note is too long")
		}
		notes = append(notes, shownNote(note))
	}
	if output.Progress != "resting" && output.Progress != "underway" {
		return checked{}, breach("its progress is none")
	}
	for _, task := range output.Tasks {
		if task.Task.Kind() == "" {
			return checked{}, breach("a task is none")
		}
	}
	access, denied, err := checkAccess(output.Access, now, host)
	if err != nil {
		return checked{}, err
	}
	wakeIn, wakeAt := int64(never), int64(never)
	if output.WakeInMs != nil {
		wakeIn = min(max(int64(*output.WakeInMs), limits.WakeAtLeastMs), limits.WakeAtMostMs)
		wakeAt = ended + wakeIn
	}
	snapshot := &Snapshot{
		access: access, underway: output.Progress == "underway", waitAtMost: min(int64(output.WaitAtMostMs), limits.WaitAtMostMs),
		nudgeFrom: nudgeFrom(access, now, wakeIn), superseded: make(chan struct{}),
	}
	return checked{snapshot, denied, wakeAt, output.Tasks, output.Journal, notes}, nil
}

// nudgeFrom: the step that has just ended did all that was due. Callers of what is pending wait, or say it anyway.
func nudgeFrom(a access, now, wakeIn int64) int64 {
	switch {
	case a.kind == "usable" && a.refresh > now:
		return a.refresh
	case a.kind == "usable", a.kind == "failed":
		return now + min(wakeIn, nudgeAgain)
	}
	return never
}

func checkAccess(from contract.Access, now int64, host Host) (access, bool, error) {
	switch {
	case from.Usable != nil:
		origin, err := host.CheckTokenOrigin(from.Usable.Origin)
		if err != nil {
			return access{kind: "failed", failure: originDenied(err.Error())}, true, nil
		}
		usable, err := checkUsable(*from.Usable, origin, now)
		return usable, false, err
	case from.Failed != nil:
		return access{kind: "failed", failure: shownFailure(*from.Failed)}, false, nil
	case from.Pending != "":
		return access{kind: "pending", reason: contract.Shown(from.Pending)}, false, nil
	case from.Idle:
		return access{kind: "idle"}, false, nil
	}
	return access{kind: "closed"}, false, nil
}

var isID = regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString

func checkUsable(usable contract.Usable, origin string, now int64) (access, error) {
	known := contract.Authority.Usable
	set, err := fields(usable.Set, known.Set)
	if err != nil {
		return access{}, err
	}
	merge, err := fields(usable.Merge, known.Merge)
	if err != nil {
		return access{}, err
	}
	whole := 0
	for _, field := range set {
		if field.Value != "" && slices.Contains(known.Credential, field.Name) {
			whole++
		}
	}
	if whole != 1 {
		return access{}, breach("a token is one credential, and no more")
	}
	if !isID(usable.ID) {
		return access{}, breach("a token's id is none")
	}
	if usable.Standing != "good" && usable.Standing != "suspect" {
		return access{}, breach("a token's standing is none")
	}
	at := func(wait *uint64) int64 {
		if wait == nil || *wait >= aThousandYears {
			return never
		}
		return now + int64(*wait)
	}
	token := &Token{ID: usable.ID, Origin: origin, Suspect: usable.Standing == "suspect", Set: set, Merge: merge}
	return access{
		kind: "usable", token: token, refresh: at(usable.RefreshInMs), hold: at(usable.HoldInMs), end: at(usable.UnusableInMs),
	}, nil
}

// fields are header fields of which each is a part of a credential: any other would change what a caller's request is.
func fields(headers []contract.Header, known []string) ([]contract.Header, error) {
	limits := contract.Authority.Limits
	if len(headers) > limits.List {
		return nil, breach("too many header fields")
	}
	for i, header := range headers {
		if err := header.Check(); err != nil {
			return nil, breach(err.Error())
		}
		if !slices.Contains(known, header.Name) {
			return nil, breach(fmt.Sprintf("the header %.64s is no part of a credential", header.Name))
		}
		if slices.ContainsFunc(headers[:i], func(earlier contract.Header) bool { return earlier.Name == header.Name }) {
			return nil, breach("a header is there twice")
		}
		if len(header.Value) > limits.FieldBytes {
			return nil, breach("the value of the header " + header.Name + " is too long")
		}
	}
	return headers, nil
}

func shownNote(note contract.Note) contract.Note {
	fields := make([]contract.Field, len(note.Fields))
	for i, field := range note.Fields {
		fields[i] = contract.Field{Name: contract.Shown(field.Name), Value: contract.Shown(field.Value)}
	}
	return contract.Note{Code: contract.Shown(note.Code), Level: note.Level, Message: contract.Shown(note.Message), Fields: fields}
}

// shownStatus is a status whose texts can be shown.
func shownStatus(document json.RawMessage) (json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var status map[string]any
	if err := decoder.Decode(&status); err != nil || status["state"] == nil {
		return nil, breach("its status is none")
	}
	return contract.JSON(shownValue(status))
}

func shownValue(value any) any {
	switch value := value.(type) {
	case string:
		return contract.Shown(value)
	case []any:
		for i := range value {
			value[i] = shownValue(value[i])
		}
	case map[string]any:
		shown := make(map[string]any, len(value))
		for name, inner := range value {
			shown[contract.Shown(name)] = shownValue(inner)
		}
		return shown
	}
	return value
}

func shownFailure(failure contract.Failure) *contract.Failure {
	failure.Code, failure.Message, failure.Action = contract.Shown(failure.Code), contract.Shown(failure.Message), contract.Shown(failure.Action)
	if failure.RequestID != nil {
		id := contract.Shown(*failure.RequestID)
		failure.RequestID = &id
	}
	return &failure
}

func originDenied(rule string) *contract.Failure {
	return &contract.Failure{
		Code: "denied-by-host", Message: "The token's origin is refused: " + rule + ".", Action: "Allow it, or configure another base_url.",
	}
}

func componentStopped(why string, retryIn *uint64) *contract.Failure {
	return &contract.Failure{
		Code: "component-stopped", Message: "The component was stopped: " + contract.Shown(why) + ".", RetryInMs: retryIn,
		Action: "Nothing needs to be done if it happens once. Report it if it happens again.",
	}
}
