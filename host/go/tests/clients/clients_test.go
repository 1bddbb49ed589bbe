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
	"wif/internal/world"
	wifoauth2 "wif/oauth2"
)

func discover(t *testing.T) *wif.Credential { return open(t, "{}") }

func open(t *testing.T, configuration string) *wif.Credential {
	t.Helper()
	credential, err := wif.Open(configuration, wif.Options{AllowLoopback: true})
	world.Check(t, err)
	t.Cleanup(func() { world.Check(t, credential.Close()) })
	return credential
}

// The SDK as the README has it.
func sdk(credential *wif.Credential, options ...option.RequestOption) anthropic.Client {
	client := &http.Client{Transport: credential.Transport(nil)}
	ours := []option.RequestOption{option.WithHTTPClient(client), option.WithAuthToken("wif")}
	return anthropic.NewClient(append(ours, options...)...)
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

func TestTheSDKStreamsAndWhatItHasForAKeyIsTakenOff(t *testing.T) {
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
	t.Run("an outage", func(t *testing.T) {
		world.New(t)
		world.Ask(t, "POST", "/faults", `{"endpoint":"exchange","fault":{"fault":"status","status":503},"times":9}`, nil)
		var problem *wif.Error
		if err := say(sdk(discover(t))); !errors.As(err, &problem) || problem.EndpointStatus != 503 {
			t.Fatal(err)
		}
	})
	t.Run("another origin", func(t *testing.T) {
		world.New(t)
		if err := say(sdk(discover(t), option.WithBaseURL("http://127.0.0.1:9"))); !errors.Is(err, &wif.Error{Code: "other-origin"}) {
			t.Fatal(err)
		}
	})
}

func TestATokenSourceServesABurstByOneExchange(t *testing.T) {
	entries := world.New(t)
	source := wifoauth2.TokenSource(context.Background(), discover(t))
	client := &http.Client{Transport: &oauth2.Transport{Source: source}}
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			if status := models(t, client); status != 200 {
				t.Error(status)
			}
		}()
	}
	all.Wait()
	world.Equal(t, models(t, oauth2.NewClient(context.Background(), source)), 200)
	world.Equal(t, len(entries("exchange")), 1)
}

func TestATokenThatWasReplacedIsKeptByNobody(t *testing.T) {
	entries := world.New(t)
	credential := discover(t)
	source := oauth2.ReuseTokenSource(nil, wifoauth2.TokenSource(context.Background(), credential))
	client := &http.Client{Transport: &oauth2.Transport{Source: source}}
	first, err := source.Token()
	world.Check(t, err)
	world.Equal(t, models(t, client), 200)
	world.Ask(t, "POST", "/revoke", `{"all":true}`, nil)
	world.Ask(t, "POST", "/token-file/rotate", "{}", nil)
	time.Sleep(5200 * time.Millisecond)
	// It does not see that this fails; whoever does says so.
	world.Equal(t, models(t, client), 401)
	credential.Reject(first.Extra(wifoauth2.ID).(string))
	for range 200 {
		if len(entries("exchange")) == 2 && models(t, client) == 200 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the token that was rejected is given on")
}

func TestATokenSourcesErrorIsThatOfTheCredentialOrOfItsContext(t *testing.T) {
	world.New(t)
	world.Ask(t, "POST", "/faults", `{"endpoint":"exchange","fault":{"fault":"delay","ms":2000}}`, nil)
	credential := discover(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := wifoauth2.TokenSource(ctx, credential).Token(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	world.Check(t, credential.Close())
	if _, err := wifoauth2.TokenSource(context.Background(), credential).Token(); !errors.Is(err, &wif.Error{Code: "closed"}) {
		t.Fatal(err)
	}
}

func TestATokenSourceGivesAKeyForAuthorizationAndForNoOtherField(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-api03-ours")
	token, err := wifoauth2.TokenSource(context.Background(), discover(t)).Token()
	world.Check(t, err)
	world.Equal(t, token.AccessToken, "sk-ant-api03-ours")
	credential := open(t, `{"discover":{"api_key_in":"x-api-key"}}`)
	var problem *wif.Error
	if _, err := wifoauth2.TokenSource(context.Background(), credential).Token(); !errors.As(err, &problem) || problem.Field != "discover.api_key_in" {
		t.Fatal(err)
	}
}

func models(t *testing.T, client *http.Client) int {
	request, err := http.NewRequest("GET", world.URL+"/v1/models", nil)
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Header.Set("anthropic-version", "2023-06-01")
	request.Header.Set("anthropic-beta", "oauth-2025-04-20")
	response, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}
