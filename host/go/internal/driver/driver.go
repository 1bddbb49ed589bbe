// Package driver drives one session by the rules for drivers of wit/session.wit: steps it, publishes what it says, has done what it asks for.
//
// One goroutine owns the session, so that steps are serial. Nothing else ever enters the component.
package driver

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"wif/internal/contract"
)

// Session is one session of the component. Any error but a *contract.Refusal of the opening is its end.
type Session interface {
	Step(now contract.Clock, event contract.Event) (contract.Output, error)
	Status(now contract.Clock) (json.RawMessage, error)
	Close()
}

// Host decides and does what the component asks for.
type Host interface {
	// CheckTokenOrigin gives the origin in its one form, or the rule that refuses it.
	CheckTokenOrigin(origin string) (string, error)
	// Perform does a task, whatever the context says of an abandoned one. It is called on a goroutine of its own.
	Perform(ctx context.Context, task contract.Task) contract.Outcome
}

// Opening is what a session is opened with, each time.
type Opening struct {
	Open          func(contract.Opening) (Session, error)
	Configuration string
	Can           []string
	Start         contract.Start
	// Seed gives another one for each session.
	Seed func() uint64
}

// Listener hears of changes, for logs: each note, and what callers may do where that is new. It is called on the driver's goroutine, in the
// middle of nothing.
type Listener struct {
	Note   func(contract.Note)
	Access func(kind, detail string, failure *contract.Failure)
	// Stopped is told why the component was.
	Stopped func(cause, why string)
	// Ended is the last that it hears.
	Ended func()
}

// Driver drives a session.
type Driver struct {
	snapshot atomic.Pointer[Snapshot]
	clock    Clock
	opening  Opening
	host     Host
	listener Listener

	// What callers say. Each is heard once, however many say it.
	needed, changed atomic.Bool
	hinted          chan struct{}
	rejections      chan string
	statuses        chan chan<- status
	ended           chan finished
	// closing begins when it may start nothing new, and done ends with the driver.
	closing   chan struct{}
	closeOnce sync.Once
	done      chan struct{}
	// waiters counts who waits.
	waiters, maxWaiters atomic.Int64
	// rejectedIn is the generation of the snapshot for which a rejection was reported, by one more than itself.
	rejectedIn atomic.Uint64

	// What follows belongs to the driver's goroutine.
	session  Session
	sessions uint64
	// recovering: a new session after another one has not had its say yet, and the last snapshot is served on.
	recovering bool
	recovery   recovery
	pace       *pace
	// running are the tasks that are out, of this session, by number.
	running map[uint32]running
	// outstanding are all of them, with those of earlier sessions and those that are abandoned.
	outstanding int
	wakeAt      int64
	journal     *string
	// ends: nothing new is to be sent.
	ends bool
	// said is the last status that the session told.
	said   json.RawMessage
	told   *Snapshot
	ctx    context.Context
	cancel context.CancelFunc
}

type running struct {
	kind   string
	cancel context.CancelFunc
}

type finished struct {
	session uint64
	number  uint32
	outcome contract.Outcome
}

type status struct {
	document json.RawMessage
	err      error
}

// settleFor is how long an exchange that is under way may go on once the driver is to end.
const settleFor = 2 * time.Second

// longestTimer: timers stand still while the machine sleeps, so none is trusted for longer.
const longestTimer = 30 * time.Second

// New opens a session. Its error is a *contract.Refusal, or what stopped the component.
func New(opening Opening, host Host, clock Clock, listener Listener, maxWaiters int) (*Driver, error) {
	driver := &Driver{
		clock: clock, opening: opening, host: host, listener: listener,
		hinted: make(chan struct{}, 1), rejections: make(chan string, 16), statuses: make(chan chan<- status), ended: make(chan finished),
		closing: make(chan struct{}), done: make(chan struct{}),
		pace: newPace(), running: map[uint32]running{}, wakeAt: never, told: beforeTheFirstStep(),
	}
	driver.ctx, driver.cancel = context.WithCancel(context.Background())
	driver.maxWaiters.Store(int64(maxWaiters))
	driver.snapshot.Store(beforeTheFirstStep())
	session, err := driver.open()
	if err != nil {
		driver.cancel()
		return nil, err
	}
	driver.session = session
	go driver.run()
	return driver, nil
}

// run goes on until the driver is closed.
func (d *Driver) run() {
	defer d.listener.Ended()
	defer close(d.done)
	defer d.cancel()
	d.step(contract.Woken, cause{name: "woken"})
	closing := d.closing
	var settleUntil int64
	for {
		// Whatever has happened waits, too: callers read the snapshot.
		if rest := d.pace.restsUntil - d.now(); rest > 0 && closing != nil {
			closing = d.nap(rest, closing)
			continue
		}
		if closing == nil {
			if settleUntil == 0 {
				settleUntil = d.now() + settleFor.Milliseconds()
			}
			d.ends = true
			if !d.maySpend() || d.now() >= settleUntil {
				d.end()
				return
			}
		}
		until := d.wakeAt
		if closing == nil {
			until = min(until, settleUntil)
		}
		timer := time.NewTimer(atMost(until - d.now()))
		select {
		case <-closing:
			closing = nil
		case ended := <-d.ended:
			d.finish(ended)
		case id := <-d.rejections:
			d.step(contract.Rejected(id), cause{name: "rejected"})
		case asker := <-d.statuses:
			asker <- d.status()
		case <-d.hinted:
			if d.needed.Swap(false) {
				d.step(contract.Needed, cause{name: "needed"})
			}
			if d.changed.Swap(false) {
				d.step(contract.Changed, cause{name: "changed"})
			}
		case <-timer.C:
			if d.now() >= d.wakeAt {
				d.wake()
			}
		}
		timer.Stop()
	}
}

// nap gives nil where it was ended by the closing.
func (d *Driver) nap(ms int64, closing chan struct{}) chan struct{} {
	timer := time.NewTimer(atMost(ms))
	defer timer.Stop()
	for {
		select {
		case <-closing:
			return nil
		case <-timer.C:
			return closing
		case asker := <-d.statuses:
			// The component must not be asked.
			asker <- d.lastStatus()
		}
	}
}

// atMost is how long a timer may be trusted of so many milliseconds.
func atMost(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), longestTimer.Milliseconds())) * time.Millisecond
}

func (d *Driver) now() int64 { return d.clock.Now().Steady }

// maySpend says whether an exchange is out, or what others are told of one.
func (d *Driver) maySpend() bool {
	for _, task := range d.running {
		if task.kind == "send-request" || task.kind == "swap-entry" {
			return true
		}
	}
	return false
}

// end starts nothing new. The token is served until its end.
func (d *Driver) end() {
	d.step(contract.Closing, cause{name: "closing"})
	last, now := d.snapshot.Load(), d.now()
	next := beforeTheFirstStep()
	next.underway, next.access = false, access{kind: "closed"}
	if last.usable(now) != nil {
		next.access, next.stopped = last.access, &contract.Failure{Code: "closed", Message: "The credential is closed.", Action: "Open another."}
	}
	d.publish(next, nil, now)
	if d.session != nil {
		d.session.Close()
		d.session = nil
	}
}

func (d *Driver) wake() {
	d.wakeAt = never
	if d.session == nil {
		d.reopen()
		return
	}
	d.step(contract.Woken, cause{name: "woken"})
}

func (d *Driver) finish(ended finished) {
	d.outstanding--
	task, there := d.running[ended.number]
	// A new session has numbers of its own.
	if ended.session != d.sessions || !there {
		return
	}
	task.cancel()
	delete(d.running, ended.number)
	by, outcome := result(task.kind), ended.outcome
	if d.recovery.quarantines(by, d.now()) {
		outcome = contract.Lost
	}
	d.step(contract.Finished(ended.number, outcome), by)
}

func (d *Driver) step(event contract.Event, by cause) {
	if d.session == nil {
		return
	}
	now := d.clock.Now()
	output, err := d.session.Step(clockOf(now), event)
	ended := d.now()
	d.pace.stepped(now.Steady, ended)
	if by.name == "result" {
		d.pace.handedOver(ended)
	}
	if err != nil {
		d.recover(err.Error(), by, now.Steady)
		return
	}
	answer, err := check(output, now.Steady, ended, d.host)
	if err != nil {
		d.recover("it broke the contract: "+err.Error(), cause{name: "answering"}, now.Steady)
		return
	}
	d.recovery.passed(by, now.Steady)
	if err := d.accept(answer, by, now.Steady); err != nil {
		d.recover("it broke the contract: "+err.Error(), cause{name: "answering"}, now.Steady)
	}
}

// accept keeps the journal, publishes, and only then starts tasks.
func (d *Driver) accept(answer checked, by cause, now int64) error {
	if answer.originDenied && d.snapshot.Load().usable(now) != nil {
		// An origin comes with the configuration: it does not change while there is a token.
		return breach("the token's origin has changed")
	}
	d.wakeAt = answer.wakeAt
	if err := d.allow(answer.tasks, now); err != nil {
		return err
	}
	if answer.journal != nil {
		d.journal = answer.journal
	}
	if next := answer.snapshot; next.access.kind == "idle" && by.name == "needed" && !next.underway {
		// Whoever asks now would ask for ever. It is asked again later.
		failure := componentStopped("", nil)
		failure.Message = "The component was asked for a token and did nothing."
		next.access, d.wakeAt = access{kind: "failed", failure: failure}, min(d.wakeAt, now+nudgeAgain)
	}
	d.publish(answer.snapshot, answer.notes, now)
	for _, task := range answer.tasks {
		// Its token would be nobody's.
		if !d.ends || task.Task.SendRequest == nil {
			d.start(task)
		}
	}
	return nil
}

// allow says whether these tasks may be started, or what they break.
func (d *Driver) allow(tasks []contract.NumberedTask, now int64) error {
	if d.outstanding+len(tasks) > contract.Authority.Limits.Tasks {
		return breach("too many tasks")
	}
	numbers := map[uint32]bool{}
	for _, task := range tasks {
		if _, out := d.running[task.Number]; out || numbers[task.Number] {
			return breach("the number of a task is used twice")
		}
		numbers[task.Number] = true
		if !d.pace.allows(task.Task.Kind(), now) {
			return breach("too many requests")
		}
	}
	return nil
}

// start has a task done. What is abandoned need not be stopped: each task ends by itself, in bounded time.
func (d *Driver) start(task contract.NumberedTask) {
	ctx, cancel := context.WithCancel(d.ctx)
	d.running[task.Number] = running{task.Task.Kind(), cancel}
	d.outstanding++
	session := d.sessions
	go func() {
		outcome := contract.Lost
		defer cancel()
		defer func() {
			// The program's function: what it panicked with may hold anything, and is not passed on.
			if recover() != nil {
				outcome = contract.Lost
			}
			select {
			case d.ended <- finished{session, task.Number, outcome}:
			case <-d.done:
			}
		}()
		outcome = d.host.Perform(ctx, task.Task)
	}()
}

func (d *Driver) publish(next *Snapshot, notes []contract.Note, now int64) {
	last := d.snapshot.Load()
	next.at = now
	if d.recovering {
		waits := next.access.kind == "pending" || next.access.kind == "idle" || next.access.kind == "failed"
		if waits && last.usable(now) != nil {
			// What a new session fails with may be news since the last one began, and says nothing about the token.
			if next.access.kind == "failed" {
				next.stopped = next.access.failure
			}
			next.access = last.access
		} else {
			d.recovering = false
		}
	}
	next.follow(last)
	d.snapshot.Store(next)
	close(last.superseded)
	// To look at a source or a store again, as every few seconds while there is no token, is no news before something comes of it.
	kind, told := next.access.kind, d.told.access.kind
	looks := kind == "pending" && (told == "pending" || told == "failed")
	news := !looks && !next.tellsTheSame(d.told)
	wanted := len(notes)
	if news {
		wanted++
	}
	// What there is no room for now is still news with the next step.
	room := d.pace.room(wanted, now)
	if news = news && room > 0; news {
		room--
		d.told = next
	}
	for _, note := range notes[:min(len(notes), room)] {
		d.listener.Note(note)
	}
	if news {
		d.listener.tell(next)
	}
}

func (l Listener) tell(s *Snapshot) {
	switch a := s.access; a.kind {
	case "usable":
		l.Access(a.kind, a.token.ID, nil)
	case "pending":
		l.Access(a.kind, a.reason, nil)
	default:
		l.Access(a.kind, "", a.failure)
	}
}

// recover: the component was stopped. Its instance goes, with the tasks that it had asked for, and another is opened from the newest journal,
// at once or later.
func (d *Driver) recover(why string, by cause, now int64) {
	why = contract.Shown(why)
	d.listener.Stopped(by.name, why)
	d.drop()
	if by.name == "closing" {
		return
	}
	if at := d.recovery.stopped(by, now); at > now {
		d.rest(why, at, now)
		return
	}
	d.reopen()
}

func (d *Driver) drop() {
	if d.session != nil {
		d.session.Close()
		d.session = nil
	}
	// A request goes on: its identity token may be spent. What comes of it is dropped.
	for number, task := range d.running {
		if task.kind != "send-request" {
			task.cancel()
		}
		delete(d.running, number)
	}
}

func (d *Driver) reopen() {
	session, err := d.open()
	if err != nil {
		why := err.Error()
		if _, refused := err.(*contract.Refusal); refused {
			// It was accepted before: the component is not itself.
			why = "it refused the configuration: " + why
		}
		d.recover(why, cause{name: "opening"}, d.now())
		return
	}
	d.session, d.recovering = session, true
	d.step(contract.Woken, cause{name: "woken"})
}

// rest serves the last token on, and after it a failure.
func (d *Driver) rest(why string, until, now int64) {
	d.wakeAt = until
	left := uint64(until - now)
	failure := componentStopped(why, &left)
	next := beforeTheFirstStep()
	next.underway, next.stopped, next.access = false, failure, access{kind: "failed", failure: failure}
	if last := d.snapshot.Load(); last.usable(now) != nil {
		next.access = last.access
	}
	d.publish(next, nil, now)
}

func (d *Driver) open() (Session, error) {
	from := d.opening.Start
	if d.journal != nil {
		from = contract.Resumed(*d.journal)
	}
	if from.Tag == "resumed" && !d.recovery.trustsJournal() {
		// A journal that no session survives must not end them all. What it told of is then not known, and counts as done.
		from = contract.LostJournal
	}
	d.sessions++
	return d.opening.Open(contract.Opening{Configuration: d.opening.Configuration, Seed: d.opening.Seed(), Can: d.opening.Can, From: from})
}

func (d *Driver) status() status {
	if d.session == nil {
		return status{err: &Failed{*componentStopped("it is started again later", nil)}}
	}
	document, err := d.session.Status(clockOf(d.clock.Now()))
	if err == nil {
		document, err = shownStatus(document)
	}
	if err != nil {
		d.recover(err.Error(), cause{name: "answering"}, d.now())
		return status{err: &Failed{*componentStopped("it is started again", nil)}}
	}
	d.said = document
	return status{document: document}
}

func (d *Driver) lastStatus() status {
	if d.said == nil {
		return status{err: &Failed{*componentStopped("it has taken too long, and rests", nil)}}
	}
	return status{document: d.said}
}

func clockOf(now Reading) contract.Clock {
	steady := uint64(max(0, now.Steady))
	return contract.Clock{WallMs: uint64(max(0, now.Wall)), SteadyMs: &steady}
}
