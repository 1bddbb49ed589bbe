package wif

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

// Error says why there is no token, or no credential. Code is for the program: those of the contract, and configuration, timed-out,
// overloaded, closed, component-stopped, other-origin, invalid-argument and internal.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Action is what the reader should do.
	Action string `json:"action"`
	// Field is what of the configuration can never work, where the code is configuration.
	Field string `json:"field"`
	// EndpointStatus is the status of the token endpoint, or 0.
	EndpointStatus int `json:"status"`
	// RequestID is the one of that answer.
	RequestID string `json:"request-id"`

	RetryInMs    *int64 `json:"retry-in-ms"`
	RotationInMs *int64 `json:"rotation-in-ms"`
}

// Error is for people.
func (e *Error) Error() string {
	message := e.Message
	if message != "" && !strings.ContainsAny(message[len(message)-1:], ".!?") {
		message += "."
	}
	if e.Field != "" {
		return fmt.Sprintf("wif: %s: %s %s", e.Field, message, e.Action)
	}
	return fmt.Sprintf("wif: %s %s (%s)", message, e.Action, e.Code)
}

// Is compares codes, so that errors.Is(err, &wif.Error{Code: "refused"}) holds.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// RetryIn is the time until it is tried again, if that is known.
func (e *Error) RetryIn() (time.Duration, bool) { return duration(e.RetryInMs) }

// RotationIn is the time until the identity token's rotation is expected, where that is what is awaited.
func (e *Error) RotationIn() (time.Duration, bool) { return duration(e.RotationInMs) }

func duration(ms *int64) (time.Duration, bool) {
	if ms == nil {
		return 0, false
	}
	return time.Duration(min(*ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, true
}

func errorFrom(document string) error {
	problem := &Error{}
	if err := json.Unmarshal([]byte(document), problem); err != nil || problem.Code == "" {
		problem = &Error{Code: "internal", Message: "The library gave no error that can be read.", Action: "Report it."}
	}
	return problem
}

func errClosed() error {
	return &Error{Code: "closed", Message: "The credential is closed.", Action: "Open another."}
}

func errOtherOrigin(told, actual string) error {
	return &Error{
		Code:    "other-origin",
		Message: fmt.Sprintf("The token is for %s, and not for %s.", actual, told),
		Action:  "Send the request there, or mend base_url in the configuration.",
	}
}
