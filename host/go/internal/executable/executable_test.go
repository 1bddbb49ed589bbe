//go:build unix

package executable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"wif/internal/contract"
)

const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"

const audience = "https://api.anthropic.com"

// shell is a shell that runs this. A script that was just written may still be open in a child of another test, and could then not be run.
func shell(ctx context.Context, text string, environment ...string) contract.Outcome {
	return Run(ctx, []string{"/bin/sh", "-c", text, "name", "a b", "$HOME;x"}, environment, audience)
}

func within(t *testing.T, duration time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	t.Cleanup(cancel)
	return ctx
}

// is gives the text of an outcome of this kind.
func is(t *testing.T, outcome contract.Outcome, tag string) string {
	t.Helper()
	text, _ := outcome.Payload.(string)
	if outcome.Tag != tag {
		t.Fatalf("%s %q, where %s is expected", outcome.Tag, text, tag)
	}
	return text
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("%q is not in %q", part, text)
	}
}

func document(members map[string]any) string {
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestABareTokenAndBothConventionsAreUnderstood(t *testing.T) {
	google := map[string]any{
		"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:id_token", "id_token": jwt,
		"expiration_time": uint64(4_000_000_000),
	}
	aws := document(map[string]any{"WebIdentityToken": jwt, "Expiration": "2096-10-02T07:06:40Z"})
	versioned := document(map[string]any{"Version": 1, "WebIdentityToken": jwt})
	for _, output := range []string{jwt, "\n" + jwt + "\r\n", document(google), aws, versioned} {
		if token, err := tokenIn([]byte(output)); token != jwt || err != nil {
			t.Fatalf("%s: %v", output, err)
		}
	}
	for _, kind := range []string{"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:saml2", ""} {
		google["token_type"] = kind
		if _, err := tokenIn([]byte(document(google))); (err == nil) != strings.HasSuffix(kind, "jwt") {
			t.Fatalf("%s: %v", kind, err)
		}
	}
}

// An output without a token says what is wrong with it, and not what it is.
func TestWhatIsNoTokenIsNamedAndNotShown(t *testing.T) {
	for output, why := range map[string]string{
		"":                    "printed nothing",
		" \n":                 "printed nothing",
		"\xff\xfe":            "no text",
		"canary two":          "printed more than one word",
		"canary\u00a0two":     "printed more than one word",
		`{"canary": `:         "no whole JSON",
		`{"canary": 1} {}`:    "no whole JSON",
		`{"canary": 1} canar`: "no whole JSON",
		`{"canary": 1}`:       "neither `id_token` nor `WebIdentityToken`",
		`{"Version": 2, "WebIdentityToken": "canary"}`:                                             "`Version` is not 1",
		`{"Version": "1", "WebIdentityToken": "canary"}`:                                           "`Version` is not 1",
		`{"Version": 1, "AccessKeyId": "canary", "SecretAccessKey": "canary"}`:                     "printed keys of AWS",
		`{"success": true, "id_token": "canary"}`:                                                  "without `version`",
		`{"version": 1.5, "success": true, "id_token": "canary"}`:                                  "without `version`",
		`{"version": "1", "success": true, "id_token": "canary"}`:                                  "without `version`",
		`{"version": 2, "success": true, "id_token": "canary"}`:                                    "of version 2",
		`{"version": 1, "id_token": "canary"}`:                                                     "without `success`",
		`{"version": 1, "success": "true", "id_token": "canary"}`:                                  "without `success`",
		`{"version": 1, "success": true, "token_type": "canary", "id_token": "canary"}`:            "`token_type` is not",
		`{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt"}`:    "without `id_token`",
		`{"version": 1, "success": true, "Id_Token": "canary", "TOKEN_TYPE": "urn:ietf:params:x"}`: "`token_type` is not",
	} {
		_, err := tokenIn([]byte(output))
		if err == nil {
			t.Fatal(output)
		}
		contains(t, err.Error(), why)
		if strings.Contains(err.Error(), "canary") {
			t.Fatal(err)
		}
	}
	_, err := tokenIn([]byte(`{"version": 1, "success": false, "code": "401", "message": "Caller not authorized."}`))
	var refused refusal
	if !errors.As(err, &refused) || err.Error() != "says that it failed: 401 Caller not authorized." {
		t.Fatal(err)
	}
}

// No shell, and no variable but those that are named and those of Google's convention.
func TestAProgramHasItsArgumentsAndTheVariablesThatAreNamed(t *testing.T) {
	t.Setenv("NAMED_HERE", "value")
	t.Setenv("NOT_NAMED", "secret")
	const report = `printf '%s|' "$#" "$1" "$2" >&2; /usr/bin/env | /usr/bin/sort | /usr/bin/tr '\n' ' ' >&2; exit 3`
	said := is(t, shell(t.Context(), report, "NAMED_HERE", "NOT_SET", "", "A=B"), "failed")
	contains(t, said, "/bin/sh ended with exit code 3. It says: 2|a b|$HOME;x|")
	contains(t, said, "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE="+audience)
	contains(t, said, "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0 GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=urn:ietf:params:oauth:token-type:id_token")
	contains(t, said, "NAMED_HERE=value")
	for _, name := range []string{"HOME=", "NOT_NAMED", "NOT_SET", "A=B"} {
		if strings.Contains(said, name) {
			t.Fatal(said)
		}
	}
	if len(said) >= 700 {
		t.Fatal(said)
	}
}

func TestAVariableThatIsNamedGoesBeforeGooglesConvention(t *testing.T) {
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "1")
	token := is(t, shell(t.Context(), `echo "token$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE"`, "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE"), "content")
	if token != "token1" {
		t.Fatal(token)
	}
}

func TestAProgramThatGivesNoTokenSaysWhy(t *testing.T) {
	t.Setenv("SECRET_PLACE", "/a/secret/place\n")
	gives := func(text string) contract.Outcome { return shell(within(t, 20*time.Second), text, "SECRET_PLACE") }
	if token := is(t, gives("echo token; echo words >&2"), "content"); token != "token" {
		t.Fatal(token)
	}
	for text, why := range map[string]string{
		"echo token; exit 1": "ended with exit code 1",
		"kill -9 $$":         "was ended by a signal",
		`echo '{"version":1,"success":false,"code":"7","message":"no"}'; exit 1`: "says that it failed: 7 no",
		"exit 0":                               "printed nothing to its standard output",
		`echo "at $SECRET_PLACE" >&2; exit 1`:  "is withheld, for it repeats a variable",
		"echo at /a/secret/place. >&2; exit 1": "is withheld, for it repeats a variable",
		"/usr/bin/yes x":                       "printed more than 65536 bytes",
		"echo words >&2; echo a b":             "printed more than one word, and a token is one. It says: words",
		"read line && echo token":              "ended with exit code 1",
	} {
		said := is(t, gives(text), "failed")
		if !strings.HasPrefix(said, "/bin/sh ") {
			t.Fatal(said)
		}
		contains(t, said, why)
	}
	// It may say much, and is not stopped by it.
	much := is(t, gives(`/usr/bin/head -c 300000 /dev/zero | /usr/bin/tr '\0' x >&2; echo token`), "content")
	if much != "token" {
		t.Fatal(much)
	}
	missing := Run(t.Context(), []string{"/nowhere/program"}, nil, audience)
	if said := is(t, missing, "failed"); said != "/nowhere/program cannot be run: no such file or directory" {
		t.Fatal(said)
	}
	for _, command := range [][]string{nil, {"sh", "-c", "echo token"}, {"./program"}} {
		contains(t, is(t, Run(t.Context(), command, nil, audience), "failed"), "no program by its absolute path")
	}
}

func TestNoPartOfALongValueIsShown(t *testing.T) {
	t.Setenv("LONG_SECRET", "canary"+strings.Repeat("x", 16*maxShown))
	said := is(t, shell(t.Context(), `printf '%s' "$LONG_SECRET" >&2; exit 1`, "LONG_SECRET"), "failed")
	contains(t, said, "is withheld")
	if strings.Contains(said, "canary") {
		t.Fatal(said)
	}
}

func TestWhiteSpaceBeforeAValueHidesNoneOfIt(t *testing.T) {
	t.Setenv("LONG_SECRET", "canary"+strings.Repeat("x", 600))
	for _, spaces := range []string{"1", "4097", "70000"} {
		said := is(t, shell(t.Context(), `printf '%`+spaces+`s%s' '' "$LONG_SECRET" >&2; exit 1`, "LONG_SECRET"), "failed")
		contains(t, said, "is withheld")
	}
}

func TestWhatIsShownEndsWithAWholeCharacter(t *testing.T) {
	said := is(t, shell(t.Context(), fmt.Sprintf("printf 'a%s' >&2; exit 1", strings.Repeat("é", 400))), "failed")
	if !strings.HasSuffix(said, "It says: a"+strings.Repeat("é", 249)) {
		t.Fatal(said)
	}
}

// Nobody waits for ever, and nothing is left behind.
func TestAProgramThatNobodyWaitsForEndsWithWhatItStarted(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("the processes are counted in /proc, which is not here")
	}
	for name, text := range map[string]string{
		"waits":               "/usr/bin/sleep 600 & echo $$ $! > %s; wait",
		"closed its outputs":  "/usr/bin/sleep 600 >&- 2>&- & echo $$ $! > %s; exec >&- 2>&-; wait",
		"prints without end":  "/usr/bin/sleep 600 & echo $$ $! > %s; exec /usr/bin/yes x",
		"left its child here": "/usr/bin/sleep 600 & echo $$ $! > %s",
	} {
		pids := filepath.Join(t.TempDir(), "pids")
		began := time.Now()
		said := is(t, shell(within(t, time.Second), fmt.Sprintf(text, pids)), "failed")
		if name == "prints without end" {
			contains(t, said, "printed more than")
		} else {
			contains(t, said, "/bin/sh gave no answer within ")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%s: it took %s", name, took)
		}
		numbers, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range strings.Fields(string(numbers)) {
			until := time.Now().Add(2 * time.Second)
			for isRunning(pid) {
				if time.Now().After(until) {
					t.Fatalf("%s: %s of %s goes on", name, pid, numbers)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
}

func isRunning(pid string) bool {
	state, _ := os.ReadFile("/proc/" + pid + "/stat")
	return len(state) > 0 && !strings.Contains(string(state), ") Z ")
}

// What has left the group may hold an output open. It is not waited for.
func TestAnOutputThatIsHeldOpenHoldsUpNobody(t *testing.T) {
	if _, err := os.Stat("/usr/bin/setsid"); err != nil {
		t.Skip("setsid is needed to leave a group")
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	began := time.Now()
	said := is(t, shell(ctx, "/usr/bin/setsid /usr/bin/sleep 4 & echo token"), "failed")
	contains(t, said, "was ended, for nobody waits for it any longer")
	// Nor does anybody go on reading.
	for isListening() {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Fatalf("it took %s", took)
	}
}

func isListening() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "executable.wordsOf")
}

func TestOnlySoManyProgramsAreStartedAtOnce(t *testing.T) {
	for range cap(starting) {
		starting <- struct{}{}
	}
	contains(t, is(t, shell(within(t, 50*time.Millisecond), "echo token"), "failed"), "gave no answer within ")
	for range cap(starting) {
		<-starting
	}
	is(t, shell(t.Context(), "echo token"), "content")
}
