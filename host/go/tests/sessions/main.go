// Sessions drives one session after another as its standard input says: a line of JSON in, a line of JSON out. The test in Rust runs the
// vectors by it.
package main

import (
	"bufio"
	"encoding/json"
	"os"

	"wif"
)

type line struct {
	Call    string
	Opening wif.Opening
	Clock   json.RawMessage
	Event   json.RawMessage
}

type answer struct {
	OK    json.RawMessage `json:"ok,omitempty"`
	Error error           `json:"error,omitempty"`
}

func main() {
	lines, answers := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	var session *wif.Session
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked line
		if err := json.Unmarshal(text, &asked); err != nil {
			panic(err)
		}
		if asked.Call == "open" && session != nil {
			session.Close()
			session = nil
		}
		var given answer
		switch asked.Call {
		case "open":
			session, given.Error = wif.OpenSession(asked.Opening)
			given.OK = json.RawMessage("null")
		case "step":
			given.OK, given.Error = session.Step(asked.Clock, asked.Event)
		case "status":
			given.OK, given.Error = session.Status(asked.Clock)
		case "entry-key":
			given.OK, given.Error = session.EntryKey()
		}
		if err := answers.Encode(given); err != nil {
			panic(err)
		}
	}
}
