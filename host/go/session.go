package wif

import (
	"encoding/json"
	"fmt"
	"io"
)

// Session is a session without a driver, for authors of hosts: the state machine behind the contract's JSON. The rules of wit/session.wit
// are the caller's to keep. Calls on one session are serial. What goes in and comes out holds secrets.
type Session struct{ backend sessionBackend }

// Opening is what a session is opened with.
type Opening struct {
	// Configuration is the document as a text.
	Configuration string `json:"configuration"`
	Seed          uint64 `json:"seed"`
	// Can has the capabilities by their names in wit/types.wit.
	Can []string `json:"can"`
	// From is "fresh", {"resumed": "<journal>"} or "lost", as JSON.
	From json.RawMessage `json:"from"`
}

type sessionBackend interface {
	step(clock, event json.RawMessage) (json.RawMessage, error)
	status(clock json.RawMessage) (json.RawMessage, error)
	entryKey() (json.RawMessage, error)
	close()
}

// Format shows nothing of it, whatever the verb: the configuration and the journal are secret.
func (Opening) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "wif.Opening") }

// OpenSession opens a session. Its error is an *Error with the code configuration, invalid-argument or component-stopped.
func OpenSession(opening Opening) (*Session, error) {
	if opening.Can == nil {
		opening.Can = []string{}
	}
	document, err := json.Marshal(opening)
	if err != nil {
		// What it quotes may be secret.
		return nil, &Error{Code: "invalid-argument", Message: "An argument cannot be used: From is not JSON.", Action: "Mend the call."}
	}
	backend, err := openSession(document)
	if err != nil {
		return nil, err
	}
	return &Session{backend}, nil
}

// Step takes a clock and an event, and gives an output.
func (s *Session) Step(clock, event json.RawMessage) (json.RawMessage, error) {
	if s.backend == nil {
		return nil, errClosed()
	}
	return s.backend.step(clock, event)
}

// Status takes a clock, and gives a status.
func (s *Session) Status(clock json.RawMessage) (json.RawMessage, error) {
	if s.backend == nil {
		return nil, errClosed()
	}
	return s.backend.status(clock)
}

// EntryKey is the key of this identity's entry in a store: a text of JSON, or null.
func (s *Session) EntryKey() (json.RawMessage, error) {
	if s.backend == nil {
		return nil, errClosed()
	}
	return s.backend.entryKey()
}

// Close ends it.
func (s *Session) Close() {
	if s.backend != nil {
		s.backend.close()
		s.backend = nil
	}
}
