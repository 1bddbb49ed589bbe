package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wif/internal/contract"
)

// Failed is why there is no token.
type Failed struct{ contract.Failure }

// Error is for people.
func (f *Failed) Error() string { return f.Message + " " + f.Action }

func closed() error {
	return &Failed{contract.Failure{Code: "closed", Message: "The credential is closed.", Action: "Open another."}}
}

// Current is the token that may be served without waiting, or nil. It takes no lock, and says that a token is needed where one is.
func (d *Driver) Current() *Token {
	snapshot := d.snapshot.Load()
	// The rest is only looked at where there is one.
	if snapshot.access.kind != "usable" {
		if snapshot.access.kind == "idle" || snapshot.access.kind == "failed" {
			d.nudge(snapshot, d.now())
		}
		return nil
	}
	now := d.now()
	if now >= snapshot.nudgeFrom || now >= snapshot.access.end {
		d.nudge(snapshot, now)
	}
	return snapshot.usable(now)
}

// Plain is Current, where nothing better is awaited for callers that can wait.
func (d *Driver) Plain() *Token {
	token, snapshot := d.Current(), d.snapshot.Load()
	if token == nil || token.Suspect || snapshot.underway && d.now() >= snapshot.access.hold {
		return nil
	}
	return token
}

func (d *Driver) nudge(snapshot *Snapshot, now int64) {
	if now >= snapshot.nudgeFrom || snapshot.advice(now) == "ask" {
		d.need()
	}
}

func (d *Driver) need() {
	if !d.needed.Swap(true) {
		d.hint()
	}
}

// Changed is a hint that something may have.
func (d *Driver) Changed() {
	if !d.changed.Swap(true) {
		d.hint()
	}
}

func (d *Driver) hint() {
	select {
	case d.hinted <- struct{}{}:
	default:
	}
}

// Wait waits for a token until the context is done. The error is a *Failed, or the context's.
func (d *Driver) Wait(ctx context.Context) (*Token, error) {
	if token := d.Plain(); token != nil {
		return token, nil
	}
	if d.waiters.Add(1) > d.maxWaiters.Load() {
		d.waiters.Add(-1)
		// Who cannot wait for a better token goes with the one at hand.
		if token := d.snapshot.Load().usable(d.now()); token != nil {
			return token, nil
		}
		return nil, &Failed{contract.Failure{
			Code: "overloaded", Message: fmt.Sprintf("%d callers wait for an access token already.", d.maxWaiters.Load()),
			Action: "Send fewer requests at once, or shed this one.",
		}}
	}
	defer d.waiters.Add(-1)
	return d.wait(ctx, &waiter{since: d.snapshot.Load().generation})
}

// Reject says that the API answered 401 to the token with this id. Any but the current one does nothing.
func (d *Driver) Reject(id string) {
	snapshot := d.snapshot.Load()
	current := snapshot.access.kind == "usable" && snapshot.access.token.ID == id
	passed := snapshot.passing != nil && snapshot.passing.token.ID == id
	// Once is enough, however many requests were rejected.
	if !current && !passed || d.rejectedIn.Swap(snapshot.generation+1) == snapshot.generation+1 {
		return
	}
	select {
	case d.rejections <- id:
	case <-d.done:
	}
}

// Replacement is Reject, and then another token than this one, or nil. It waits while an exchange is under way, for about a second.
func (d *Driver) Replacement(ctx context.Context, id string) *Token {
	since := d.snapshot.Load().generation
	d.Reject(id)
	if d.waiters.Add(1) > d.maxWaiters.Load() {
		d.waiters.Add(-1)
		return nil
	}
	defer d.waiters.Add(-1)
	token, err := d.wait(ctx, &waiter{since: since, rejected: id})
	if err != nil || token.ID == id {
		return nil
	}
	return token
}

// errNone is no error that anybody sees.
var errNone = &Failed{}

func (d *Driver) wait(ctx context.Context, waiter *waiter) (*Token, error) {
	for {
		snapshot, now := d.snapshot.Load(), d.now()
		look := waiter.look(snapshot, now)
		switch look.do {
		case "take":
			return look.token, nil
		case "none":
			return nil, errNone
		case "refuse":
			return nil, &Failed{*snapshot.failure(now)}
		case "closed":
			return nil, closed()
		}
		if d.isClosing() {
			return nil, closed()
		}
		if look.asks {
			d.need()
		}
		timer := time.NewTimer(atMost(look.until - now))
		select {
		case <-snapshot.superseded:
		case <-timer.C:
		case <-d.closing:
		case <-ctx.Done():
			timer.Stop()
			// It was held back for a better one, which this caller cannot wait for.
			if token := d.snapshot.Load().usable(d.now()); token != nil && waiter.rejected == "" && ctx.Err() == context.DeadlineExceeded {
				return token, nil
			}
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

func (d *Driver) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

// Status asks the component where the session stands.
func (d *Driver) Status() (json.RawMessage, error) {
	answer := make(chan status, 1)
	select {
	case d.statuses <- answer:
	case <-d.done:
		return nil, closed()
	}
	told := <-answer
	return told.document, told.err
}

// Close starts nothing new, and waits for an exchange that is under way, for at most two seconds. Whoever waits for a token gets an error at
// once. The token that is there is served until its end.
func (d *Driver) Close() {
	d.closeOnce.Do(func() { close(d.closing) })
	<-d.done
}

// End is Close, and does not wait.
func (d *Driver) End() { d.closeOnce.Do(func() { close(d.closing) }) }
