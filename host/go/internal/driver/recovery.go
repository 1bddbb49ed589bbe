package driver

// What to do when the component was stopped: how often it is started again, and what is kept from it.

const (
	// So many restarts in a minute are made at once.
	budget   = 5
	minuteMs = 60_000
	// What stopped it so often is not tried again as it is.
	strikesOut = 2
	// A strike is forgotten after this time without another.
	memoryMs = 600_000
	// The pause after an event that cannot be kept from the component stopped it again: doubled each time, up to the last.
	firstPauseMs, longestPauseMs = 1_000, 60_000
	// A journal that so many sessions in a row did not survive counts as lost.
	sessionsOnOneJournal = 4
)

// cause is what the component was doing: opening, woken, needed, rejected, changed, closing; answering, if its answer broke the contract; or
// result with the kind of the task whose result it was given.
type cause struct{ name, kind string }

func result(kind string) cause { return cause{"result", kind} }

type strikes struct {
	count int
	last  int64
}

type recovery struct {
	restarts []int64
	strikes  map[cause]strikes
	// inARow is stops in a row, with no step between them that ended well.
	inARow int
}

// stopped: the component was stopped while it did this. It says when to start it again.
func (r *recovery) stopped(by cause, now int64) int64 {
	r.inARow++
	for known, struck := range r.strikes {
		if now-struck.last >= memoryMs {
			delete(r.strikes, known)
		}
	}
	if r.strikes == nil {
		r.strikes = map[cause]strikes{}
	}
	count := r.strikes[by].count + 1
	r.strikes[by] = strikes{count, now}
	var pause int64
	// A result can be kept from it: see quarantines. Nothing else can.
	if by.name != "result" && count >= strikesOut {
		pause = min(int64(firstPauseMs)<<min(count-strikesOut, 16), longestPauseMs)
	}
	for len(r.restarts) > 0 && now-r.restarts[0] >= minuteMs {
		r.restarts = r.restarts[1:]
	}
	at := now
	if len(r.restarts) >= budget {
		at = r.restarts[0] + minuteMs
	}
	at = max(at, now+pause)
	r.restarts = append(r.restarts, at)
	if len(r.restarts) > budget {
		r.restarts = r.restarts[1:]
	}
	return at
}

// passed: the component did this without harm.
func (r *recovery) passed(by cause, now int64) {
	r.inARow = 0
	if !r.quarantines(by, now) {
		delete(r.strikes, by)
	}
}

// trustsJournal says whether the newest journal is worth another session.
func (r *recovery) trustsJournal() bool { return r.inARow < sessionsOnOneJournal }

// quarantines says whether results of this kind are kept from the component, until the last strike is forgotten: they count as lost.
func (r *recovery) quarantines(by cause, now int64) bool {
	struck, there := r.strikes[by]
	return there && by.name == "result" && struck.count >= strikesOut && now-struck.last < memoryMs
}
