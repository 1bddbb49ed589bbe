// Package contract has the types of wit/types.wit in their JSON form. What they mean, and what of them is secret, stands there.
package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// JSON escapes no more than it must: what is escaped takes six times its room in the module's memory.
func JSON(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// Clock is what time it is, as this host sees it.
type Clock struct {
	WallMs   uint64  `json:"wall-ms"`
	SteadyMs *uint64 `json:"steady-ms,omitempty"`
}

// Case is a case of a variant: its name, and its payload where it has one. It prints no payload, for that may be secret.
type Case struct {
	Tag     string
	Payload any
}

// MarshalJSON gives the contract's JSON.
func (c Case) MarshalJSON() ([]byte, error) {
	if c.Payload == nil {
		return JSON(c.Tag)
	}
	return JSON(map[string]any{c.Tag: c.Payload})
}

// String is the name of the case.
func (c Case) String() string { return c.Tag }

// GoString is the name of the case.
func (c Case) GoString() string { return c.Tag }

// Start is what a session begins from.
type Start = Case

// What a session begins from.
var (
	Fresh       = Start{Tag: "fresh"}
	LostJournal = Start{Tag: "lost"}
)

// Resumed begins from a journal.
func Resumed(journal string) Start { return Start{"resumed", journal} }

// Event is what happened.
type Event = Case

// Events without a payload.
var (
	Woken   = Event{Tag: "woken"}
	Needed  = Event{Tag: "needed"}
	Changed = Event{Tag: "changed"}
	Closing = Event{Tag: "closing"}
)

// Finished says that a task ended.
func Finished(number uint32, outcome Outcome) Event {
	return Event{"finished", TaskResult{number, outcome}}
}

// Rejected says that the API answered 401 to the token with this id.
func Rejected(id string) Event { return Event{"rejected", id} }

// TaskResult is how a task ended.
type TaskResult struct {
	Number  uint32  `json:"number"`
	Outcome Outcome `json:"outcome"`
}

// Outcome is what came of a task.
type Outcome = Case

// Outcomes without a payload.
var (
	Absent      = Outcome{Tag: "absent"}
	Unsupported = Outcome{Tag: "unsupported"}
	Lost        = Outcome{Tag: "lost"}
)

// Content is that of a file, a variable, an identity token or a signature.
func Content(text string) Outcome { return Outcome{"content", text} }

// Supplied is an access token of the embedding program.
func Supplied(token SuppliedToken) Outcome { return Outcome{"token", token} }

// Answered is a complete answer.
func Answered(response Response) Outcome { return Outcome{"response", response} }

// Found is an entry of the store.
func Found(entry Entry) Outcome { return Outcome{"entry", entry} }

// Swapped is the new version of an entry.
func Swapped(version string) Outcome { return Outcome{"swapped", version} }

// Conflict is the entry that is there instead of the expected one, or nil.
func Conflict(entry *Entry) Outcome { return Outcome{"conflict", conflict{entry}} }

type conflict struct{ entry *Entry }

// MarshalJSON gives the entry or null.
func (c conflict) MarshalJSON() ([]byte, error) { return JSON(c.entry) }

// Denied names the rule that refuses, Unsent why no byte left, MaybeSent why no answer came, Failed and Unkept what went wrong: for people,
// and without a secret.
func Denied(rule string) Outcome { return Outcome{"denied", rule} }

// Unsent says that no byte of the request left.
func Unsent(why string) Outcome { return Outcome{"unsent", why} }

// MaybeSent says that bytes left, and no complete answer came.
func MaybeSent(why string) Outcome { return Outcome{"maybe-sent", why} }

// Failed says that a task failed for another reason.
func Failed(why string) Outcome { return Outcome{"failed", why} }

// Response is an HTTP answer.
type Response struct {
	Status  int      `json:"status"`
	Headers []Header `json:"headers"`
	Body    string   `json:"body"`
}

// Header is a header field, its name in lower case.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SuppliedToken is an access token that the embedding program supplied.
type SuppliedToken struct {
	Value       string  `json:"value"`
	ExpiresAtMs *uint64 `json:"expires-at-ms,omitempty"`
}

// Entry is a value in a store.
type Entry struct {
	Version string `json:"version"`
	Value   string `json:"value"`
}

// List is one of a session's, which is read no further than it may be long: what is decoded takes a hundred times the room of its text.
type List[T any] []T

// longest is more items than any list of the contract may have.
const longest = 1_000

// UnmarshalJSON reads the items.
func (l *List[T]) UnmarshalJSON(text []byte) error {
	*l = nil
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start == nil {
		return err
	} else if start != json.Delim('[') {
		return fmt.Errorf("it is no list")
	}
	for decoder.More() {
		if len(*l) == longest {
			return fmt.Errorf("a list is too long")
		}
		var item T
		if err := decoder.Decode(&item); err != nil {
			return err
		}
		*l = append(*l, item)
	}
	return nil
}

// Output is the answer to one step.
type Output struct {
	Access       Access             `json:"access"`
	Progress     string             `json:"progress"`
	WaitAtMostMs uint32             `json:"wait-at-most-ms"`
	Tasks        List[NumberedTask] `json:"tasks"`
	Abandon      List[uint32]       `json:"abandon"`
	WakeInMs     *uint32            `json:"wake-in-ms"`
	Journal      *string            `json:"journal"`
	Notes        List[Note]         `json:"notes"`
}

// Access is what callers may do: one of these.
type Access struct {
	Usable  *Usable
	Pending string
	Failed  *Failure
	Idle    bool
	Closed  bool
}

// UnmarshalJSON reads the contract's JSON.
func (a *Access) UnmarshalJSON(text []byte) error {
	*a = Access{}
	var name string
	if json.Unmarshal(text, &name) == nil {
		switch name {
		case "idle":
			a.Idle = true
		case "closed":
			a.Closed = true
		default:
			return fmt.Errorf("no access is called so")
		}
		return nil
	}
	var cases struct {
		Usable  *Usable  `json:"usable"`
		Pending *string  `json:"pending"`
		Failed  *Failure `json:"failed"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		return err
	}
	there := 0
	if cases.Usable != nil {
		a.Usable = cases.Usable
		there++
	}
	if cases.Pending != nil && *cases.Pending != "" {
		a.Pending = *cases.Pending
		there++
	}
	if cases.Failed != nil {
		a.Failed = cases.Failed
		there++
	}
	if there != 1 {
		return fmt.Errorf("an access is one case")
	}
	return nil
}

// Usable is a token and how long it serves.
type Usable struct {
	ID           string       `json:"id"`
	Origin       string       `json:"origin"`
	Set          List[Header] `json:"set"`
	Merge        List[Header] `json:"merge"`
	RefreshInMs  *uint64      `json:"refresh-in-ms"`
	HoldInMs     *uint64      `json:"hold-in-ms"`
	UnusableInMs *uint64      `json:"unusable-in-ms"`
	Standing     string       `json:"standing"`
}

// Failure is why there is no token.
type Failure struct {
	Code         string  `json:"code"`
	Message      string  `json:"message"`
	Action       string  `json:"action"`
	RetryInMs    *uint64 `json:"retry-in-ms"`
	RotationInMs *uint64 `json:"rotation-in-ms"`
	Status       *int    `json:"status"`
	RequestID    *string `json:"request-id"`
}

// Note is something that changed.
type Note struct {
	Code    string      `json:"code"`
	Level   string      `json:"level"`
	Message string      `json:"message"`
	Fields  List[Field] `json:"fields"`
}

// Field is a named detail.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// NumberedTask is a task with the number under which it is answered.
type NumberedTask struct {
	Number uint32 `json:"number"`
	Task   Task   `json:"task"`
}

// Task is work for the host: one of these.
type Task struct {
	SendRequest     *HTTPRequest      `json:"send-request"`
	ReadFile        *FileRequest      `json:"read-file"`
	ReadVariable    *string           `json:"read-variable"`
	SupplyAssertion *AssertionRequest `json:"supply-assertion"`
	SupplyToken     *TokenRequest     `json:"supply-token"`
	Sign            *SignRequest      `json:"sign"`
	LoadEntry       *string           `json:"load-entry"`
	SwapEntry       *Swap             `json:"swap-entry"`
}

// Kind is the name of the task's case; empty where it is not exactly one.
func (t Task) Kind() string {
	kind, there := "", 0
	is := func(name string, has bool) {
		if has {
			kind = name
			there++
		}
	}
	is("send-request", t.SendRequest != nil)
	is("read-file", t.ReadFile != nil)
	is("read-variable", t.ReadVariable != nil)
	is("supply-assertion", t.SupplyAssertion != nil)
	is("supply-token", t.SupplyToken != nil)
	is("sign", t.Sign != nil)
	is("load-entry", t.LoadEntry != nil)
	is("swap-entry", t.SwapEntry != nil)
	if there != 1 {
		return ""
	}
	return kind
}

// String is the task's kind: the rest may be secret.
func (t Task) String() string { return t.Kind() }

// GoString is the task's kind.
func (t Task) GoString() string { return t.Kind() }

// Purpose is what a request is for: "exchange", "refresh", or the name of a source.
type Purpose struct {
	// Source is the name of a source, where the request is for one.
	Source string
	// Name is "exchange", "refresh" or "source".
	Name string
}

// UnmarshalJSON reads the contract's JSON.
func (p *Purpose) UnmarshalJSON(text []byte) error {
	*p = Purpose{}
	if json.Unmarshal(text, &p.Name) == nil {
		if p.Name != "exchange" && p.Name != "refresh" {
			return fmt.Errorf("no purpose is called so")
		}
		return nil
	}
	var cases struct {
		Source *string `json:"source"`
	}
	if err := json.Unmarshal(text, &cases); err != nil || cases.Source == nil {
		return fmt.Errorf("it is no purpose")
	}
	*p = Purpose{Source: *cases.Source, Name: "source"}
	return nil
}

// HTTPRequest is a request to send. The values of its fields and its body are secret.
type HTTPRequest struct {
	Purpose          Purpose      `json:"purpose"`
	Method           string       `json:"method"`
	URL              string       `json:"url"`
	Origin           string       `json:"origin"`
	Headers          List[Header] `json:"headers"`
	Body             string       `json:"body"`
	TimeoutMs        uint32       `json:"timeout-ms"`
	MaxResponseBytes uint32       `json:"max-response-bytes"`
}

// FileRequest is a file to read. Protection is "any" or "unwritable-by-others".
type FileRequest struct {
	Path       string `json:"path"`
	MaxBytes   uint32 `json:"max-bytes"`
	Protection string `json:"protection"`
}

// AssertionRequest is a call for an identity token.
type AssertionRequest struct {
	Name     string `json:"name"`
	Audience string `json:"audience"`
}

// TokenRequest is a call for an access token.
type TokenRequest struct {
	Name     string  `json:"name"`
	Rejected *string `json:"rejected"`
}

// SignRequest is a signature to make.
type SignRequest struct {
	Key       string `json:"key"`
	Algorithm string `json:"algorithm"`
	Input     string `json:"input"`
}

// Swap is a compare-and-swap. Value is secret.
type Swap struct {
	Key      string  `json:"key"`
	Expected *string `json:"expected"`
	Value    string  `json:"value"`
}

// Opening is what a session is opened with.
type Opening struct {
	Configuration string   `json:"configuration"`
	Seed          uint64   `json:"seed"`
	Can           []string `json:"can"`
	From          Start    `json:"from"`
}
