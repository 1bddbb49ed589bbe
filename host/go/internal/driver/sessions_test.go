package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wif/internal/contract"
)

// numbered is a session that knows which one of its driver's it is.
type numbered struct {
	saying
	traps func(event contract.Event) bool
}

func (n numbered) Step(now contract.Clock, event contract.Event) (contract.Output, error) {
	if n.traps != nil && n.traps(event) {
		return contract.Output{}, errors.New("as told")
	}
	return n.saying.Step(now, event)
}

// E3: task numbers begin again with each session, and a result goes to the one that asked.
func TestTheResultOfAnEarlierSessionsTaskIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened, results := 0, []string{}
		driver, err := New(Opening{
			Open: func(contract.Opening) (Session, error) {
				opened++
				this := opened
				return numbered{saying{says: func(event contract.Event) contract.Output {
					switch event.Tag {
					case "woken":
						time.Sleep(time.Duration(this-1) * 100 * time.Millisecond)
						return asking(1, contract.Task{SupplyToken: &contract.TokenRequest{Name: fmt.Sprint(this)}})
					case "finished":
						results = append(results, fmt.Sprint(this, " ", event.Payload.(contract.TaskResult).Outcome.Payload))
					}
					return serving()
				}}, func(event contract.Event) bool { return this == 1 && event.Tag == "changed" }}, nil
			},
			Seed: func() uint64 { return 1 }, Start: contract.Fresh,
		}, echoing{}, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		driver.Changed()
		time.Sleep(10 * time.Second)
		driver.Close()
		equal(t, fmt.Sprint(results), "[2 for 2]")
	})
}

// echoing answers with the name that was asked for, a second later, whatever its context says.
type echoing struct{ allowing }

func (echoing) Perform(_ context.Context, task contract.Task) contract.Outcome {
	time.Sleep(time.Second)
	return contract.Content("for " + task.SupplyToken.Name)
}

// E3: a new session has to look around first. Until it has a token the last one is served, to its end and no longer.
func TestTheLastTokenIsServedWhileANewSessionHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		driver, err := New(Opening{
			Open: func(contract.Opening) (Session, error) {
				opened++
				if opened == 1 {
					return numbered{saying{says: func(contract.Event) contract.Output { return serving() }}, func(event contract.Event) bool {
						return event.Tag == "changed"
					}}, nil
				}
				return saying{says: func(event contract.Event) contract.Output {
					if event.Tag == "woken" {
						return pending()
					}
					return contract.Output{Progress: "resting", Access: contract.Access{Failed: &contract.Failure{Code: "refused"}}}
				}}, nil
			},
			Seed: func() uint64 { return 1 }, Start: contract.Fresh,
		}, allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		token := driver.Current()
		for range 3 {
			driver.Changed()
			synctest.Wait()
			equal(t, driver.Current(), token)
		}
		equal(t, opened, 2)
		time.Sleep(time.Hour)
		equal(t, driver.Current() == nil, true)
		_, err = driver.Wait(context.Background())
		var failed *Failed
		equal(t, errors.As(err, &failed) && failed.Code == "refused", true)
		driver.Close()
	})
}

// E4: what a journal tells of is not known any more where no session survives it, and counts as done.
func TestAfterFourSessionsThatDidNotSurviveItAJournalIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var from []string
		driver, err := New(Opening{
			Open: func(opening contract.Opening) (Session, error) {
				from = append(from, opening.From.Tag)
				return numbered{saying{says: func(contract.Event) contract.Output { return serving() }}, func(contract.Event) bool {
					return opening.From.Tag == "resumed"
				}}, nil
			},
			Seed: func() uint64 { return 1 }, Start: contract.Resumed("a journal that no session survives"),
		}, allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		time.Sleep(time.Hour)
		equal(t, driver.Current() != nil, true)
		driver.Close()
		equal(t, fmt.Sprint(from), "[resumed resumed resumed resumed lost]")
	})
}

// F2: an origin comes with the configuration.
func TestTheOriginOfATokenDoesNotChangeWhileThereIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := ""
		listener := silent()
		listener.Stopped = func(_, why string) { stopped = why }
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			output := serving()
			if event.Tag == "changed" {
				output.Access.Usable.Origin = "https://evil.example"
			}
			return output
		}}), allowing{}, bubble{}, listener, 100)
		check0(t, err)
		synctest.Wait()
		driver.Changed()
		synctest.Wait()
		equal(t, stopped, "it broke the contract: the token's origin has changed")
		equal(t, driver.Current().Origin, "https://api.anthropic.com")
		driver.Close()
	})
}

// F2: of a flood of requests some leave, and then no more.
func TestAFloodOfRequestsStopsTheComponent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &counting{}
		number := uint32(0)
		driver, err := New(opening(saying{says: func(contract.Event) contract.Output {
			number++
			output := serving()
			output.Tasks = []contract.NumberedTask{{Number: number, Task: contract.Task{SendRequest: &contract.HTTPRequest{}}}}
			return output
		}}), host, bubble{}, silent(), 100)
		check0(t, err)
		time.Sleep(100 * time.Second)
		driver.Close()
		host.Lock()
		defer host.Unlock()
		equal(t, 32 <= host.asked && host.asked <= 32+100, true)
	})
}

// counting answers at once.
type counting struct {
	allowing
	sync.Mutex
	asked int
}

func (c *counting) Perform(context.Context, contract.Task) contract.Outcome {
	c.Lock()
	defer c.Unlock()
	c.asked++
	return contract.Unsent("as told")
}

// What panics is a function of the program's, and ends no process.
func TestATaskThatPanicsIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outcome contract.Outcome
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			switch event.Tag {
			case "woken":
				return asking(1, contract.Task{Sign: &contract.SignRequest{}})
			case "finished":
				outcome = event.Payload.(contract.TaskResult).Outcome
			}
			return pending()
		}}), panicking{}, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		driver.Close()
		equal(t, outcome.Tag, "lost")
	})
}

type panicking struct{ allowing }

func (panicking) Perform(context.Context, contract.Task) contract.Outcome { panic("canary") }

// C4, C5: however many requests were rejected, the session hears of it once.
func TestARejectionIsHeardOnceForEachToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := 0
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			switch event.Tag {
			case "changed":
				// So long that all are there before it has ended.
				time.Sleep(time.Second)
			case "rejected":
				heard++
			}
			return serving()
		}}), allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		driver.Changed()
		synctest.Wait()
		for range 100 {
			go func() {
				driver.Reject("0123456789abcdef")
				driver.Reject("another")
			}()
		}
		time.Sleep(10 * time.Second)
		equal(t, heard, 1)
		driver.Close()
	})
}
