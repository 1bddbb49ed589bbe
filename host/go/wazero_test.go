//go:build !cgo || !wif_library

package wif

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// What nobody holds is not refreshed for ever.
func TestACredentialThatNobodyHoldsEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		credential, err := Open(`{"bearer":{"source":"literal","value":"a-token-from-a-broker"}}`, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := credential.Token(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d goroutines, and %d before", runtime.NumGoroutine(), before)
}
