// Package wif gives a program an access token for the Claude API from the identity token that its workload has anyway, and keeps it
// fresh. It is Go alone: the state machine is WebAssembly, and runs in wazero. With cgo and the build tag wif_library it stands on the library in C
// (host/c of the project) instead.
//
//	credential, err := wif.Discover(wif.Options{})
//	if err != nil { ... }
//	defer credential.Close()
//	client := &http.Client{Transport: credential.Transport(nil)}
//
// One credential serves all goroutines and clients of a process. No error, log, status or String holds a secret.
package wif

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"
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
	// AllowSources are the only sources of identity tokens that may be asked, such as aws. Without it any may that the configuration names.
	AllowSources []string
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
	// Logger has every change; none where it is nil. It is called on a goroutine of its own. Of what comes faster than it takes, some is
	// left out.
	Logger *slog.Logger
}

// Format shows nothing of it, whatever the verb: Proxy may hold a password.
func (Options) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "wif.Options") }

// SuppliedToken is an access token that the program has. It shows nothing when it is printed, logged or encoded; as an unexported field of
// something else, fmt shows it all the same.
type SuppliedToken struct {
	Value string
	// ExpiresAt is zero if that is not known.
	ExpiresAt time.Time
}

// Format hides the token, whatever the verb.
func (SuppliedToken) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, "wif.SuppliedToken")
}

// MarshalText hides the token from encoders.
func (SuppliedToken) MarshalText() ([]byte, error) { return []byte("wif.SuppliedToken"), nil }

// Credential is a workload's credential. All methods may be called by any goroutine.
type Credential struct{ backend backend }

// backend is what a credential stands on.
type backend interface {
	current() *Token
	// plain is current, where nothing better is awaited for callers that can wait.
	plain() *Token
	// last is the token that current gave last, or nil.
	last() *Token
	// wait is only asked where plain gives none, or a suspect one. The error is an *Error, or the context's.
	wait(ctx context.Context) (*Token, error)
	reject(id string)
	replacement(ctx context.Context, id string) *Token
	changed()
	status() (json.RawMessage, error)
	close() error
}

// Discover opens the credential of this workload, found in its environment as the vendor's SDKs find it.
func Discover(options Options) (*Credential, error) { return Open("{}", options) }

// Open opens a credential by a configuration, a JSON document. It does not wait for the network: what depends on variables, files or the
// network is the first token's error. The error here is an *Error with the code "configuration" and a Field.
func Open(configuration string, options Options) (*Credential, error) {
	backend, err := open(configuration, options)
	if err != nil {
		return nil, err
	}
	return &Credential{backend}, nil
}

// Current is the token that may be used now, or nil. It never waits, and asks for a token where one is needed.
func (c *Credential) Current() *Token { return c.backend.current() }

// Token is a token for a request that is about to be sent. It waits for one until the context is done. The error is an *Error, or the
// context's.
func (c *Credential) Token(ctx context.Context) (*Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if token := c.backend.plain(); token != nil && !token.Suspect {
		return token, nil
	}
	return c.backend.wait(ctx)
}

// Reject says that the API answered 401 to a request with the token of this id. Any but the current one does nothing.
func (c *Credential) Reject(id string) { c.backend.reject(id) }

// Replacement is Reject, and then another token to send the request with once more, or nil: then hand the API's answer on. It waits while an
// exchange is under way, for about a second.
func (c *Credential) Replacement(id string) *Token {
	return c.backend.replacement(context.Background(), id)
}

// Changed says that a file, the store or the network may have changed: sources are read again.
func (c *Credential) Changed() { c.backend.changed() }

// Status says where the credential stands, as JSON with the names of the contract's status: for people and monitoring.
func (c *Credential) Status() (json.RawMessage, error) { return c.backend.status() }

// Close ends it, after an exchange that is under way, for which it waits for at most two seconds. Whoever waits for a token gets the error
// "closed". Not to be called by a function of the options.
func (c *Credential) Close() error { return c.backend.close() }

// String says nothing secret.
func (c *Credential) String() string {
	if token := c.backend.last(); token != nil {
		return "wif.Credential with token " + token.ID
	}
	return "wif.Credential without a token yet"
}

// Format says nothing secret, whatever the verb.
func (c *Credential) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, c.String()) }
