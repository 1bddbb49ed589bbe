package driver

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wif/internal/contract"
	"wif/internal/policy"
)

const hourMs = 3_600_000

// control is a line break, an escape, a C1 code; and what turns the direction of a line, or breaks it where nobody looks.
const control = "a\r\nb\u001b[2Jc\u009bd\u202ee\u2066f\u2028g\u2029h\u0085i\u200fj"

// lying says what it must not: the words are those of tests/guests/lying.
type lying struct {
	how  string
	told bool
}

func serving() contract.Output {
	hour := uint64(hourMs)
	return contract.Output{Progress: "resting", Access: contract.Access{Usable: &contract.Usable{
		ID: "0123456789abcdef", Origin: "https://api.anthropic.com", Standing: "good",
		Set:          []contract.Header{{Name: "authorization", Value: "Bearer sk-ant-oat01-canary"}},
		UnusableInMs: &hour,
	}}}
}

func (l *lying) Step(_ contract.Clock, event contract.Event) (contract.Output, error) {
	output := serving()
	how, later := strings.CutPrefix(l.how, "later-")
	if !later || l.told && event.Tag == "changed" {
		spoil(&output, how)
	}
	l.told = true
	return output, nil
}

func (l *lying) Status(contract.Clock) (json.RawMessage, error) { return nil, errors.New("as told") }

func (l *lying) Close() {}

// spoil does to an output what tests/guests/lying does by this word.
func spoil(output *contract.Output, how string) {
	usable := output.Access.Usable
	first := &usable.Set[0]
	set := func(name, value string) { usable.Set = append(usable.Set, contract.Header{Name: name, Value: value}) }
	merge := func(name, value string) {
		usable.Merge = append(usable.Merge, contract.Header{Name: name, Value: value})
	}
	read := func(number uint32) contract.NumberedTask {
		name := "HOME"
		return contract.NumberedTask{Number: number, Task: contract.Task{ReadVariable: &name}}
	}
	ms := func(value uint64) *uint64 { return &value }
	wake := func(value uint32) *uint32 { return &value }
	switch how {
	case "header-injection":
		first.Value += "\r\nx-injected: 1"
	case "header-fold":
		first.Value += "\r\n x-injected: 1"
	case "header-nul":
		first.Value += "\x00"
	case "header-latin":
		first.Value += "é"
	case "header-space":
		first.Value += " "
	case "header-long":
		first.Value += strings.Repeat("x", 20_000)
	case "header-empty":
		first.Value = ""
	case "header-none":
		usable.Set = nil
	case "header-workspace-alone":
		first.Name = "anthropic-workspace-id"
	case "header-twice":
		set(first.Name, first.Value)
	case "header-and-key":
		set("x-api-key", "sk-ant-api03-of-the-attacker")
	case "header-host":
		set("host", "evil.example")
	case "header-of-another":
		set("cookie", "a=b")
	case "header-case":
		first.Name = "Authorization"
	case "header-name":
		first.Name = "x y"
	case "header-name-space":
		first.Name += " "
	case "header-name-colon":
		first.Name += ":"
	case "header-name-empty":
		first.Name = ""
	case "header-name-underscore":
		first.Name = "x_api_key"
	case "header-name-pseudo":
		first.Name = ":authority"
	case "header-name-joined":
		first.Name = "authorization\r\nhost"
	case "headers-many", "headers":
		for range 64 {
			set(first.Name, first.Value)
		}
	case "merge-control":
		merge("anthropic-beta", "a\nx-api-key: b")
	case "merge-twice":
		merge("anthropic-beta", "a")
		merge("anthropic-beta", "a")
	case "merge-key":
		merge("x-api-key", "b")
	case "merge-of-another":
		merge("connection", "x-api-key")
	case "id":
		usable.ID = "a token could be here"
	case "id-capitals":
		usable.ID = "0123456789ABCDEF"
	case "id-line":
		usable.ID += "\n"
	case "id-digits":
		usable.ID = strings.Repeat("\u0661", 8)
	case "id-short":
		usable.ID = "0123456789abcde"
	case "origin":
		usable.Origin = "https://evil.example"
	case "origin-look-alike":
		usable.Origin = "https://api.anthropic.com@evil.example"
	case "origin-dot":
		usable.Origin += "."
	case "origin-port":
		usable.Origin += ":444"
	case "origin-path":
		usable.Origin += "/v1"
	case "origin-query":
		usable.Origin += "?"
	case "origin-user":
		usable.Origin = "https://user@api.anthropic.com"
	case "origin-plain":
		usable.Origin = "http://api.anthropic.com"
	case "origin-goes-on":
		usable.Origin += ".evil.example"
	case "origin-alphabet":
		usable.Origin = "https://\u0430pi.anthropic.com"
	case "origin-empty":
		usable.Origin = ""
	case "origin-capitals":
		usable.Origin = "HTTPS://API.Anthropic.com:443"
	case "no-text":
		// What encoding/json makes of it.
		usable.Origin = "\ufffd\ufffd\ufffd"
	case "past":
		usable.RefreshInMs, usable.HoldInMs, usable.UnusableInMs = ms(0), ms(0), ms(hourMs)
	case "times-out-of-order":
		usable.RefreshInMs, usable.HoldInMs, usable.UnusableInMs = ms(1<<64-2), ms(1), ms(1<<63)
	case "overflow":
		usable.RefreshInMs, usable.HoldInMs, usable.UnusableInMs = ms(1<<64-1), ms(1<<64-1), ms(1<<64-1)
		output.WakeInMs, output.WaitAtMostMs = wake(1<<32-1), 1<<32-1
	case "holds":
		output.Progress, output.WaitAtMostMs, usable.HoldInMs = "underway", 1<<32-1, ms(0)
	case "busy":
		output.WakeInMs = wake(0)
	case "tasks":
		for number := range uint32(10_000) {
			output.Tasks = append(output.Tasks, read(number))
		}
	case "number-twice":
		output.Tasks = []contract.NumberedTask{read(7), read(7)}
	case "send-elsewhere":
		output.Tasks = []contract.NumberedTask{{Number: 1, Task: contract.Task{SendRequest: &contract.HTTPRequest{
			Purpose: contract.Purpose{Name: "exchange"}, Method: "POST", URL: "https://evil.example/", Origin: "https://api.anthropic.com",
		}}}}
	case "notes-many":
		output.Notes = make([]contract.Note, 65)
	case "note-long":
		output.Notes = []contract.Note{{Message: strings.Repeat("long", 1_100)}}
	case "note-wide":
		output.Notes = []contract.Note{{Message: "wide", Fields: make([]contract.Field, 65)}}
	case "journal":
		journal := strings.Repeat("x", 4<<20)
		output.Journal = &journal
	case "control":
		output.Notes = []contract.Note{{Code: "state-ignored", Level: "warning", Message: control, Fields: []contract.Field{{Name: "e", Value: control}}}}
		id := control
		output.Access = contract.Access{Failed: &contract.Failure{Code: "configuration", Message: control + strings.Repeat("x", 1<<20), Action: control, RequestID: &id}}
	default:
		panic("a word that is not here yet: " + how)
	}
}

// judging asks the product's policy for tokens, and counts what is asked for beside them.
type judging struct {
	*policy.Policy
	mutex sync.Mutex
	asked []contract.Task
}

func (j *judging) Perform(_ context.Context, task contract.Task) contract.Outcome {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.asked = append(j.asked, task)
	if task.SendRequest != nil && j.CheckRequest(task.SendRequest) == nil {
		return contract.Answered(contract.Response{Status: 200})
	}
	return contract.Denied("the policy")
}

func judge(t *testing.T) *judging {
	t.Helper()
	limits, err := policy.New(`{}`, policy.Options{})
	check0(t, err)
	return &judging{Policy: limits}
}

// F2, F11: what a component that was tampered with says is worth nothing: it is stopped or denied, and a good token is served on.
func TestNothingThatIsNoCredentialIsServed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(os.Getenv("RULES")), "../tests/guests/outputs.json"))
	check0(t, err)
	var document struct {
		Outputs []struct{ Name, Answer, Then, Replaced string }
	}
	check0(t, json.Unmarshal(text, &document))
	for _, one := range document.Outputs {
		// What is no text has been replaced here.
		then := one.Then
		if one.Replaced != "" {
			then = one.Replaced
		}
		t.Run(one.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tellsAtOnce(t, one.Answer, then) })
			if then == "stopped" {
				synctest.Test(t, func(t *testing.T) { tellsLater(t, one.Answer) })
			}
		})
	}
	if len(document.Outputs) < 40 {
		t.Fatalf("only %d outputs were heard", len(document.Outputs))
	}
}

func tellsAtOnce(t *testing.T, answer, then string) {
	driver, err := New(opening(&lying{how: answer}), judge(t), bubble{}, silent(), 100)
	check0(t, err)
	defer driver.Close()
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	token, err := driver.Wait(ctx)
	var failed *Failed
	errors.As(err, &failed)
	switch {
	case then == "served" && token != nil && token.Origin == "https://api.anthropic.com":
	case then == "denied" && failed != nil && failed.Code == "denied-by-host":
	case then == "stopped" && failed != nil && failed.Code == "component-stopped":
	default:
		t.Fatalf("it was to be %s: %v, %v", then, token, err)
	}
}

func tellsLater(t *testing.T, answer string) {
	driver, err := New(opening(&lying{how: "later-" + answer}), judge(t), bubble{}, silent(), 100)
	check0(t, err)
	defer driver.Close()
	synctest.Wait()
	before := driver.Current()
	driver.Changed()
	synctest.Wait()
	if after := driver.Current(); before == nil || after == nil || after.ID != before.ID {
		t.Fatalf("the good token is not served on: %v, %v", before, after)
	}
}

// F9: nothing leaves for elsewhere.
func TestARequestToElsewhereIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := judge(t)
		driver, err := New(opening(&lying{how: "send-elsewhere"}), host, bubble{}, silent(), 100)
		check0(t, err)
		time.Sleep(time.Second)
		driver.Close()
		if len(host.asked) == 0 || host.CheckRequest(host.asked[0].SendRequest) == nil {
			t.Fatalf("%v", host.asked)
		}
	})
}

// G6: a log shows one line for each, whatever the component says.
func TestTextsAreShownWithoutWhatWouldForgeALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		listener := silent()
		listener.Note = func(note contract.Note) { lines = append(lines, note.Message, note.Fields[0].Value) }
		driver, err := New(opening(&lying{how: "control"}), judge(t), bubble{}, listener, 100)
		check0(t, err)
		_, err = driver.Wait(t.Context())
		driver.Close()
		lines = append(lines, err.Error())
		for _, line := range lines {
			if strings.ContainsAny(line, "\r\n\u001b\u009b\u202e\u2066\u2028\u2029\u0085\u200f") || len(line) > 10_000 {
				t.Fatalf("%q", line)
			}
		}
		if len(lines) < 3 {
			t.Fatalf("%q", lines)
		}
	})
}
