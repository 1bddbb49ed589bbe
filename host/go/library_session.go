//go:build cgo && wif_library

package wif

/*
#include <stdlib.h>
#include <wif.h>
*/
import "C"

import "encoding/json"

// librarySession is a session of the library in C.
type librarySession struct{ handle *C.wif_session }

func openSession(document []byte) (sessionBackend, error) {
	arguments := texts{}
	defer arguments.free()
	var problem *C.char
	handle := C.wif_session_open(arguments.add(string(document)), &problem)
	if handle == nil {
		return nil, errorFrom(take(problem))
	}
	return &librarySession{handle}, nil
}

func (s *librarySession) step(clock, event json.RawMessage) (json.RawMessage, error) {
	arguments := texts{}
	defer arguments.free()
	var problem *C.char
	return given(C.wif_session_step(s.handle, arguments.add(string(clock)), arguments.add(string(event)), &problem), &problem)
}

func (s *librarySession) status(clock json.RawMessage) (json.RawMessage, error) {
	arguments := texts{}
	defer arguments.free()
	var problem *C.char
	return given(C.wif_session_status(s.handle, arguments.add(string(clock)), &problem), &problem)
}

func (s *librarySession) entryKey() (json.RawMessage, error) {
	var problem *C.char
	return given(C.wif_session_entry_key(s.handle, &problem), &problem)
}

func (s *librarySession) close() { C.wif_session_close(s.handle) }

func given(text *C.char, problem **C.char) (json.RawMessage, error) {
	if text == nil {
		return nil, errorFrom(take(*problem))
	}
	return json.RawMessage(take(text)), nil
}
