// Package clients has the vendor's SDK and golang.org/x/oauth2 on this package, against an emulator.
package clients

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	anthropic "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"golang.org/x/oauth2"

	"wif"
	wifoauth2 "wif/oauth2"
	"wif/tests/world"
)

func discover(t *testing.T) *wif.Credential {
	t.Helper()
	credential, err := wif.Discover(wif.Options{AllowLoopback: true})
	world.Check(t, err)
	t.Cleanup(func() { world.Check(t, credential.Close()) })
	return credential
}

// The SDK as its documentation has it, with a client of ours.
func sdk(credential *wif.Credential, options ...option.RequestOption) anthropic.Client {
	client := &http.Client{Transport: credential.Transport(nil)}
	return anthropic.NewClient(append([]option.RequestOption{option.WithHTTPClient(client)}, options...)...)
}

func hello() anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:     anthropic.ModelClaudeSonnet4_5,
		MaxTokens: 64,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Hello"))},
	}
}

func say(client anthropic.Client) error {
	message, err := client.Messages.New(context.Background(), hello())
	if err == nil && message.Content[0].Text == "" {
		return errors.New("the answer has no text")
	}
	return err
}

func TestTheSDKsGoroutinesInAColdBurstShareOneExchange(t *testing.T) {
	entries := world.New(t)
	client := sdk(discover(t))
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := say(client); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	world.Equal(t, len(entries("exchange")), 1)
	world.Equal(t, len(entries("message")), 20)
}

func TestTheSDKStreamsAndNeedsNoKeyOfItsOwn(t *testing.T) {
	world.New(t)
	credential := discover(t)
	for _, options := range [][]option.RequestOption{nil, {option.WithAPIKey("theirs")}, {option.WithAuthToken("theirs")}} {
		client := sdk(credential, options...)
		stream := client.Messages.NewStreaming(context.Background(), hello())
		message := anthropic.Message{}
		for stream.Next() {
			world.Check(t, message.Accumulate(stream.Current()))
		}
		world.Check(t, stream.Err())
		if message.Content[0].Text == "" {
			t.Fatal("the answer has no text")
		}
		world.Check(t, stream.Close())
	}
}

func TestTheSDKDoesNotNoticeARevocation(t *testing.T) {
	entries := world.New(t)
	client := sdk(discover(t))
	world.Check(t, say(client))
	world.Ask(t, "POST", "/revoke", `{"all":true}`, nil)
	world.Ask(t, "POST", "/token-file/rotate", "{}", nil)
	// Nothing is exchanged within five seconds of an exchange.
	time.Sleep(5200 * time.Millisecond)
	world.Check(t, say(client))
	world.Equal(t, len(entries("exchange")), 2)
	world.Equal(t, len(entries("message")), 3)
}

func TestTheCredentialsErrorReachesTheSDKsUser(t *testing.T) {
	world.New(t)
	world.Ask(t, "POST", "/faults", `{"endpoint":"exchange","fault":{"fault":"status","status":503},"times":9}`, nil)
	var problem *wif.Error
	if err := say(sdk(discover(t))); !errors.As(err, &problem) || problem.EndpointStatus != 503 {
		t.Fatal(err)
	}
	world.New(t)
	if err := say(sdk(discover(t), option.WithBaseURL("http://127.0.0.1:9"))); !errors.Is(err, &wif.Error{Code: "other-origin"}) {
		t.Fatal(err)
	}
}

func TestATokenSourceGivesTheTokenOfTheMoment(t *testing.T) {
	entries := world.New(t)
	source := wifoauth2.TokenSource(context.Background(), discover(t))
	for _, client := range []*http.Client{
		oauth2.NewClient(context.Background(), source),
		{Transport: &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, source)}},
	} {
		world.Equal(t, models(t, client), 200)
	}
	world.Equal(t, len(entries("exchange")), 1)
	first, err := source.Token()
	world.Check(t, err)
	world.Equal(t, first.Type(), "Bearer")
}

func TestATokenThatWasReplacedIsKeptByNobody(t *testing.T) {
	world.New(t)
	credential := discover(t)
	client := oauth2.NewClient(context.Background(), wifoauth2.TokenSource(context.Background(), credential))
	world.Equal(t, models(t, client), 200)
	world.Ask(t, "POST", "/revoke", `{"all":true}`, nil)
	world.Ask(t, "POST", "/token-file/rotate", "{}", nil)
	time.Sleep(5200 * time.Millisecond)
	// It does not see that this fails; whoever does says so.
	world.Equal(t, models(t, client), 401)
	if credential.Replacement(credential.Current().ID) == nil {
		t.Fatal("there is no other token")
	}
	world.Equal(t, models(t, client), 200)
}

func TestAContextEndsTheWaitOfATokenSource(t *testing.T) {
	world.New(t)
	world.Ask(t, "POST", "/faults", `{"endpoint":"exchange","fault":{"fault":"delay","ms":2000}}`, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := wifoauth2.TokenSource(ctx, discover(t)).Token(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestATokenSourceGivesNoKeyThatGoesIntoAnotherField(t *testing.T) {
	credential, err := wif.Open(`{"discover":{"api_key_in":"x-api-key"}}`, wif.Options{})
	world.Check(t, err)
	defer credential.Close()
	if token, err := wifoauth2.TokenSource(context.Background(), credential).Token(); err == nil {
		t.Fatal(token)
	}
}

func models(t *testing.T, client *http.Client) int {
	t.Helper()
	request, err := http.NewRequest("GET", world.URL+"/v1/models", nil)
	world.Check(t, err)
	request.Header.Set("anthropic-version", "2023-06-01")
	request.Header.Set("anthropic-beta", "oauth-2025-04-20")
	response, err := client.Do(request)
	world.Check(t, err)
	response.Body.Close()
	return response.StatusCode
}
