//go:build cgo && wif_library

package wif

/*
#cgo pkg-config: wif
#include <stdint.h>
#include <stdlib.h>
#include <wif.h>
#include "library_shim.h"
*/
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"unsafe"
)

// library is a credential of the library in C.
type library struct {
	handle *C.wif_credential
	held   atomic.Pointer[Token]
	// Read by every call, written by Close.
	open    sync.RWMutex
	closed  bool
	handles []cgo.Handle
	cancel  context.CancelFunc
}

func open(configuration string, options Options) (backend, error) {
	ctx, cancel := context.WithCancel(context.Background())
	credential := &library{cancel: cancel}
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

func (c *library) current() *Token {
	c.open.RLock()
	defer c.open.RUnlock()
	return c.served()
}

func (c *library) last() *Token { return c.held.Load() }

func (c *library) served() *Token {
	if c.closed {
		return nil
	}
	// Nearly always the one of before.
	if held := c.held.Load(); held != nil && C.wif_serves(c.handle, (*C.wif_token)(held.native)) == 1 {
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

func (c *library) wait(ctx context.Context) (*Token, error) {
	// The answer comes on a thread of the library, whether anybody waits for it or not.
	answers := make(chan answer, 1)
	if token, err := c.begin(answers); token != nil || err != nil {
		return token, err
	}
	select {
	case answer := <-answers:
		return answer.token, answer.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *library) begin(answers chan answer) (*Token, error) {
	c.open.RLock()
	defer c.open.RUnlock()
	if c.closed {
		return nil, errClosed()
	}
	if token := c.served(); token != nil && !token.Suspect {
		return token, nil
	}
	C.wif_go_get(c.handle, C.WIF_NO_LIMIT, C.uintptr_t(cgo.NewHandle(answers)))
	return nil, nil
}

func (c *library) reject(id string) {
	c.open.RLock()
	defer c.open.RUnlock()
	if !c.closed {
		text := C.CString(id)
		defer C.free(unsafe.Pointer(text))
		C.wif_reject(c.handle, text)
	}
}

func (c *library) plain() *Token { return c.current() }

func (c *library) replacement(ctx context.Context, id string) *Token {
	// It waits on a thread of the library, for about a second, whether anybody waits for it or not.
	tokens := make(chan *Token, 1)
	go func() { tokens <- c.replaced(id) }()
	select {
	case token := <-tokens:
		return token
	case <-ctx.Done():
		return nil
	}
}

func (c *library) replaced(id string) *Token {
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

func (c *library) changed() {
	c.open.RLock()
	defer c.open.RUnlock()
	if !c.closed {
		C.wif_changed(c.handle)
	}
}

func (c *library) status() (json.RawMessage, error) {
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

func (c *library) close() error {
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

func (c *library) release() {
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
		"allow_sources": list(o.AllowSources), "allow_executables": list(o.AllowExecutables),
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

func newToken(fields *C.wif_token) *Token {
	made := &secret{C.GoString(fields.value), pairs(fields.headers), pairs(fields.merged)}
	token := &Token{
		ID: C.GoString(fields.id), Origin: C.GoString(fields.origin), Suspect: fields.suspect != 0, native: unsafe.Pointer(fields),
		secret: func() *secret { return made },
	}
	runtime.SetFinalizer(token, func(token *Token) { C.wif_token_free((*C.wif_token)(token.native)) })
	return token
}

func pairs(list **C.char) [][2]string {
	var pairs [][2]string
	for at := unsafe.Pointer(list); ; at = unsafe.Add(at, 2*unsafe.Sizeof(list)) {
		pair := (*[2]*C.char)(at)
		if pair[0] == nil {
			return pairs
		}
		pairs = append(pairs, [2]string{C.GoString(pair[0]), C.GoString(pair[1])})
	}
}
