package driver

import (
	"sync"
	"sync/atomic"
	"time"
)

// Reading is what time it is, in milliseconds.
type Reading struct {
	// Wall is since 1970, and may jump. Steady never goes back, and counts while the machine sleeps.
	Wall, Steady int64
}

// Clock is where a driver reads the time.
type Clock interface{ Now() Reading }

// Machine is the machine's own clocks. Go's monotonic clock stops while the machine sleeps, so what the wall clock is ahead of it is added,
// from a second on. A wall clock that is put forward counts as such a sleep: then a token ends too early, and never too late.
type Machine struct {
	start time.Time
	// offset is what the wall clock is ahead of the monotonic one, and slept what was added.
	offset, slept atomic.Int64
	mutex         sync.Mutex
}

// NewMachine starts at some moment.
func NewMachine() *Machine {
	now := time.Now()
	// Not zero, so that no moment is taken for none.
	machine := &Machine{start: now.Add(-time.Second)}
	machine.offset.Store(now.UnixMilli() - 1000)
	return machine
}

// aJump is in milliseconds. What is less is the clocks' own drift.
const aJump = 1000

// Now looks at both clocks.
func (m *Machine) Now() Reading {
	now := time.Now()
	wall, plain := now.UnixMilli(), now.Sub(m.start).Milliseconds()
	if drift := wall - plain - m.offset.Load(); drift >= aJump || drift <= -aJump {
		m.jumped()
	}
	return Reading{wall, plain + m.slept.Load()}
}

func (m *Machine) jumped() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	// Others may have seen it, too; and what was read before the machine slept says nothing any more.
	now := time.Now()
	offset := now.UnixMilli() - now.Sub(m.start).Milliseconds()
	if drift := offset - m.offset.Load(); drift >= aJump {
		m.slept.Add(drift)
		m.offset.Store(offset)
	} else if drift <= -aJump {
		m.offset.Store(offset)
	}
}
