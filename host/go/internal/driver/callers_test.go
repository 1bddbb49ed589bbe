package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wif/internal/contract"
)

type callersCase struct {
	Name       string
	Session    []line
	MaxWaiters int `json:"max-waiters"`
	Happens    []struct {
		AtMs    int64 `json:"at-ms"`
		Closes  bool
		Rejects string
	}
	Callers []caller
}

type caller struct {
	AtMs     int64  `json:"at-ms"`
	WaitsMs  *int64 `json:"waits-ms"`
	Replaces string
	Told     told
}

type told struct {
	Token       string
	Code        string
	RetryAfterS int64 `json:"retry-after-s"`
	Nothing     bool
	AfterMs     int64 `json:"after-ms"`
}

// C1, C2, A6: what callers are told, and when, as in every host. A caller that waits for so long has a context of its own, which in Go ends
// with its own error.
func TestTheCasesOfCallersHold(t *testing.T) {
	ran := 0
	for _, one := range cases(t) {
		t.Run(one.Name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { play(t, one) }) })
		ran++
	}
	if ran < 30 {
		t.Fatalf("only %d cases were run", ran)
	}
}

func cases(t *testing.T) []callersCase {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(os.Getenv("RULES")), "../tests/callers/*.json"))
	check0(t, err)
	var all []callersCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		check0(t, err)
		var document struct{ Cases []callersCase }
		check0(t, json.Unmarshal(text, &document))
		all = append(all, document.Cases...)
	}
	return all
}

func check0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func play(t *testing.T, one callersCase) {
	if one.MaxWaiters == 0 {
		one.MaxWaiters = 100
	}
	driver, err := New(opening(&scripted{lines: one.Session}), allowing{}, bubble{}, silent(), one.MaxWaiters)
	check0(t, err)
	start := time.Now()
	closed := false
	synctest.Wait()
	answers := make([]chan told, len(one.Callers))
	for at := int64(0); at <= 120_000; at += 100 {
		time.Sleep(time.Until(start.Add(time.Duration(at) * time.Millisecond)))
		synctest.Wait()
		for _, happens := range one.Happens {
			if happens.AtMs == at {
				if happens.Closes {
					closed = true
					go driver.Close()
				} else {
					driver.Reject(strings.Repeat(happens.Rejects, 16))
				}
				synctest.Wait()
			}
		}
		for i, caller := range one.Callers {
			if caller.AtMs == at {
				answers[i] = make(chan told, 1)
				go ask(driver, caller, answers[i])
				synctest.Wait()
			}
		}
	}
	for i, caller := range one.Callers {
		select {
		case told := <-answers[i]:
			if told != caller.Told {
				t.Errorf("the caller at %d was told %+v, and not %+v", caller.AtMs, told, caller.Told)
			}
		default:
			t.Errorf("the caller at %d still waits", caller.AtMs)
		}
	}
	if !closed {
		driver.Close()
	}
}

func ask(driver *Driver, caller caller, answer chan told) {
	ctx := context.Background()
	if caller.WaitsMs != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*caller.WaitsMs)*time.Millisecond)
		defer cancel()
	}
	began := time.Now()
	told := told{}
	if caller.Replaces != "" {
		token := driver.Replacement(ctx, strings.Repeat(caller.Replaces, 16))
		if told.Nothing = token == nil; token != nil {
			told.Token = token.ID[:1]
		}
	} else {
		token, err := driver.Wait(ctx)
		told = toldOf(token, err)
	}
	told.AfterMs = time.Since(began).Milliseconds()
	answer <- told
}

func toldOf(token *Token, err error) told {
	var failed *Failed
	switch {
	case err == nil:
		return told{Token: token.ID[:1]}
	case errors.As(err, &failed):
		return told{Code: failed.Code, RetryAfterS: retryAfter(failed.Failure)}
	case errors.Is(err, context.DeadlineExceeded):
		return told{Code: "timed-out", RetryAfterS: 1}
	}
	panic(fmt.Sprint(err))
}

// retryAfter is that of wit/rules.json.
func retryAfter(failure contract.Failure) int64 {
	seconds := int64(60)
	switch {
	case failure.Code == "overloaded":
		seconds = 1
	case failure.RetryInMs != nil:
		seconds = int64(*failure.RetryInMs+999) / 1000
	}
	return min(max(seconds, 1), 60)
}

func opening(session Session) Opening {
	return Opening{
		Open: func(contract.Opening) (Session, error) { return session, nil },
		Seed: func() uint64 { return 1 }, Start: contract.Fresh,
	}
}

// allowing allows the API's own origin, and does nothing.
type allowing struct{}

func (allowing) CheckTokenOrigin(origin string) (string, error) {
	if origin != "https://api.anthropic.com" {
		return "", errors.New("the policy allows https://api.anthropic.com only")
	}
	return origin, nil
}

func (allowing) Perform(context.Context, contract.Task) contract.Outcome { return contract.Unsupported }
