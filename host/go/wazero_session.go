//go:build !cgo || !wif_library

package wif

import (
	"encoding/json"
	"errors"

	"wif/internal/contract"
	"wif/internal/flat"
)

// wazeroSession is a session in wazero.
type wazeroSession struct{ *flat.Session }

func openSession(document []byte) (sessionBackend, error) {
	session, err := flat.OpenText(document)
	if err != nil {
		return nil, sessionError(err)
	}
	return wazeroSession{session}, nil
}

func (s wazeroSession) step(clock, event json.RawMessage) (json.RawMessage, error) {
	output, err := s.StepText(clock, event)
	return output, sessionError(err)
}

func (s wazeroSession) status(clock json.RawMessage) (json.RawMessage, error) {
	status, err := s.StatusText(clock)
	return status, sessionError(err)
}

func (s wazeroSession) entryKey() (json.RawMessage, error) {
	key, err := s.EntryKey()
	return key, sessionError(err)
}

func (s wazeroSession) close() { s.Close() }

func sessionError(err error) error {
	var form *flat.Form
	switch {
	case err == nil:
		return nil
	case errors.As(err, &form):
		return &Error{Code: "invalid-argument", Message: "An argument cannot be used: " + contract.Shown(form.What) + ".", Action: "Mend the call."}
	}
	problem := errorOf(err)
	if stopped, is := problem.(*Error); is && stopped.Code == "component-stopped" {
		stopped.Action = "Open another session from the newest journal."
	}
	return problem
}
