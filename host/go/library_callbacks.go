//go:build cgo && wif_library

package wif

/*
#include <stdint.h>
#include <stdlib.h>
#include <wif.h>
*/
import "C"

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/cgo"
	"unsafe"
)

// answer is what a wait for a token ended with.
type answer struct {
	token *Token
	err   error
}

// callable answers a request of the library.
type callable func(request map[string]string) (string, error)

func identityToken(ctx context.Context, function func(context.Context, string) (string, error)) callable {
	return func(request map[string]string) (string, error) { return function(ctx, request["audience"]) }
}

func accessToken(ctx context.Context, function func(context.Context, string) (SuppliedToken, error)) callable {
	return func(request map[string]string) (string, error) {
		token, err := function(ctx, request["rejected"])
		if err != nil {
			return "", err
		}
		supplied := map[string]any{"value": token.Value}
		if !token.ExpiresAt.IsZero() {
			supplied["expires-at-ms"] = max(0, token.ExpiresAt.UnixMilli())
		}
		text, err := json.Marshal(supplied)
		return string(text), err
	}
}

func signature(ctx context.Context, function func(context.Context, string, []byte) ([]byte, error)) callable {
	return func(request map[string]string) (string, error) {
		signature, err := function(ctx, request["algorithm"], []byte(request["input"]))
		return base64.RawURLEncoding.EncodeToString(signature), err
	}
}

//export wifGoCall
func wifGoCall(handle C.uintptr_t, request *C.char, into *C.wif_answer) {
	given, err := called(cgo.Handle(handle).Value().(callable), C.GoString(request))
	text := given
	if err != nil {
		text = err.Error()
	}
	copied := C.CString(text)
	defer C.free(unsafe.Pointer(copied))
	if err != nil {
		C.wif_answer_error(into, copied)
	} else {
		C.wif_answer_ok(into, copied)
	}
}

// called lets no panic through the library. What was panicked with may hold anything, and is not told.
func called(function callable, request string) (given string, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("the function panicked with a %T", panicked)
		}
	}()
	var members map[string]string
	if err := json.Unmarshal([]byte(request), &members); err != nil {
		return "", err
	}
	return function(members)
}

//export wifGoLog
func wifGoLog(handle C.uintptr_t, text *C.char) {
	var line struct {
		Level, Message string
		Fields         map[string]any
	}
	if json.Unmarshal([]byte(C.GoString(text)), &line) != nil {
		return
	}
	level := map[string]slog.Level{"warning": slog.LevelWarn, "error": slog.LevelError}[line.Level]
	var attributes []slog.Attr
	for name, value := range line.Fields {
		attributes = append(attributes, slog.Any(name, value))
	}
	// The program's handler: what it panics with is its own affair, and must not go through the library.
	defer func() { _ = recover() }()
	cgo.Handle(handle).Value().(*slog.Logger).LogAttrs(context.Background(), level, line.Message, attributes...)
}

//export wifGoDone
func wifGoDone(handle C.uintptr_t, fields *C.wif_token, problem *C.char) {
	answers := cgo.Handle(handle)
	defer answers.Delete()
	if fields != nil {
		answers.Value().(chan answer) <- answer{token: newToken(fields)}
		return
	}
	answers.Value().(chan answer) <- answer{err: errorFrom(C.GoString(problem))}
}

func isCredential(name string) bool {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	return C.wif_is_credential(text) == 1
}
