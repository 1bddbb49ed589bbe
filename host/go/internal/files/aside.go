package files

import (
	"context"
	"errors"
	"sync"
)

// So many calls are under way at once for a credential or a store, and so many reads of one file in a process. A file system that does not
// answer keeps the places, and with each a thread.
const (
	callsAtOnce = 64
	readsOfOne  = 4
)

// Calls are the places of a credential or a store: what one of them waits for holds up no other.
type Calls chan struct{}

// NewCalls are free.
func NewCalls() Calls { return make(Calls, callsAtOnce) }

var (
	errNoPlace  = errors.New("earlier calls have not ended yet")
	errNoAnswer = errors.New("the call has not ended yet")
)

var (
	readers = &slots{each: readsOfOne}
	// Whoever closes a file loses the locks that another goroutine holds of it, where the kernel has no better ones. So one at a time has the
	// file of a lock.
	writers = &slots{each: 1}
)

// aside does what may never end where it holds up nobody. It waits for a place until waiting is done, and for the end until ctx is done.
// The work goes on then, and keeps its place.
func aside[T any](ctx, waiting context.Context, calls Calls, places *slots, name string, work func() T) (T, error) {
	var none T
	release, err := places.take(waiting, name)
	if err != nil {
		return none, err
	}
	select {
	case calls <- struct{}{}:
	case <-waiting.Done():
		release()
		return none, errNoPlace
	}
	ended := make(chan T, 1)
	go func() {
		defer func() {
			<-calls
			release()
		}()
		ended <- work()
	}()
	select {
	case result := <-ended:
		return result, nil
	case <-ctx.Done():
	}
	// Perhaps both came at once.
	select {
	case result := <-ended:
		return result, nil
	default:
		return none, errNoAnswer
	}
}

// slots are so many places for each name. A name that nobody asks for takes no memory.
type slots struct {
	each  int
	guard sync.Mutex
	named map[string]*slot
}

type slot struct {
	places chan struct{}
	asked  int
}

// take waits for a place of this name. The function hands it back.
func (s *slots) take(ctx context.Context, name string) (release func(), err error) {
	slot := s.ask(name)
	select {
	case slot.places <- struct{}{}:
		return func() {
			<-slot.places
			s.leave(name, slot)
		}, nil
	case <-ctx.Done():
		s.leave(name, slot)
		return nil, errNoPlace
	}
}

func (s *slots) ask(name string) *slot {
	s.guard.Lock()
	defer s.guard.Unlock()
	if s.named == nil {
		s.named = map[string]*slot{}
	}
	asked := s.named[name]
	if asked == nil {
		asked = &slot{places: make(chan struct{}, s.each)}
		s.named[name] = asked
	}
	asked.asked++
	return asked
}

func (s *slots) leave(name string, left *slot) {
	s.guard.Lock()
	defer s.guard.Unlock()
	if left.asked--; left.asked == 0 {
		delete(s.named, name)
	}
}
