//go:build !cgo || !wif_library

package wif

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"

	"wif/internal/contract"
	"wif/internal/driver"
	"wif/internal/files"
	"wif/internal/flat"
	"wif/internal/policy"
	"wif/internal/tasks"
	sending "wif/internal/transport"
)

// wazero is a credential in Go alone: the state machine runs in wazero, and the rest of the host is Go.
type wazero struct {
	driver *driver.Driver
	held   atomic.Pointer[heldToken]
	closed atomic.Bool
	log    *log
}

type heldToken struct {
	from  *driver.Token
	token *Token
}

// defaultMaxWaiters is that of all hosts.
const defaultMaxWaiters = 16_384

func open(configuration string, options Options) (backend, error) {
	host, err := options.host(configuration)
	if err != nil {
		return nil, err
	}
	lines := startLog(options.Logger)
	if host.Policy.LoopbackByVariable() {
		lines.add(slog.LevelWarn, "every port of this machine is allowed (WIF_ALLOW_LOOPBACK)")
	}
	maxWaiters := options.MaxWaiters
	if maxWaiters <= 0 {
		maxWaiters = defaultMaxWaiters
	}
	opening := driver.Opening{
		Open: func(opening contract.Opening) (driver.Session, error) {
			session, err := flat.Open(opening)
			if err != nil {
				return nil, err
			}
			return session, nil
		},
		Configuration: configuration, Can: host.Capabilities(), Start: contract.Fresh, Seed: seed,
	}
	driven, err := driver.New(opening, host, driver.NewMachine(), lines.listener(), maxWaiters)
	if err != nil {
		lines.end()
		return nil, errorOf(err)
	}
	credential := &wazero{driver: driven, log: lines}
	// What nobody holds is not refreshed for ever.
	runtime.AddCleanup(credential, (*driver.Driver).End, driven)
	return credential, nil
}

// host is what does the tasks, as the options say.
func (o *Options) host(configuration string) (*tasks.Host, error) {
	limits, err := policy.New(configuration, policy.Options{
		AllowOrigins: o.AllowOrigins, AllowPrivateOrigins: o.AllowPrivateOrigins, AllowLoopback: o.AllowLoopback,
		AllowDirectories: limiting(o.AllowDirectories), AllowVariables: o.AllowVariables, AllowSources: limiting(o.AllowSources),
		AllowExecutables: o.AllowExecutables,
		RequestTimeout:   o.RequestTimeout, CallableTimeout: o.CallableTimeout,
	})
	if err != nil {
		return nil, wrongOption(err)
	}
	sender, err := sending.New(sending.Options{Proxy: o.Proxy, RootCertificates: o.RootCertificates, Timeout: limits.RequestTimeout()}, limits)
	if err != nil {
		return nil, wrongOption(err)
	}
	host := &tasks.Host{Policy: limits, Sender: sender, IdentityTokens: o.IdentityTokens, Signers: o.Signers}
	if o.StoreDirectory != "" {
		store, err := files.OpenDirectory(o.StoreDirectory)
		if err != nil {
			return nil, wrongOption(errors.New("StoreDirectory: " + err.Error()))
		}
		host.Store = store
	}
	host.AccessTokens = map[string]func(context.Context, string) (contract.SuppliedToken, error){}
	for name, function := range o.AccessTokens {
		host.AccessTokens[name] = func(ctx context.Context, rejected string) (contract.SuppliedToken, error) {
			token, err := function(ctx, rejected)
			supplied := contract.SuppliedToken{Value: token.Value}
			if !token.ExpiresAt.IsZero() {
				at := uint64(max(0, token.ExpiresAt.UnixMilli()))
				supplied.ExpiresAtMs = &at
			}
			return supplied, err
		}
	}
	return host, nil
}

// limiting: a list without anything in it limits nothing.
func limiting(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// wrongOption: the error's text begins with the option's name.
func wrongOption(err error) error {
	field, message, named := strings.Cut(err.Error(), ": ")
	if !named {
		field, message = "", err.Error()
	}
	return &Error{Code: "configuration", Message: message, Action: "Mend this option.", Field: field}
}

func seed() uint64 {
	var bytes [8]byte
	// Never fails.
	_, _ = rand.Read(bytes[:])
	return binary.LittleEndian.Uint64(bytes[:])
}

func (c *wazero) current() *Token {
	if c.closed.Load() {
		return nil
	}
	return c.known(c.driver.Current())
}

func (c *wazero) plain() *Token {
	if c.closed.Load() {
		return nil
	}
	return c.known(c.driver.Plain())
}

func (c *wazero) last() *Token {
	if held := c.held.Load(); held != nil {
		return held.token
	}
	return nil
}

// known is the same token for the same one of the driver's.
func (c *wazero) known(from *driver.Token) *Token {
	if from == nil {
		return nil
	}
	if held := c.held.Load(); held != nil && held.from == from {
		return held.token
	}
	made := &secret{set: pairs(from.Set), merged: pairs(from.Merge)}
	for _, pair := range made.set {
		switch pair[0] {
		case "authorization":
			made.value = strings.TrimPrefix(pair[1], "Bearer ")
		case "x-api-key":
			made.value = pair[1]
		}
	}
	token := &Token{ID: from.ID, Origin: from.Origin, Suspect: from.Suspect, secret: func() *secret { return made }}
	c.held.Store(&heldToken{from, token})
	return token
}

func pairs(headers []contract.Header) [][2]string {
	pairs := make([][2]string, len(headers))
	for i, header := range headers {
		pairs[i] = [2]string{header.Name, header.Value}
	}
	return pairs
}

func (c *wazero) wait(ctx context.Context) (*Token, error) {
	defer runtime.KeepAlive(c)
	if c.closed.Load() {
		return nil, errClosed()
	}
	token, err := c.driver.Wait(ctx)
	var failed *driver.Failed
	switch {
	case errors.As(err, &failed):
		return nil, ofFailure(failed.Failure)
	case err != nil:
		// The context's.
		return nil, err
	}
	return c.known(token), nil
}

func (c *wazero) reject(id string) { c.driver.Reject(id) }

func (c *wazero) replacement(ctx context.Context, id string) *Token {
	defer runtime.KeepAlive(c)
	if c.closed.Load() {
		return nil
	}
	return c.known(c.driver.Replacement(ctx, id))
}

func (c *wazero) changed() { c.driver.Changed() }

func (c *wazero) status() (json.RawMessage, error) {
	defer runtime.KeepAlive(c)
	status, err := c.driver.Status()
	if err != nil {
		return nil, errorOf(err)
	}
	return status, nil
}

func (c *wazero) close() error {
	c.driver.Close()
	c.log.wait()
	// The driver would serve the token until its end.
	c.closed.Store(true)
	return nil
}

// errorOf is an error of this package for one of the driver's. A context's is its own.
func errorOf(err error) error {
	var refused *contract.Refusal
	var failed *driver.Failed
	switch {
	case errors.As(err, &refused):
		field, message := contract.Shown(refused.Field), contract.Shown(refused.Message)
		if field == "" {
			return &Error{Code: "configuration", Message: "The configuration " + message + ".", Action: "Mend it."}
		}
		return &Error{Code: "configuration", Message: message, Action: "Mend the field " + field + ".", Field: field}
	case errors.As(err, &failed):
		return ofFailure(failed.Failure)
	}
	return &Error{Code: "component-stopped", Message: "The component was stopped: " + contract.Shown(err.Error()) + ".", Action: "Report it."}
}

func ofFailure(failure contract.Failure) *Error {
	signed := func(ms *uint64) *int64 {
		if ms == nil {
			return nil
		}
		value := int64(min(*ms, 1<<62))
		return &value
	}
	problem := &Error{
		Code: failure.Code, Message: failure.Message, Action: failure.Action,
		RetryInMs: signed(failure.RetryInMs), RotationInMs: signed(failure.RotationInMs),
	}
	if failure.Status != nil {
		problem.EndpointStatus = *failure.Status
	}
	if failure.RequestID != nil {
		problem.RequestID = *failure.RequestID
	}
	return problem
}

func isCredential(name string) bool { return contract.IsCredential(name) }
