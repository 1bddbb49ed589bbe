package driver

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"wif/internal/contract"
)

func equal[T comparable](t *testing.T, found, expected T) {
	t.Helper()
	if found != expected {
		t.Fatalf("%v, and not %v", found, expected)
	}
}

func TestFiveRestartsAMinuteAreMadeAtOnce(t *testing.T) {
	recovery, sent := recovery{}, result("send-request")
	for now := range int64(5) {
		equal(t, recovery.stopped(sent, now*1000), now*1000)
	}
	equal(t, recovery.stopped(sent, 5_000), 60_000)
	equal(t, recovery.stopped(sent, 60_000), 61_000)
}

func TestAResultThatStoppedItTwiceIsQuarantinedForAWhile(t *testing.T) {
	recovery, sent := recovery{}, result("send-request")
	recovery.stopped(sent, 0)
	equal(t, recovery.quarantines(sent, 0), false)
	recovery.stopped(sent, 1)
	recovery.passed(sent, 2)
	equal(t, recovery.quarantines(sent, memoryMs), true)
	equal(t, recovery.quarantines(result("read-file"), 2), false)
	equal(t, recovery.quarantines(sent, memoryMs+1), false)
	// Tried once more without harm, it has a clean record.
	recovery.passed(sent, memoryMs+1)
	recovery.stopped(sent, memoryMs+2)
	equal(t, recovery.quarantines(sent, memoryMs+2), false)
}

func TestAJournalThatNoSessionSurvivesCountsAsLost(t *testing.T) {
	recovery := recovery{}
	for now := range int64(3) {
		recovery.stopped(cause{name: "opening"}, now)
		equal(t, recovery.trustsJournal(), true)
	}
	recovery.stopped(cause{name: "woken"}, 3)
	equal(t, recovery.trustsJournal(), false)
	recovery.passed(cause{name: "woken"}, 4)
	equal(t, recovery.trustsJournal(), true)
}

func TestAWakeThatStopsItAgainAndAgainIsTriedEverMoreRarely(t *testing.T) {
	recovery, woken := recovery{}, cause{name: "woken"}
	equal(t, recovery.stopped(woken, 0), 0)
	equal(t, recovery.stopped(woken, 0), 1_000)
	equal(t, recovery.stopped(woken, 1_000), 3_000)
	equal(t, recovery.stopped(woken, 3_000), 7_000)
	recovery.passed(woken, 7_000)
	equal(t, recovery.stopped(woken, 100_000), 100_000)
}

func TestAComponentThatTakesLongRestsFourTimesAsLong(t *testing.T) {
	pace := newPace()
	pace.stepped(1_000, 1_090)
	equal(t, pace.restsUntil <= 1_090, true)
	pace.stepped(10_000, 15_000)
	equal(t, pace.restsUntil <= 15_000, true)
	pace.stepped(15_000, 20_000)
	// Five seconds are free.
	equal(t, pace.restsUntil, 10_000+5*5_000)
}

func TestNoRestIsLongerThanAMinute(t *testing.T) {
	pace := newPace()
	// The machine slept in the middle of a step.
	pace.stepped(1_000, 7_200_000)
	equal(t, pace.restsUntil, 7_260_000)
	pace.stepped(7_260_000, 7_260_001)
	equal(t, pace.restsUntil <= 7_260_010, true)
}

func TestStepsThatAreNeverLongHaveAFifthOfTheTimeTogether(t *testing.T) {
	pace, now, busy := newPace(), int64(1_000), int64(0)
	for now < 61_000 {
		began := max(now, pace.restsUntil)
		now = began + 4
		busy += 4
		pace.stepped(began, now)
	}
	// What is free comes on top.
	equal(t, 16_900 <= busy && busy <= 17_100, true)
}

func TestAFloodOfRequestsEndsAfterAFewAndOneMoreGoesOutEachSecond(t *testing.T) {
	count := func(pace *pace, kind string, now int64) (allowed int) {
		for range 1_000 {
			if pace.allows(kind, now) {
				allowed++
			}
		}
		return allowed
	}
	pace := newPace()
	for _, kind := range []string{"send-request", "supply-assertion", "sign"} {
		for now, expected := range map[int64]int{5_000: 32} {
			equal(t, count(pace, kind, now), expected)
		}
		equal(t, count(pace, kind, 5_999), 0)
		equal(t, count(pace, kind, 6_000), 1)
		equal(t, count(pace, kind, 600_000), 32)
	}
	for _, kind := range []string{"load-entry", "swap-entry"} {
		equal(t, count(pace, kind, 5_000), 256)
		equal(t, count(pace, kind, 5_249), 0)
		equal(t, count(pace, kind, 6_000), 4)
	}
	equal(t, count(pace, "read-file", 5_000), 1_000)
}

func TestAComponentThatAsksForOneThingAfterAnotherRestsInBetween(t *testing.T) {
	pace, quick := newPace(), 0
	for pace.restsUntil <= 5_000 {
		pace.handedOver(5_000)
		quick++
	}
	equal(t, quick, 2_501)
	equal(t, pace.restsUntil, 5_001)
}

func TestOfAFloodOfNotesAFewAreLogged(t *testing.T) {
	pace := newPace()
	equal(t, pace.room(64, 0), 64)
	equal(t, pace.room(1_000, 0), 192)
	equal(t, pace.room(10, 500), 2)
}

// crashing traps where it is told to, and tells from what it was opened.
type crashing struct {
	at    func(contract.Event) bool
	steps *[]contract.Event
}

func (c crashing) Step(_ contract.Clock, event contract.Event) (contract.Output, error) {
	*c.steps = append(*c.steps, event)
	if c.at(event) {
		return contract.Output{}, errors.New("as told")
	}
	output := serving()
	journal := "a journal"
	output.Journal = &journal
	if event.Tag == "changed" {
		name := "HOME"
		output.Tasks = []contract.NumberedTask{{Number: 1, Task: contract.Task{ReadVariable: &name}}}
	}
	return output, nil
}

func (crashing) Status(contract.Clock) (json.RawMessage, error) { return nil, errors.New("as told") }

func (crashing) Close() {}

// E3, F1: an instance that trapped is replaced, from the newest journal, with another seed, and the token is served on.
func TestAfterATrapAnotherSessionGoesOnFromTheJournalWithAnotherSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []contract.Event
		var openings []contract.Opening
		seeds := uint64(0)
		driver, err := New(Opening{
			Open: func(opening contract.Opening) (Session, error) {
				openings = append(openings, opening)
				return crashing{func(event contract.Event) bool { return event.Tag == "rejected" }, &steps}, nil
			},
			Seed: func() uint64 { seeds++; return seeds }, Start: contract.Fresh,
		}, allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		token := driver.Current()
		driver.Reject(token.ID)
		synctest.Wait()
		equal(t, driver.Current().ID, token.ID)
		equal(t, len(openings), 2)
		equal(t, openings[0].From.Tag, "fresh")
		equal(t, openings[1].From.Tag, "resumed")
		equal(t, openings[1].From.Payload.(string), "a journal")
		equal(t, openings[0].Seed != openings[1].Seed, true)
		driver.Close()
	})
}

// E4: what stops it by a task's result is kept from it, and a wake that does is tried ever more rarely.
func TestAResultThatStopsItAgainAndAgainIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []contract.Event
		stops := func(event contract.Event) bool {
			done, is := event.Payload.(contract.TaskResult)
			return is && done.Outcome.Tag != "lost"
		}
		driver, err := New(opening(crashing{stops, &steps}), allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		for range 3 {
			synctest.Wait()
			driver.Changed()
		}
		synctest.Wait()
		last := steps[len(steps)-1].Payload.(contract.TaskResult)
		equal(t, last.Outcome.Tag, "lost")
		driver.Close()
	})
}

// F1: a component that never comes up costs its callers an answer, and not their time.
func TestAComponentThatAlwaysTrapsIsTriedAFewTimesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []contract.Event
		driver, err := New(opening(crashing{func(contract.Event) bool { return true }, &steps}), allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		time.Sleep(time.Hour)
		_, err = driver.Wait(context.Background())
		var failed *Failed
		if !errors.As(err, &failed) || failed.Code != "component-stopped" || failed.RetryInMs == nil {
			t.Fatal(err)
		}
		equal(t, len(steps) < 100, true)
		_, err = driver.Status()
		equal(t, err != nil, true)
		driver.Close()
	})
}

// D1, D4: the clock that never goes back counts through sleep, and is not put back by the wall clock.
func TestTheSteadyClockCountsWhatTheWallClockIsAhead(t *testing.T) {
	machine := NewMachine()
	before := machine.Now()
	// As if the machine had slept for an hour.
	machine.offset.Add(-hourMs)
	equal(t, machine.Now().Steady-before.Steady >= hourMs, true)
	// The wall clock goes back by an hour: nothing happens.
	machine.offset.Add(hourMs)
	after := machine.Now()
	equal(t, after.Steady-before.Steady < hourMs+1000, true)
	// And what it sleeps then counts, too, however many have seen it.
	machine.offset.Add(-hourMs)
	machine.jumped()
	machine.jumped()
	slept := machine.Now().Steady - after.Steady
	equal(t, slept >= hourMs && slept < hourMs+1000, true)
}

// D4: what lies ahead by thousands of years is never; and a wake is obeyed within bounds, and counts from the end of the step.
func TestTimesAreTakenWithinBounds(t *testing.T) {
	checked := func(change func(*contract.Output)) checked {
		output := serving()
		change(&output)
		answer, err := check(output, 10_000, 10_400, allowing{})
		check0(t, err)
		return answer
	}
	for wake, expected := range map[uint32]int64{0: 10_405, 1_000: 11_400, math.MaxUint32: 10_400 + 86_400_000} {
		equal(t, checked(func(output *contract.Output) { output.WakeInMs = &wake }).wakeAt, expected)
	}
	equal(t, checked(func(*contract.Output) {}).wakeAt, never)
	for end, expected := range map[uint64]int64{180_000: 190_000, math.MaxUint64: never, aThousandYears: never, aThousandYears - 1: 10_000 + aThousandYears - 1} {
		equal(t, checked(func(output *contract.Output) { output.Access.Usable.UnusableInMs = &end }).snapshot.access.end, expected)
	}
	equal(t, checked(func(output *contract.Output) { output.Access.Usable.UnusableInMs = nil }).snapshot.access.end, never)
	due := uint64(0)
	for wake, expected := range map[uint32]int64{60_000: 11_000, 200: 10_200} {
		equal(t, checked(func(output *contract.Output) {
			output.WakeInMs, output.Access.Usable.RefreshInMs = &wake, &due
		}).snapshot.nudgeFrom, expected)
	}
}
