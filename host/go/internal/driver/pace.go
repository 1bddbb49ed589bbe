package driver

import "wif/internal/contract"

// How much of the time the component takes, and how often it has something told, asked for or sent. Limits that are not those of
// wit/authority.json are this host's own. Times are of the steady clock, in milliseconds.

const (
	// No rest is longer: the machine may have slept in the middle of a step.
	longestRestMs = 60_000
	// Steps may take so much time at once, and then the part that a rest leaves them. An interpreted step of an honest session takes up to
	// 60 ms, on a machine that is throttled many times that, and a cold start has some twenty: they need not rest one by one.
	timeAtOnceMs = 5_000
	// So many results of tasks are handed over at once, and then one for each pause. A session asks for a dozen things in an hour.
	resultsAtOnce, resultEveryMs = 2_500, 1
)

type pace struct {
	restsUntil int64
	// busyUntil is the time that steps took, each millisecond for as many as it and its rest are. It is a moment, as in an account.
	busyUntil      int64
	notes, results account
	tasks          map[string]*account
}

func newPace() *pace {
	limits := contract.Authority.Limits
	entries := account{atOnce: int64(limits.EntriesAtOnce), pauseMs: limits.EntryEveryMs}
	requests := account{atOnce: int64(limits.RequestsAtOnce), pauseMs: limits.RequestEveryMs}
	each := func(a account) *account { return &a }
	return &pace{
		notes:   account{atOnce: int64(limits.NotesAtOnce), pauseMs: limits.NoteEveryMs},
		results: account{atOnce: resultsAtOnce, pauseMs: resultEveryMs},
		// What is read on this machine costs time alone; and a program's access token may serve one caller, so that each asks for another.
		tasks: map[string]*account{
			"send-request": each(requests), "supply-assertion": each(requests), "sign": each(requests),
			"load-entry": each(entries), "swap-entry": each(entries),
		},
	}
}

// stepped: a step began and ended.
func (p *pace) stepped(began, ended int64) {
	rest := contract.Authority.Limits.Rest
	// They count together. What the clock shows of each is rounded, and their sum is not.
	atOnce := timeAtOnceMs * (1 + rest)
	latest := ended + longestRestMs
	p.busyUntil = min(max(p.busyUntil, began)+max(0, ended-began)*(1+rest), latest+atOnce)
	p.restsUntil = min(max(p.restsUntil, p.busyUntil-atOnce), latest)
}

// handedOver: the result of a task was. However quick its steps are, a component that asks for one thing after another, none of which takes
// any time, would never rest.
func (p *pace) handedOver(now int64) {
	if !p.results.spend(now) {
		p.restsUntil = max(p.restsUntil, now+resultEveryMs)
	}
}

// room is how many of so many notes are told.
func (p *pace) room(wanted int, now int64) int {
	for taken := range wanted {
		if !p.notes.spend(now) {
			return taken
		}
	}
	return wanted
}

// allows says whether another task of this kind may be started.
func (p *pace) allows(kind string, now int64) bool {
	account := p.tasks[kind]
	return account == nil || account.spend(now)
}

// account is an allowance and what of it was used. That is a moment: the later it lies ahead, the less is left.
type account struct{ atOnce, pauseMs, usedUntil int64 }

func (a *account) spend(now int64) bool {
	next := max(a.usedUntil, now) + a.pauseMs
	if next > now+a.atOnce*a.pauseMs {
		return false
	}
	a.usedUntil = next
	return true
}
