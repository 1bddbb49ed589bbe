package driver

import (
	"math"

	"wif/internal/contract"
)

// never is a moment that does not come. Moments are milliseconds of the steady clock.
const never = math.MaxInt64

// Token is an access token for requests to one origin. What prints it shows its id alone.
type Token struct {
	ID, Origin string
	Suspect    bool
	// Set and Merge are secret: the header fields that replace what is there, and those that are added to it.
	Set, Merge []contract.Header
}

// String hides the token.
func (t *Token) String() string { return t.ID }

// GoString hides the token.
func (t *Token) GoString() string { return t.ID }

// Snapshot is the session's last word. It is never changed.
type Snapshot struct {
	generation uint64
	// at is when it was said.
	at     int64
	access access
	// underway says whether work that may bring a token is under way, and waitAtMost how long a caller waits for it between the token's
	// hold and its end, in milliseconds.
	underway   bool
	waitAtMost int64
	// nudgeFrom is from when on a caller says that a token is needed.
	nudgeFrom int64
	// passing is the last token that was usable for no time at all. It serves the callers that waited before the generation that brought it.
	passing *passing
	// stopped is told once the token has expired, while there is no session that could fetch another.
	stopped *contract.Failure
	// superseded is closed when another snapshot is published.
	superseded chan struct{}
}

type passing struct {
	generation uint64
	token      *Token
}

// access is what callers may do: there is a token, or a failure, or one of the words.
type access struct {
	// kind is usable, pending, failed, idle or closed.
	kind    string
	token   *Token
	refresh int64
	hold    int64
	end     int64
	reason  string
	failure *contract.Failure
}

func beforeTheFirstStep() *Snapshot {
	return &Snapshot{access: access{kind: "pending", reason: "discovering"}, underway: true, nudgeFrom: never, superseded: make(chan struct{})}
}

// usable is the token, if it may still be served.
func (s *Snapshot) usable(now int64) *Token {
	if s.access.kind == "usable" && now < s.access.end {
		return s.access.token
	}
	return nil
}

// advice is what a caller does: serve or hold the token, wait, ask and wait, be refused, or hear that it is closed.
func (s *Snapshot) advice(now int64) string {
	switch {
	case s.access.kind == "usable" && now < s.access.end:
		if now >= s.access.hold && s.underway {
			return "hold"
		}
		return "serve"
	case s.access.kind == "usable" && s.stopped != nil, s.access.kind == "failed":
		return "refuse"
	case s.access.kind == "usable", s.access.kind == "idle":
		return "ask"
	case s.access.kind == "pending":
		return "wait"
	}
	return "closed"
}

// failure is what a caller is refused with. The times in it have run on since it was said.
func (s *Snapshot) failure(now int64) *contract.Failure {
	told := s.access.failure
	if s.access.kind == "usable" {
		told = s.stopped
	}
	aged := *told
	left := func(wait *uint64) *uint64 {
		if wait == nil {
			return nil
		}
		left := uint64(0)
		if age := uint64(max(0, now-s.at)); *wait > age {
			left = *wait - age
		}
		return &left
	}
	aged.RetryInMs, aged.RotationInMs = left(told.RetryInMs), left(told.RotationInMs)
	return &aged
}

// follow says what comes after the last: its generation, and whom a token serves that is usable for no time at all.
func (s *Snapshot) follow(last *Snapshot) {
	s.generation = last.generation + 1
	switch {
	case s.access.kind != "usable":
		s.passing = last.passing
	case s.access.end <= s.at:
		s.passing = &passing{s.generation, s.access.token}
	default:
		s.passing = nil
	}
}

// tellsTheSame says whether both tell callers the same, times aside.
func (s *Snapshot) tellsTheSame(other *Snapshot) bool {
	a, b := s.access, other.access
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case "usable":
		return a.token.ID == b.token.ID && a.token.Suspect == b.token.Suspect
	case "pending":
		return a.reason == b.reason
	case "failed":
		return a.failure.Code == b.failure.Code && a.failure.Message == b.failure.Message
	}
	return true
}

// waiter waits for a token, or for another than one that the API has rejected. The rules are those of guest/rules/src/snapshot.rs.
type waiter struct {
	// since is the generation that it saw when it began to wait.
	since uint64
	// rejected is the id of the rejected token; empty where any token will do.
	rejected string
	// until is set once there is something that it need not wait for without end.
	until int64
}

// look is what a waiter does now.
type look struct {
	// do is take, none (there is no other), refuse, closed or wait.
	do    string
	token *Token
	// until is when it looks again at the latest, and asks says that it first says that a token is needed.
	until int64
	asks  bool
}

func (w *waiter) look(s *Snapshot, now int64) look {
	if s.passing != nil && s.passing.generation > w.since {
		if s.passing.token.ID == w.rejected {
			return look{do: "none"}
		}
		return look{do: "take", token: s.passing.token}
	}
	if w.rejected == "" {
		return w.lookForAny(s, now)
	}
	return w.lookForAnother(s, now)
}

func (w *waiter) lookForAny(s *Snapshot, now int64) look {
	asks := now >= s.nudgeFrom
	switch s.advice(now) {
	case "serve":
		return look{do: "take", token: s.access.token}
	case "hold":
		if until := w.bound(s, now); now < until {
			return look{do: "wait", until: until, asks: asks}
		}
		return look{do: "take", token: s.access.token}
	case "wait":
		return look{do: "wait", until: never, asks: asks}
	case "ask":
		return look{do: "wait", until: never, asks: true}
	case "refuse":
		return look{do: "refuse"}
	}
	return look{do: "closed"}
}

func (w *waiter) lookForAnother(s *Snapshot, now int64) look {
	a := s.access
	asks := a.kind == "idle"
	switch a.kind {
	case "failed", "closed":
		return look{do: "none"}
	case "usable":
		switch {
		case a.token.ID != w.rejected && !a.token.Suspect && now < a.end:
			return look{do: "take", token: a.token}
		case a.end <= now:
			// One of unknown life, which served who waited for it.
			asks = true
		case a.token.Suspect && !s.underway:
			// The session knows of it, and cannot do anything about it now.
			return look{do: "none"}
		}
	}
	if until := w.bound(s, now); now < until {
		return look{do: "wait", until: until, asks: asks}
	}
	return look{do: "none"}
}

// bound is until when it waits in all: the first snapshot that has a bound says so.
func (w *waiter) bound(s *Snapshot, now int64) int64 {
	if w.until == 0 {
		w.until = now + s.waitAtMost
	}
	return w.until
}
