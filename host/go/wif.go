// Package wif gives a program an access token for the Claude API from the identity token that its workload has anyway, and keeps it
// fresh. It stands on the library in C (host/c of the project), by cgo.
//
//	credential, err := wif.Discover(wif.Options{})
//	if err != nil { ... }
//	defer credential.Close()
//	client := &http.Client{Transport: credential.Transport(nil)}
//
// One credential serves all goroutines and clients of a process. No error, log, status or String holds a secret.
package wif

/*
#cgo pkg-config: wif
#include <stdint.h>
#include <stdlib.h>
#include <wif.h>
#include "shim.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Options stand beside the configuration. The zero value allows what needs no word: https://api.anthropic.com, and the files and variables
// that the configuration names or discovery reads.
type Options struct {
	// AllowOrigins and AllowPrivateOrigins say where requests and tokens may go beside https://api.anthropic.com; the second may be in a
	// private network.
	AllowOrigins, AllowPrivateOrigins []string
	// AllowLoopback allows every port of this machine, for development.
	AllowLoopback bool
	// AllowDirectories limits files to those below these directories; AllowVariables adds to the variables that discovery reads.
	AllowDirectories, AllowVariables []string
	// AllowExecutables are programs that may be run where the configuration names one as the source. Without it none is.
	AllowExecutables []string
	// Proxy is a URL, or "environment" for what HTTPS_PROXY and NO_PROXY say.
	Proxy string
	// RequestTimeout is a minute by default, CallableTimeout half a minute.
	RequestTimeout, CallableTimeout time.Duration
	// StoreDirectory is one that processes share, so that they make one exchange between them.
	StoreDirectory string
	// RootCertificates are PEM texts to trust beside the platform's own.
	RootCertificates []string
	// MaxWaiters is 16,384 by default.
	MaxWaiters int

	// IdentityTokens are functions for identity tokens, by the names that the configuration uses. Each is told the audience. Its error's
	// text reaches logs and errors, and must hold no secret.
	IdentityTokens map[string]func(ctx context.Context, audience string) (string, error)
	// AccessTokens are functions for access tokens. Each is told the id of the token that the API rejected, if that is why it is asked.
	AccessTokens map[string]func(ctx context.Context, rejected string) (SuppliedToken, error)
	// Signers sign the JWS signing input with a key that stays where it is, and give the signature's bytes (RFC 7518 section 3).
	Signers map[string]func(ctx context.Context, algorithm string, input []byte) ([]byte, error)
	// Logger has every change; none where it is nil.
	Logger *slog.Logger
}

// SuppliedToken is an access token that the program has.
type SuppliedToken struct {
	Value string
	// ExpiresAt is zero if that is not known.
	ExpiresAt time.Time
}

// String hides the token.
func (SuppliedToken) String() string { return "wif.SuppliedToken" }

// GoString hides the token.
func (SuppliedToken) GoString() string { return "wif.SuppliedToken" }

// Credential is a workload's credential. All methods may be called by any goroutine.
type Credential struct {
	handle *C.wif_credential
	held   atomic.Pointer[Token]
	// Read by every call, written by Close.
	open    sync.RWMutex
	closed  bool
	handles []cgo.Handle
	cancel  context.CancelFunc
}

// Discover opens the credential of this workload, found in its environment as the vendor's SDKs find it.
func Discover(options Options) (*Credential, error) { return Open("{}", options) }

// Open opens a credential by a configuration, a JSON document. It does not wait for the network: what depends on variables, files or the
// network is the first token's error. The error here is an *Error with the code "configuration" and a Field.
func Open(configuration string, options Options) (*Credential, error) {
	ctx, cancel := context.WithCancel(context.Background())
	credential := &Credential{cancel: cancel}
	var kinds, names []string
	add := func(kind, name string, function callable) {
		kinds, names = append(kinds, kind), append(names, name)
		credential.handles = append(credential.handles, cgo.NewHandle(function))
	}
	for name, function := range options.IdentityTokens {
		add("identity-token", name, identityToken(ctx, function))
	}
	for name, function := range options.AccessTokens {
		add("access-token", name, accessToken(ctx, function))
	}
	for name, function := range options.Signers {
		add("sign", name, signature(ctx, function))
	}
	var logger C.uintptr_t
	if options.Logger != nil {
		handle := cgo.NewHandle(options.Logger)
		credential.handles = append(credential.handles, handle)
		logger = C.uintptr_t(handle)
	}
	document, err := options.document()
	if err != nil {
		credential.release()
		return nil, err
	}
	arguments := texts{}
	defer arguments.free()
	callables := make([]C.struct_wif_go_callable, len(kinds))
	for i := range kinds {
		callables[i].kind, callables[i].name = arguments.add(kinds[i]), arguments.add(names[i])
		callables[i].handle = C.uintptr_t(credential.handles[i])
	}
	var first *C.struct_wif_go_callable
	if len(callables) > 0 {
		first = (*C.struct_wif_go_callable)(arguments.block(unsafe.Pointer(&callables[0]), len(callables)*int(unsafe.Sizeof(callables[0]))))
	}
	var problem *C.char
	credential.handle = C.wif_go_open(arguments.add(configuration), arguments.add(document), first, C.size_t(len(callables)), logger, &problem)
	if credential.handle == nil {
		credential.release()
		return nil, errorFrom(take(problem))
	}
	return credential, nil
}

// Current is the token that may be used now, or nil. It never waits, and asks for a token where one is needed.
func (c *Credential) Current() *Token {
	c.open.RLock()
	defer c.open.RUnlock()
	return c.current()
}

func (c *Credential) current() *Token {
	if c.closed {
		return nil
	}
	// Nearly always the one of before.
	if held := c.held.Load(); held != nil && C.wif_serves(c.handle, held.fields) == 1 {
		runtime.KeepAlive(held)
		return held
	}
	fields := C.wif_try_token(c.handle)
	if fields == nil {
		return nil
	}
	token := newToken(fields)
	c.held.Store(token)
	return token
}

// Token is a token for a request that is about to be sent. It waits for one until the context is done. The error is an *Error, or the
// context's.
func (c *Credential) Token(ctx context.Context) (*Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The answer comes on a thread of the library, whether anybody waits for it or not.
	answers := make(chan answer, 1)
	if token, err := c.begin(answers); token != nil || err != nil {
		return token, err
	}
	select {
	case answer := <-answers:
		return answer.token, answer.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *Credential) begin(answers chan answer) (*Token, error) {
	c.open.RLock()
	defer c.open.RUnlock()
	if c.closed {
		return nil, errClosed()
	}
	if token := c.current(); token != nil && !token.Suspect {
		return token, nil
	}
	C.wif_go_get(c.handle, C.WIF_NO_LIMIT, C.uintptr_t(cgo.NewHandle(answers)))
	return nil, nil
}

// Reject says that the API answered 401 to a request with the token of this id. Any but the current one does nothing.
func (c *Credential) Reject(id string) {
	c.open.RLock()
	defer c.open.RUnlock()
	if !c.closed {
		text := C.CString(id)
		defer C.free(unsafe.Pointer(text))
		C.wif_reject(c.handle, text)
	}
}

// Replacement is Reject, and then another token to send the request with once more, or nil: then hand the API's answer on. It waits while an
// exchange is under way, for about a second.
func (c *Credential) Replacement(id string) *Token {
	c.open.RLock()
	defer c.open.RUnlock()
	if c.closed {
		return nil
	}
	text := C.CString(id)
	defer C.free(unsafe.Pointer(text))
	fields := C.wif_replace(c.handle, text, C.WIF_NO_LIMIT)
	if fields == nil {
		return nil
	}
	return newToken(fields)
}

// Changed says that a file, the store or the network may have changed: sources are read again.
func (c *Credential) Changed() {
	c.open.RLock()
	defer c.open.RUnlock()
	if !c.closed {
		C.wif_changed(c.handle)
	}
}

// Status says where the credential stands, as JSON with the names of the contract's status: for people and monitoring.
func (c *Credential) Status() (json.RawMessage, error) {
	c.open.RLock()
	defer c.open.RUnlock()
	if c.closed {
		return nil, errClosed()
	}
	var problem *C.char
	status := C.wif_status(c.handle, &problem)
	if status == nil {
		return nil, errorFrom(take(problem))
	}
	return json.RawMessage(take(status)), nil
}

// Close ends it, after an exchange that is under way, for which it waits for at most two seconds. Whoever waits for a token gets the error
// "closed". Not to be called by a function of the options.
func (c *Credential) Close() error {
	c.cancel()
	// Ends those that wait, who hold the lock for no longer than a moment.
	c.open.RLock()
	if c.closed {
		c.open.RUnlock()
		return nil
	}
	C.wif_shutdown(c.handle)
	c.open.RUnlock()
	c.open.Lock()
	defer c.open.Unlock()
	if c.closed {
		return nil
	}
	if C.wif_close(c.handle) != 0 {
		return errors.New("wif: Close was called by a function of the options")
	}
	c.closed = true
	c.release()
	return nil
}

// String says nothing secret.
func (c *Credential) String() string {
	if token := c.held.Load(); token != nil {
		return "wif.Credential with token " + token.ID
	}
	return "wif.Credential without a token yet"
}

func (c *Credential) release() {
	c.cancel()
	for _, handle := range c.handles {
		handle.Delete()
	}
	c.handles = nil
}

func (o *Options) document() (string, error) {
	policy := map[string]any{
		"allow_origins": list(o.AllowOrigins), "allow_private_origins": list(o.AllowPrivateOrigins),
		"allow_loopback": o.AllowLoopback, "allow_directories": list(o.AllowDirectories), "allow_variables": list(o.AllowVariables),
		"allow_executables": list(o.AllowExecutables),
	}
	if o.Proxy != "" {
		policy["proxy"] = o.Proxy
	}
	if o.RequestTimeout > 0 {
		policy["request_timeout_ms"] = o.RequestTimeout.Milliseconds()
	}
	if o.CallableTimeout > 0 {
		policy["callable_timeout_ms"] = o.CallableTimeout.Milliseconds()
	}
	document := map[string]any{"policy": policy, "root_certificates": list(o.RootCertificates)}
	if o.StoreDirectory != "" {
		document["store_directory"] = o.StoreDirectory
	}
	if o.MaxWaiters > 0 {
		document["max_waiters"] = o.MaxWaiters
	}
	text, err := json.Marshal(document)
	return string(text), err
}

func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

// texts are in the memory of C until they are freed.
type texts []unsafe.Pointer

func (t *texts) add(text string) *C.char {
	copied := C.CString(text)
	*t = append(*t, unsafe.Pointer(copied))
	return copied
}

// block copies what must not be in the memory of Go while it points into that of C.
func (t *texts) block(from unsafe.Pointer, size int) unsafe.Pointer {
	copied := C.CBytes(unsafe.Slice((*byte)(from), size))
	*t = append(*t, copied)
	return copied
}

func (t *texts) free() {
	for _, text := range *t {
		C.free(text)
	}
}

// take is a text of the library, freed.
func take(text *C.char) string {
	if text == nil {
		return "{}"
	}
	defer C.wif_string_free(text)
	return C.GoString(text)
}
