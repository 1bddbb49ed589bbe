package wif

/*
#include <stdlib.h>
#include <wif.h>
*/
import "C"

import "encoding/json"

// Session is a session without a driver, for authors of hosts: the state machine of the component behind the contract's JSON. The rules of
// wit/session.wit are the caller's to keep. Calls on one session are serial. What goes in and comes out holds secrets.
type Session struct{ handle *C.wif_session }

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

// OpenSession opens a session. Its error is an *Error with the code configuration, invalid-argument or component-stopped.
func OpenSession(opening Opening) (*Session, error) {
	if opening.Can == nil {
		opening.Can = []string{}
	}
	document, err := json.Marshal(opening)
	if err != nil {
		return nil, err
	}
	arguments := texts{}
	defer arguments.free()
	var problem *C.char
	handle := C.wif_session_open(arguments.add(string(document)), &problem)
	if handle == nil {
		return nil, errorFrom(take(problem))
	}
	return &Session{handle}, nil
}

// Step takes a clock and an event, and gives an output.
func (s *Session) Step(clock, event json.RawMessage) (json.RawMessage, error) {
	if s.handle == nil {
		return nil, errClosed()
	}
	arguments := texts{}
	defer arguments.free()
	var problem *C.char
	return given(C.wif_session_step(s.handle, arguments.add(string(clock)), arguments.add(string(event)), &problem), &problem)
}

// Status takes a clock, and gives a status.
func (s *Session) Status(clock json.RawMessage) (json.RawMessage, error) {
	if s.handle == nil {
		return nil, errClosed()
	}
	arguments := texts{}
	defer arguments.free()
	var problem *C.char
	return given(C.wif_session_status(s.handle, arguments.add(string(clock)), &problem), &problem)
}

// EntryKey is the key of this identity's entry in a store: a text of JSON, or null.
func (s *Session) EntryKey() (json.RawMessage, error) {
	if s.handle == nil {
		return nil, errClosed()
	}
	var problem *C.char
	return given(C.wif_session_entry_key(s.handle, &problem), &problem)
}

// Close ends it.
func (s *Session) Close() {
	C.wif_session_close(s.handle)
	s.handle = nil
}

func given(text *C.char, problem **C.char) (json.RawMessage, error) {
	if text == nil {
		return nil, errorFrom(take(*problem))
	}
	return json.RawMessage(take(text)), nil
}
