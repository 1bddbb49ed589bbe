package driver

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wif/internal/contract"
)

// saying answers each event as a test says.
type saying struct {
	says   func(event contract.Event) contract.Output
	status func() (json.RawMessage, error)
}

func (s saying) Step(_ contract.Clock, event contract.Event) (contract.Output, error) {
	return s.says(event), nil
}

func (s saying) Status(contract.Clock) (json.RawMessage, error) { return s.status() }

func (saying) Close() {}

func pending() contract.Output {
	return contract.Output{Progress: "underway", Access: contract.Access{Pending: "exchanging"}}
}

func asking(number uint32, task contract.Task) contract.Output {
	output := pending()
	output.Tasks = []contract.NumberedTask{{Number: number, Task: task}}
	return output
}

// slow does each task in a second, and tells which were begun.
type slow struct {
	allowing
	mutex *sync.Mutex
	begun *[]string
}

func (s slow) Perform(ctx context.Context, task contract.Task) contract.Outcome {
	s.mutex.Lock()
	*s.begun = append(*s.begun, task.Kind())
	s.mutex.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	return contract.Content("a.b.c")
}

func slowly() slow { return slow{mutex: &sync.Mutex{}, begun: &[]string{}} }

// An identity token that a closing credential would spend is lost for the next one.
func TestNoExchangeBeginsForACredentialThatIsClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, key := slowly(), "00"
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			switch event.Tag {
			case "woken":
				return asking(1, contract.Task{SwapEntry: &contract.Swap{Key: key}})
			case "finished":
				return asking(2, contract.Task{SendRequest: &contract.HTTPRequest{}})
			}
			return pending()
		}}), host, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		began := time.Now()
		driver.Close()
		equal(t, strings.Join(*host.begun, " "), "swap-entry")
		equal(t, time.Since(began), time.Second)
	})
}

// What is only read is not waited for.
func TestAReadIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := slowly()
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			if event.Tag == "woken" {
				return asking(1, contract.Task{ReadFile: &contract.FileRequest{Path: "/run/token"}})
			}
			return pending()
		}}), host, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		began := time.Now()
		driver.Close()
		equal(t, time.Since(began), 0)
	})
}

// An exchange that is out is waited for, for two seconds at most, and what it brought is told to the others at the store.
func TestAnExchangeThatIsOutIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := slowly()
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			switch {
			case event.Tag == "woken":
				return asking(1, contract.Task{SendRequest: &contract.HTTPRequest{}})
			case event.Tag == "finished" && event.Payload.(contract.TaskResult).Number == 1:
				return asking(2, contract.Task{SwapEntry: &contract.Swap{Key: "00"}})
			}
			return pending()
		}}), host, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		waiting := make(chan error, 1)
		go func() {
			_, err := driver.Wait(context.Background())
			waiting <- err
		}()
		synctest.Wait()
		began := time.Now()
		go driver.Close()
		synctest.Wait()
		var failed *Failed
		equal(t, errors.As(<-waiting, &failed) && failed.Code == "closed", true)
		equal(t, time.Since(began), 0)
		driver.Close()
		equal(t, strings.Join(*host.begun, " "), "send-request swap-entry")
		equal(t, time.Since(began), settleFor)
		driver.Close()
	})
}

// A session that does nothing for its callers is asked again a second later, and not for ever in one moment.
func TestASessionThatDidNothingIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		driver, err := New(opening(saying{says: func(event contract.Event) contract.Output {
			if event.Tag == "needed" {
				asked++
			}
			return contract.Output{Progress: "resting", Access: contract.Access{Idle: true}}
		}}), allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		for range 40 {
			_, err := driver.Wait(context.Background())
			var failed *Failed
			if !errors.As(err, &failed) || failed.Message != "The component was asked for a token and did nothing." {
				t.Fatal(err)
			}
			driver.Current()
			time.Sleep(100 * time.Millisecond)
		}
		equal(t, 3 <= asked && asked <= 5, true)
		driver.Close()
	})
}

// A caller that never waits has the token to its end.
func TestInTheLastMomentsATokenIsCurrentAndHeldForThoseThatCanWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver, err := New(opening(saying{says: func(contract.Event) contract.Output {
			output, now := serving(), uint64(0)
			output.Progress, output.WaitAtMostMs, output.Access.Usable.HoldInMs = "underway", 1000, &now
			return output
		}}), allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		synctest.Wait()
		equal(t, driver.Current() != nil, true)
		equal(t, driver.Plain() == nil, true)
		began := time.Now()
		token, err := driver.Wait(context.Background())
		check0(t, err)
		equal(t, token.ID, driver.Current().ID)
		equal(t, time.Since(began), time.Second)
		driver.Close()
	})
}

// F2: a status goes to terminals and to monitoring.
func TestAStatusIsShownAsTextsOfAStrangerAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said := json.RawMessage(`{"state":"serving","summary":"a\u001b[2J\u202eb","warnings":["x\ny"],"exchanges-started":18446744073709551615}`)
		driver, err := New(opening(saying{
			says: func(contract.Event) contract.Output { return serving() }, status: func() (json.RawMessage, error) { return said, nil },
		}), allowing{}, bubble{}, silent(), 100)
		check0(t, err)
		status, err := driver.Status()
		check0(t, err)
		equal(t, string(status), `{"exchanges-started":18446744073709551615,"state":"serving","summary":"a [2J b","warnings":["x y"]}`)
		for _, other := range []string{"not json \u202e", "[]", "{}"} {
			said = json.RawMessage(other)
			_, err := driver.Status()
			equal(t, err != nil && !strings.Contains(err.Error(), "\u202e"), true)
			synctest.Wait()
		}
		driver.Close()
	})
}
