package tasks

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wif/internal/contract"
	"wif/internal/files"
	"wif/internal/policy"
)

const ofAFile = `{"federation":{"federation_rule_id":"fdrl_1","organization_id":"3f2b8c1e-0000-4000-8000-1234567890ab",
	"identity_token":{"source":"file","path":"PATH"}}}`

func host(t *testing.T, configuration string) *Host {
	t.Helper()
	return within(t, 0, configuration)
}

// within is a host that waits for nothing longer than so. For zero it has the policy's own patience.
func within(t *testing.T, timeout time.Duration, configuration string) *Host {
	t.Helper()
	limits, err := policy.New(configuration, policy.Options{CallableTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return &Host{Policy: limits}
}

func is(t *testing.T, outcome contract.Outcome, tag, payload string) {
	t.Helper()
	said, _ := outcome.Payload.(string)
	if outcome.Tag != tag || !strings.Contains(said, payload) {
		t.Fatalf("%s %q, where %s %q is expected", outcome.Tag, said, tag, payload)
	}
}

func supply(name string) contract.Task {
	return contract.Task{SupplyAssertion: &contract.AssertionRequest{Name: name, Audience: "https://api.anthropic.com"}}
}

func TestNothingIsPromisedThatWouldOnlyBeRefused(t *testing.T) {
	bare := strings.Join(host(t, "{}").Capabilities(), " ")
	if bare != "read-file read-variable" {
		t.Fatal(bare)
	}
	store, err := files.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	full := host(t, `{"federation":{"identity_token":{"source":"executable","command":["/bin/true"]}}}`)
	full.Store = store
	full.AccessTokens = map[string]func(context.Context, string) (contract.SuppliedToken, error){"a": nil}
	full.Signers = map[string]func(context.Context, string, []byte) ([]byte, error){"a": nil}
	if can := strings.Join(full.Capabilities(), " "); can != "read-file read-variable supply-assertion supply-token sign store" {
		t.Fatal(can)
	}
}

func TestAFunctionMayTakeItsTimeButNotForEver(t *testing.T) {
	host, impatient := host(t, "{}"), within(t, 200*time.Millisecond, "{}")
	deaf := make(chan struct{})
	defer close(deaf)
	host.IdentityTokens = map[string]func(context.Context, string) (string, error){
		"quick":  func(_ context.Context, audience string) (string, error) { return "for " + audience, nil },
		"fails":  func(context.Context, string) (string, error) { return "", errors.New("the server is asleep") },
		"panics": func(context.Context, string) (string, error) { panic("canary") },
		"long":   func(context.Context, string) (string, error) { return strings.Repeat("x", 1<<20+1), nil },
		"waits":  func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() },
		"deaf":   func(context.Context, string) (string, error) { <-deaf; return "", nil },
	}
	impatient.IdentityTokens = host.IdentityTokens
	perform := func(name string) contract.Outcome { return host.Perform(context.Background(), supply(name)) }
	is(t, perform("quick"), "content", "for https://api.anthropic.com")
	is(t, perform("fails"), "failed", "the server is asleep")
	is(t, perform("panics"), "failed", "the function panicked with a string")
	is(t, perform("long"), "failed", "1048577 bytes long")
	is(t, impatient.Perform(context.Background(), supply("deaf")), "failed", "no answer within 200 ms")
	is(t, perform("nobody"), "failed", `wif.Options.IdentityTokens["nobody"]`)
	if outcome := impatient.Perform(context.Background(), supply("waits")); outcome.Tag != "failed" {
		t.Fatal(outcome)
	}
	if outcome := perform("spiffe"); outcome.Tag != "unsupported" {
		t.Fatal(outcome)
	}
	is(t, perform("executable"), "denied", "")
}

func TestASignatureIsBase64urlWithoutPadding(t *testing.T) {
	host := host(t, "{}")
	signature := []byte{0xfb, 0xff, 0xfe, 0x01}
	host.Signers = map[string]func(context.Context, string, []byte) ([]byte, error){
		"ours": func(_ context.Context, algorithm string, input []byte) ([]byte, error) {
			if algorithm != "ES256" || string(input) != "a.b" {
				return nil, errors.New(algorithm + " " + string(input))
			}
			return signature, nil
		},
	}
	ask := func(key string) contract.Outcome {
		return host.Perform(context.Background(), contract.Task{Sign: &contract.SignRequest{Key: key, Algorithm: "ES256", Input: "a.b"}})
	}
	is(t, ask("ours"), "content", base64.RawURLEncoding.EncodeToString(signature))
	is(t, ask("theirs"), "failed", `wif.Options.Signers["theirs"]`)
}

func TestAnAccessTokenIsToldWhichOneWasRejected(t *testing.T) {
	host, told := host(t, "{}"), ""
	host.AccessTokens = map[string]func(context.Context, string) (contract.SuppliedToken, error){
		"ours": func(_ context.Context, rejected string) (contract.SuppliedToken, error) {
			told = rejected
			return contract.SuppliedToken{Value: "a token"}, nil
		},
	}
	id := "0123456789abcdef"
	for _, rejected := range []*string{nil, &id} {
		outcome := host.Perform(context.Background(), contract.Task{SupplyToken: &contract.TokenRequest{Name: "ours", Rejected: rejected}})
		if token, is := outcome.Payload.(contract.SuppliedToken); !is || token.Value != "a token" {
			t.Fatal(outcome)
		}
	}
	if told != id {
		t.Fatal(told)
	}
}

// F9: a key that is none could be a path, a pattern or a command to a store.
func TestAnEntryHasAHashForAKey(t *testing.T) {
	host := host(t, "{}")
	load := func(key string) contract.Outcome {
		return host.Perform(context.Background(), contract.Task{LoadEntry: &key})
	}
	swap := func(key, value string) contract.Outcome {
		return host.Perform(context.Background(), contract.Task{SwapEntry: &contract.Swap{Key: key, Value: value}})
	}
	for _, outcome := range []contract.Outcome{load("00ff"), swap("00ff", "x")} {
		if outcome.Tag != "unsupported" {
			t.Fatal("there is no store", outcome)
		}
	}
	store, err := files.OpenDirectory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	host.Store = store
	for _, key := range []string{"", "../../etc/shadow", "00ff ", "*", strings.Repeat("g", 64), strings.Repeat("0", 129)} {
		is(t, load(key), "denied", "hexadecimal")
		is(t, swap(key, "x"), "denied", "hexadecimal")
	}
	is(t, load("file:/etc/shadow"), "denied", "")
	is(t, swap("file:/etc/shadow", "x"), "denied", "")
	is(t, swap("00ff", strings.Repeat("x", 1<<20+1)), "denied", "no more than 1048576 bytes")
	if outcome := load("00ff"); outcome.Tag != "absent" {
		t.Fatal(outcome)
	}
	swapped := swap("00ff", strings.Repeat("x", 1<<20))
	if swapped.Tag != "swapped" {
		t.Fatal(swapped)
	}
	if entry, is := load("00ff").Payload.(contract.Entry); !is || entry.Version != swapped.Payload {
		t.Fatal("it is not what was swapped in")
	}
	if outcome := swap("00ff", "y"); outcome.Tag != "conflict" {
		t.Fatal(outcome)
	}
}

func TestAFileAndAVariableAreReadIfTheConfigurationNamesThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("a.b.c\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := host(t, strings.Replace(ofAFile, "PATH", path, 1))
	read := func(path string) contract.Outcome {
		request := contract.FileRequest{Path: path, MaxBytes: 100, Protection: "any"}
		return host.Perform(context.Background(), contract.Task{ReadFile: &request})
	}
	is(t, read(path), "content", "a.b.c\uFFFD")
	is(t, read("/etc/hostname"), "denied", "/etc/hostname")
	variable := func(name string) contract.Outcome {
		return host.Perform(context.Background(), contract.Task{ReadVariable: &name})
	}
	t.Setenv("SECRET_OF_ANOTHER", "canary")
	is(t, variable("SECRET_OF_ANOTHER"), "denied", "SECRET_OF_ANOTHER")
}

// F9: what the policy refuses is not sent. There is no sender that could.
func TestARequestToElsewhereIsDenied(t *testing.T) {
	request := contract.HTTPRequest{
		Purpose: contract.Purpose{Name: "exchange"}, Method: "POST", URL: "https://evil.example/v1/oauth/token", Origin: "https://evil.example",
	}
	is(t, host(t, "{}").Perform(context.Background(), contract.Task{SendRequest: &request}), "denied", "https://evil.example")
}
