//go:build !cgo || !wif_library

package flat

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	wasm "github.com/tetratelabs/wazero"

	"wif/internal/contract"
	"wif/internal/embedded"
)

const configuration = `{"federation": {"federation_rule_id": "fdrl_abc123", "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
	"identity_token": {"source": "file", "path": "/var/run/token"}}}`

func opening() contract.Opening {
	return contract.Opening{Configuration: configuration, Seed: 1<<64 - 1, Can: []string{"read-file"}, From: contract.Fresh}
}

func clock() contract.Clock {
	steady := uint64(1_000)
	return contract.Clock{WallMs: 1_700_000_000_000, SteadyMs: &steady}
}

// Both ways of wazero give the same, to the byte.
func TestASessionIsInterpretedAndCompiledAlike(t *testing.T) {
	var told [][]byte
	for _, config := range []wasm.RuntimeConfig{wasm.NewRuntimeConfigInterpreter(), wasm.NewRuntimeConfig()} {
		code, err := load(embedded.Module, config)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(opening())
		if err != nil {
			t.Fatal(err)
		}
		session, err := code.open(text)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		output, err := session.StepText([]byte(`{"wall-ms":1700000000000,"steady-ms":1000}`), []byte(`"woken"`))
		if err != nil || !strings.Contains(string(output), "read-file") {
			t.Fatalf("%s, %v", output, err)
		}
		told = append(told, output)
	}
	if !bytes.Equal(told[0], told[1]) {
		t.Fatalf("%s\n%s", told[0], told[1])
	}
}

func TestManySessionsAreCompiledAndFewAreNot(t *testing.T) {
	for range interpretedSessions + 2 {
		session, err := Open(opening())
		if err != nil {
			t.Fatal(err)
		}
		output, err := session.Step(clock(), contract.Woken)
		if err != nil || len(output.Tasks) != 1 || output.Tasks[0].Task.Kind() != "read-file" {
			t.Fatal(output.Tasks, err)
		}
		session.Close()
	}
}

func TestAConfigurationThatCanNeverWorkIsRefusedByItsField(t *testing.T) {
	wrong := opening()
	wrong.Configuration = `{"federation":{}}`
	_, err := Open(wrong)
	var refused *contract.Refusal
	if !errors.As(err, &refused) || refused.Field != "federation.federation_rule_id" {
		t.Fatal(err)
	}
}

// An author of a host sees what is wrong with a text, and the session lives on.
func TestATextOfAnotherFormIsSaid(t *testing.T) {
	session, err := Open(opening())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var form *Form
	if _, err := session.StepText([]byte(`{"wall-ms":1}`), []byte(`{"canary`)); !errors.As(err, &form) || strings.Contains(err.Error(), "canary") {
		t.Fatal(err)
	}
	if _, err := session.Step(clock(), contract.Woken); err != nil {
		t.Fatal(err)
	}
}

// E3: nobody knows what a trap was in the middle of.
func TestAfterATrapNoCallFollows(t *testing.T) {
	session, err := Open(opening())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	output, err := session.Step(clock(), contract.Woken)
	if err != nil {
		t.Fatal(err)
	}
	// More than its memory takes.
	flood := contract.Content(strings.Repeat("\x00", 3<<20))
	if _, err := session.Step(clock(), contract.Finished(output.Tasks[0].Number, flood)); err == nil {
		t.Fatal("it has more memory than it may have")
	}
	if _, err := session.Step(clock(), contract.Needed); err == nil || !strings.Contains(err.Error(), "no call can follow") {
		t.Fatal(err)
	}
}

// F1: what a text of some megabytes may become when it is read.
func TestAListIsReadNoFurtherThanItMayBeLong(t *testing.T) {
	for _, list := range []string{`"tasks":[%s{}]`, `"notes":[%s{}]`, `"access":{"usable":{"set":[%s{}]}}`} {
		text := "{" + strings.Replace(list, "%s", strings.Repeat("{},", 1_000_000), 1) + "}"
		allocations := testing.AllocsPerRun(1, func() {
			var output contract.Output
			if err := json.Unmarshal([]byte(text), &output); err == nil || !strings.Contains(err.Error(), "too long") {
				t.Fatal(err)
			}
		})
		if allocations > 20_000 {
			t.Fatal(allocations)
		}
	}
}

// E3, F1: whatever a module does, it costs its instance, and the caller gets an error in time.
func TestAModuleThatMisbehavesEndsItsInstance(t *testing.T) {
	const i32, i64 = 0x7f, 0x7e
	open := func(body ...byte) function { return function{"wif_open", []byte{i32, i32}, []byte{i64}, body} }
	allocate := func(body ...byte) function { return function{"wif_allocate", []byte{i32}, []byte{i32}, body} }
	fine := allocate(0x41, 0)
	for name, one := range map[string]struct {
		pages     byte
		functions []function
		says      string
	}{
		"it traps":                 {1, []function{fine, open(0x00)}, "unreachable"},
		"it has no such function":  {1, []function{fine}, "no function"},
		"it gives a place outside": {1, []function{allocate(0x41, 0x7f), open(0x42, 0)}, "outside of its memory"},
		"its answer is too long":   {1, []function{fine, open(0x42, 0x7f)}, "too long"},
		// 16 bytes at 0x7fff0000.
		"its answer is outside": {1, []function{fine, open(0x42, 0x90, 0x80, 0x80, 0x80, 0x80, 0x80, 0xc0, 0xff, 0xff, 0x0)}, "outside of its memory"},
		"its answer is nothing": {1, []function{fine, open(0x42, 0), {"wif_release", []byte{i32, i32}, nil, nil}}, "no JSON"},
		// It traps where it gets as much as it asks for.
		"it asks for more memory than it may": {1, []function{fine, open(0x41, 0xff, 0x01, 0x40, 0, 0x41, 0x7f, 0x47, 0x04, 0x40, 0, 0x0b, 0x42, 0)}, "no function wif_release"},
		"it calls itself without end":         {1, []function{fine, open(0x41, 0, 0x41, 0, 0x10, 1)}, "stack overflow"},
		"it goes round and round for ever":    {1, []function{fine, open(0x03, 0x40, 0x0c, 0x00, 0x0b, 0x42, 0)}, "took too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, err := load(module(one.pages, one.functions), wasm.NewRuntimeConfigInterpreter())
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = code.open([]byte("{}"))
			if err == nil || !strings.Contains(err.Error(), one.says) {
				t.Fatalf("%v, and not: %s", err, one.says)
			}
			if took := time.Since(began); took > 4*patience {
				t.Fatal(took)
			}
		})
	}
	if _, err := load(module(0x81, nil), wasm.NewRuntimeConfigInterpreter()); err == nil {
		t.Fatal("it begins with more memory than it may have")
	}
}

type function struct {
	name             string
	takes, gives, do []byte
}

// module is a core module of these functions, with so many pages of memory.
func module(pages byte, functions []function) []byte {
	section := func(id byte, count int, entries ...[]byte) []byte {
		body := append([]byte{byte(count)}, bytes.Join(entries, nil)...)
		return append([]byte{id, byte(len(body)) | 0x80, byte(len(body) >> 7)}, body...)
	}
	named := func(name string, rest ...byte) []byte {
		return append(append([]byte{byte(len(name))}, name...), rest...)
	}
	var types, indices, bodies [][]byte
	exports := [][]byte{named("memory", 2, 0)}
	for i, function := range functions {
		one := append([]byte{0x60, byte(len(function.takes))}, function.takes...)
		types = append(types, append(append(one, byte(len(function.gives))), function.gives...))
		indices = append(indices, []byte{byte(i)})
		exports = append(exports, named(function.name, 0, byte(i)))
		body := append(append([]byte{0}, function.do...), 0x0b)
		bodies = append(bodies, append([]byte{byte(len(body))}, body...))
	}
	memory := []byte{0, pages}
	if pages >= 0x80 {
		memory = []byte{0, pages, 0x01}
	}
	return bytes.Join([][]byte{
		{0, 'a', 's', 'm', 1, 0, 0, 0}, section(1, len(functions), types...), section(3, len(functions), indices...), section(5, 1, memory),
		section(7, len(exports), exports...), section(10, len(functions), bodies...),
	}, nil)
}

// The numbers of the README: go test -run '^$' -bench . ./internal/flat

func benchmark(b *testing.B, run func(b *testing.B, config wasm.RuntimeConfig)) {
	b.Run("interpreted", func(b *testing.B) { run(b, wasm.NewRuntimeConfigInterpreter()) })
	b.Run("compiled", func(b *testing.B) { run(b, wasm.NewRuntimeConfig()) })
}

func loaded(b *testing.B, config wasm.RuntimeConfig) *code {
	b.Helper()
	code, err := load(embedded.Module, config)
	if err != nil {
		b.Fatal(err)
	}
	return code
}

func openedIn(b *testing.B, code *code) *Session {
	b.Helper()
	text, err := contract.JSON(opening())
	if err != nil {
		b.Fatal(err)
	}
	session, err := code.open(text)
	if err != nil {
		b.Fatal(err)
	}
	return session
}

func BenchmarkFromNothingToASession(b *testing.B) {
	benchmark(b, func(b *testing.B, config wasm.RuntimeConfig) {
		for b.Loop() {
			code := loaded(b, config)
			openedIn(b, code)
			if err := code.runtime.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkIdentityToken(b *testing.B) { benchmarkEdges(b, true) }

func BenchmarkAnswer(b *testing.B) { benchmarkEdges(b, false) }

// benchmarkEdges measures the step with an identity token of 1 KiB, or the one with the token endpoint's answer.
func benchmarkEdges(b *testing.B, identityToken bool) {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	token := part(`{"alg":"ES256","kid":"k"}`) + "." + part(fmt.Sprintf(
		`{"iss":"https://issuer.example","sub":"workload","aud":"https://api.anthropic.com","jti":"1","iat":1700000000,"exp":1700003600,"ref":%q}`,
		strings.Repeat("refs/", 105))) + "." + part(strings.Repeat("s", 64))
	answer := contract.Answered(contract.Response{
		Status: 200, Headers: []contract.Header{{Name: "request-id", Value: "req_1"}},
		Body: `{"access_token":"sk-ant-oat01-` + strings.Repeat("a", 86) + `","token_type":"Bearer","expires_in":3600}`,
	})
	benchmark(b, func(b *testing.B, config wasm.RuntimeConfig) {
		code := loaded(b, config)
		for b.Loop() {
			b.StopTimer()
			session := openedIn(b, code)
			step := func(event contract.Event) contract.Output {
				output, err := session.Step(clock(), event)
				if err != nil {
					b.Fatal(err)
				}
				return output
			}
			first := step(contract.Woken)
			if identityToken {
				b.StartTimer()
			}
			sends := step(contract.Finished(first.Tasks[0].Number, contract.Content(token)))
			b.StopTimer()
			if !identityToken {
				b.StartTimer()
			}
			last := step(contract.Finished(sends.Tasks[0].Number, answer))
			b.StopTimer()
			if last.Access.Usable == nil {
				b.Fatal(last.Access)
			}
			session.Close()
			b.StartTimer()
		}
	})
}
