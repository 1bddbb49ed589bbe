package driver

import (
	"encoding/json"
	"strings"
	"time"

	"wif/internal/contract"
)

// scripted plays a case of tests/callers, whose README has the format.
type scripted struct {
	lines        []line
	at           int
	since, begun int64
	hasBegun     bool
}

type line struct {
	FromMs       *int64          `json:"from-ms"`
	On           string          `json:"on"`
	Access       json.RawMessage `json:"access"`
	Progress     string          `json:"progress"`
	WaitAtMostMs *uint32         `json:"wait-at-most-ms"`
}

func (s *scripted) Step(clock contract.Clock, event contract.Event) (contract.Output, error) {
	now := int64(*clock.SteadyMs)
	if !s.hasBegun {
		s.begun, s.hasBegun = now, true
	}
	now -= s.begun
	for s.at+1 < len(s.lines) {
		next := s.lines[s.at+1]
		switch {
		case next.FromMs != nil && *next.FromMs <= now:
			s.since = *next.FromMs
		case next.FromMs == nil && next.On == event.Tag && s.since <= now:
			s.since = now
		default:
			return s.says(now), nil
		}
		s.at++
		// An event has one effect.
		if next.On != "" {
			break
		}
	}
	return s.says(now), nil
}

func (s *scripted) says(now int64) contract.Output {
	line, age := s.lines[s.at], uint64(now-s.since)
	output := contract.Output{Progress: "resting", WaitAtMostMs: 1000, Access: accessOf(line.Access, age)}
	if line.Progress != "" {
		output.Progress = line.Progress
	}
	if line.WaitAtMostMs != nil {
		output.WaitAtMostMs = *line.WaitAtMostMs
	}
	if s.at+1 < len(s.lines) && s.lines[s.at+1].FromMs != nil {
		wake := uint32(*s.lines[s.at+1].FromMs - now)
		output.WakeInMs = &wake
	}
	return output
}

func accessOf(text json.RawMessage, age uint64) contract.Access {
	left := func(wait *uint64) *uint64 {
		if wait == nil {
			return nil
		}
		left := *wait - min(*wait, age)
		return &left
	}
	var said struct {
		Usable *struct {
			contract.Usable
			Token string `json:"token"`
		} `json:"usable"`
		Failed *contract.Failure `json:"failed"`
	}
	if json.Unmarshal(text, &said) != nil {
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			panic(err)
		}
		return map[string]contract.Access{"idle": {Idle: true}, "closed": {Closed: true}, "pending": {Pending: "exchanging"}}[name]
	}
	if said.Failed != nil {
		failure := *said.Failed
		failure.RetryInMs = left(failure.RetryInMs)
		return contract.Access{Failed: &failure}
	}
	usable := said.Usable.Usable
	usable.ID = strings.Repeat(said.Usable.Token, 16)
	if usable.Origin == "" {
		usable.Origin = "https://api.anthropic.com"
	}
	if usable.Standing == "" {
		usable.Standing = "good"
	}
	usable.Set = []contract.Header{{Name: "authorization", Value: "Bearer sk-ant-oat01-" + said.Usable.Token}}
	usable.RefreshInMs, usable.HoldInMs, usable.UnusableInMs = left(usable.RefreshInMs), left(usable.HoldInMs), left(usable.UnusableInMs)
	return contract.Access{Usable: &usable}
}

func (s *scripted) Status(contract.Clock) (json.RawMessage, error) { return json.RawMessage("{}"), nil }

func (s *scripted) Close() {}

// bubble is the clock of a test whose time is virtual.
type bubble struct{}

func (bubble) Now() Reading {
	now := time.Now().UnixMilli()
	return Reading{now, now}
}

func silent() Listener {
	return Listener{
		Note: func(contract.Note) {}, Access: func(string, string, *contract.Failure) {}, Stopped: func(string, string) {}, Ended: func() {},
	}
}
