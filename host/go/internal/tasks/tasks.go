// Package tasks does what the component asks for. A task ends in one outcome, whatever happens.
package tasks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"wif/internal/contract"
	"wif/internal/executable"
	"wif/internal/files"
	"wif/internal/policy"
	"wif/internal/transport"
)

// Host is everything that tasks need.
type Host struct {
	Policy *policy.Policy
	Sender *transport.Sender
	// Store is nil where there is none.
	Store Store
	// The functions of the embedding program, by the names that the configuration uses.
	IdentityTokens map[string]func(ctx context.Context, audience string) (string, error)
	AccessTokens   map[string]func(ctx context.Context, rejected string) (contract.SuppliedToken, error)
	Signers        map[string]func(ctx context.Context, algorithm string, input []byte) ([]byte, error)
}

// Store is one whose swap is atomic.
type Store interface {
	// Load gives nil where there is no entry.
	Load(ctx context.Context, key string) (*contract.Entry, error)
	// Swap gives the new version. Where that is empty it gives the entry that is there, or nil.
	Swap(ctx context.Context, key string, expected *string, value string) (string, *contract.Entry, error)
}

// The identity tokens that this host has itself, by the names that the configuration uses.
const (
	ofAProgram     = "executable"
	ofTheWorkloads = "spiffe"
)

// Capabilities are what a session may ask for. Nothing is promised that would only be refused later.
func (h *Host) Capabilities() []string {
	can := []string{"read-file", "read-variable"}
	if len(h.IdentityTokens) > 0 || h.Policy.SuppliesIdentityTokens() {
		can = append(can, "supply-assertion")
	}
	if len(h.AccessTokens) > 0 {
		can = append(can, "supply-token")
	}
	if len(h.Signers) > 0 {
		can = append(can, "sign")
	}
	if h.Store != nil {
		can = append(can, "store")
	}
	return can
}

// CheckTokenOrigin gives the origin in its one form, or the rule that refuses it.
func (h *Host) CheckTokenOrigin(origin string) (string, error) {
	return h.Policy.CheckTokenOrigin(origin)
}

// Perform does a task.
func (h *Host) Perform(ctx context.Context, task contract.Task) contract.Outcome {
	switch {
	case task.SendRequest != nil:
		if err := h.Policy.CheckRequest(task.SendRequest); err != nil {
			return contract.Denied(err.Error())
		}
		return h.Sender.Send(ctx, task.SendRequest)
	case task.ReadFile != nil:
		return h.readFile(ctx, *task.ReadFile)
	case task.ReadVariable != nil:
		return h.readVariable(*task.ReadVariable)
	case task.SupplyAssertion != nil:
		return h.supplyAssertion(ctx, *task.SupplyAssertion)
	case task.SupplyToken != nil:
		return h.supplyToken(ctx, *task.SupplyToken)
	case task.Sign != nil:
		return h.sign(ctx, *task.Sign)
	case task.LoadEntry != nil:
		return h.load(ctx, *task.LoadEntry)
	case task.SwapEntry != nil:
		return h.swap(ctx, *task.SwapEntry)
	}
	return contract.Unsupported
}

func (h *Host) readFile(ctx context.Context, request contract.FileRequest) contract.Outcome {
	if err := h.Policy.CheckFile(request.Path); err != nil {
		return contract.Denied(err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, h.Policy.CallableTimeout())
	defer cancel()
	outcome := files.Read(ctx, request, h.Policy)
	if content, is := outcome.Payload.(string); is && outcome.Tag == "content" {
		h.Policy.FileWasRead(request.Path, content)
	}
	return outcome
}

func (h *Host) readVariable(name string) contract.Outcome {
	if err := h.Policy.CheckVariable(name); err != nil {
		return contract.Denied(err.Error())
	}
	value, there := os.LookupEnv(name)
	if !there {
		// What it was before grants nothing any more.
		h.Policy.VariableWasRead(name, "")
		return contract.Absent
	}
	value = strings.ToValidUTF8(value, "\uFFFD")
	if len(value) > contract.Authority.Limits.ContentBytes {
		return contract.Failed(tooLong(len(value)))
	}
	h.Policy.VariableWasRead(name, value)
	return contract.Content(value)
}

func (h *Host) supplyAssertion(ctx context.Context, request contract.AssertionRequest) contract.Outcome {
	// What the program gives under one of our own names goes before ours.
	if function := h.IdentityTokens[request.Name]; function != nil {
		return limited(ctx, h.Policy.CallableTimeout(), func(ctx context.Context) (contract.Outcome, error) {
			token, err := function(ctx, request.Audience)
			return content(token), err
		})
	}
	switch request.Name {
	case ofAProgram:
		command, environment, err := h.Policy.Executable(request.Audience)
		if err != nil {
			return contract.Denied(err.Error())
		}
		ctx, cancel := context.WithTimeout(ctx, h.Policy.CallableTimeout())
		defer cancel()
		return executable.Run(ctx, command, environment, request.Audience)
	case ofTheWorkloads:
		return contract.Unsupported
	}
	return unknown("IdentityTokens", request.Name)
}

func (h *Host) supplyToken(ctx context.Context, request contract.TokenRequest) contract.Outcome {
	function := h.AccessTokens[request.Name]
	if function == nil {
		return unknown("AccessTokens", request.Name)
	}
	rejected := ""
	if request.Rejected != nil {
		rejected = *request.Rejected
	}
	return limited(ctx, h.Policy.CallableTimeout(), func(ctx context.Context) (contract.Outcome, error) {
		token, err := function(ctx, rejected)
		if err == nil && len(token.Value) > contract.Authority.Limits.ContentBytes {
			err = errors.New(tooLong(len(token.Value)))
		}
		return contract.Supplied(token), err
	})
}

func (h *Host) sign(ctx context.Context, request contract.SignRequest) contract.Outcome {
	function := h.Signers[request.Key]
	if function == nil {
		return unknown("Signers", request.Key)
	}
	return limited(ctx, h.Policy.CallableTimeout(), func(ctx context.Context) (contract.Outcome, error) {
		signature, err := function(ctx, request.Algorithm, []byte(request.Input))
		return content(base64.RawURLEncoding.EncodeToString(signature)), err
	})
}

// limited calls a function of the program's, which may take its time, but not for ever. Its error's text is told. What it panics with may hold
// anything, and is not.
func limited(ctx context.Context, atMost time.Duration, function func(context.Context) (contract.Outcome, error)) contract.Outcome {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	ended := make(chan contract.Outcome, 1)
	go func() {
		defer cancel()
		outcome, err := called(ctx, function)
		if err != nil {
			outcome = contract.Failed(err.Error())
		}
		ended <- outcome
	}()
	select {
	case outcome := <-ended:
		return outcome
	case <-ctx.Done():
	}
	select {
	case outcome := <-ended:
		return outcome
	default:
		// It may be deaf to its context.
		return contract.Failed(fmt.Sprintf("no answer within %d ms", atMost.Milliseconds()))
	}
}

func called(ctx context.Context, function func(context.Context) (contract.Outcome, error)) (outcome contract.Outcome, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("the function panicked with a %T", panicked)
		}
	}()
	return function(ctx)
}

func content(text string) contract.Outcome {
	if len(text) > contract.Authority.Limits.ContentBytes {
		return contract.Failed(tooLong(len(text)))
	}
	return contract.Content(text)
}

// What is larger than anything that is meant here would stop the component each time that it is handed over.
func tooLong(length int) string {
	return fmt.Sprintf("it is %d bytes long, and no more than %d are taken", length, contract.Authority.Limits.ContentBytes)
}

func unknown(option, name string) contract.Outcome {
	return contract.Failed(fmt.Sprintf("no function of this name was given: wif.Options.%s[%q]", option, contract.Shown(name)))
}

var isKey = regexp.MustCompile(`^[0-9a-fA-F]{1,128}$`).MatchString

const notAKey = "the key of an entry is a hash, in hexadecimal digits"

// credentials is the path of a profile's credentials file, if the key of an entry is one.
func credentials(key string) (string, bool) { return strings.CutPrefix(key, "file:") }

func (h *Host) load(ctx context.Context, key string) contract.Outcome {
	ctx, cancel := context.WithTimeout(ctx, h.Policy.CallableTimeout())
	defer cancel()
	if path, is := credentials(key); is {
		return files.LoadCredentials(ctx, path, h.Policy)
	}
	if h.Store == nil {
		return contract.Unsupported
	}
	if !isKey(key) {
		return contract.Denied(notAKey)
	}
	entry, err := h.Store.Load(ctx, key)
	switch {
	case err != nil:
		return contract.Failed(err.Error())
	case entry == nil:
		return contract.Absent
	case len(entry.Value) > contract.Authority.Limits.ContentBytes:
		return contract.Failed(tooLong(len(entry.Value)))
	}
	return contract.Found(*entry)
}

func (h *Host) swap(ctx context.Context, swap contract.Swap) contract.Outcome {
	ctx, cancel := context.WithTimeout(ctx, h.Policy.CallableTimeout())
	defer cancel()
	if limit := contract.Authority.Limits.JournalBytes; len(swap.Value) > limit {
		return contract.Denied(fmt.Sprintf("an entry has no more than %d bytes", limit))
	}
	if path, is := credentials(swap.Key); is {
		return files.SwapCredentials(ctx, path, swap.Expected, swap.Value, h.Policy)
	}
	if h.Store == nil {
		return contract.Unsupported
	}
	if !isKey(swap.Key) {
		return contract.Denied(notAKey)
	}
	version, there, err := h.Store.Swap(ctx, swap.Key, swap.Expected, swap.Value)
	switch {
	case err != nil:
		return contract.Failed(err.Error())
	case version != "":
		return contract.Swapped(version)
	case there != nil && len(there.Value) > contract.Authority.Limits.ContentBytes:
		return contract.Failed(tooLong(len(there.Value)))
	}
	return contract.Conflict(there)
}
