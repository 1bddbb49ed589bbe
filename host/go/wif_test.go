package wif_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"wif"
	"wif/internal/world"
)

const hello = `{"model":"claude-sonnet-4-5-20250929","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}`

func discover(t *testing.T, options wif.Options) *wif.Credential {
	t.Helper()
	options.AllowLoopback = true
	credential, err := wif.Discover(options)
	world.Check(t, err)
	t.Cleanup(func() { world.Check(t, credential.Close()) })
	return credential
}

func TestATokenIsGotServedAndShownNowhere(t *testing.T) {
	entries := world.New(t)
	credential := discover(t, wif.Options{})
	token, err := credential.Token(context.Background())
	world.Check(t, err)
	world.Equal(t, token.ID, entries("exchange")[0].AccessTokenID)
	if credential.Current() != credential.Current() || credential.Current().ID != token.ID {
		t.Fatal("it is not the one that is served")
	}
	status, err := credential.Status()
	world.Check(t, err)
	encoded, err := json.Marshal(token)
	world.Check(t, err)
	shown := fmt.Sprintf("%v %+v %#v %s %v %s", token, token, token, status, credential, encoded)
	if strings.Contains(shown, token.Reveal()) || !strings.Contains(shown, `"state":"serving"`) {
		t.Fatal(shown)
	}
	world.Check(t, credential.Close())
	world.Check(t, credential.Close())
	_, err = credential.Token(context.Background())
	if !errors.Is(err, &wif.Error{Code: "closed"}) || credential.Current() != nil {
		t.Fatal(err)
	}
}

func TestGoroutinesInAColdBurstShareOneExchange(t *testing.T) {
	entries := world.New(t)
	client := &http.Client{Transport: discover(t, wif.Options{}).Transport(nil)}
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			world.Equal(t, post(t, client), 200)
		}()
	}
	all.Wait()
	world.Equal(t, len(entries("exchange")), 1)
	world.Equal(t, len(entries("message")), 20)
}

func post(t *testing.T, client *http.Client) int {
	request, err := http.NewRequest("POST", world.URL+"/v1/messages", strings.NewReader(hello))
	world.Check(t, err)
	request.Header.Set("anthropic-version", "2023-06-01")
	request.Header.Set("x-api-key", "theirs")
	response, err := client.Do(request)
	world.Check(t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	world.Check(t, err)
	return response.StatusCode
}

func TestARevokedTokenIsReplacedAndTheCallerDoesNotNotice(t *testing.T) {
	entries := world.New(t)
	client := &http.Client{Transport: discover(t, wif.Options{}).Transport(nil)}
	world.Equal(t, post(t, client), 200)
	world.Ask(t, "POST", "/revoke", `{"all":true}`, nil)
	world.Ask(t, "POST", "/token-file/rotate", "{}", nil)
	// Nothing is exchanged within five seconds of an exchange.
	time.Sleep(5200 * time.Millisecond)
	world.Equal(t, post(t, client), 200)
	world.Equal(t, len(entries("exchange")), 2)
	world.Equal(t, len(entries("message")), 3)
}

func TestATokenGoesToItsOriginOnly(t *testing.T) {
	world.New(t)
	client := &http.Client{Transport: discover(t, wif.Options{}).Transport(nil)}
	_, err := client.Get("http://127.0.0.1:9/v1/models")
	if !errors.Is(err, &wif.Error{Code: "other-origin"}) {
		t.Fatal(err)
	}
}

// recorded is what a transport sends, and what is answered.
func recorded(sent *[]*http.Request, answers ...*http.Response) http.RoundTripper {
	return answering(func(request *http.Request) *http.Response {
		*sent = append(*sent, request)
		if request.Body != nil {
			_, _ = io.Copy(io.Discard, request.Body)
		}
		if len(answers) == 0 {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: request}
		}
		answer := answers[0]
		answers = answers[1:]
		answer.Request = request
		return answer
	})
}

type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(request *http.Request) (*http.Response, error) { return a(request), nil }

// A reverse proxy hands the host on that its own client named.
func TestARequestIsForTheHostOfItsURL(t *testing.T) {
	world.New(t)
	var sent []*http.Request
	request, err := http.NewRequest("POST", world.URL+"/v1/messages", strings.NewReader(hello))
	world.Check(t, err)
	request.Host = "attacker.example"
	response, err := discover(t, wif.Options{}).Transport(recorded(&sent)).RoundTrip(request)
	world.Check(t, err)
	world.Equal(t, sent[0].Host, "")
	world.Equal(t, request.Host, "attacker.example")
	// Whoever logs an answer's request logs no token.
	world.Equal(t, response.Request, request)
	world.Equal(t, response.Request.Header.Get("authorization"), "")
}

func TestTrailersGoOutWithoutACredential(t *testing.T) {
	world.New(t)
	var sent []*http.Request
	request, err := http.NewRequest("POST", world.URL+"/v1/messages", nil)
	world.Check(t, err)
	request.Header = nil
	request.Trailer = http.Header{"X-Sum": nil, "X-Api-Key": {"theirs"}}
	request.Body = io.NopCloser(ending(func() { request.Trailer.Set("x-sum", "42") }))
	_, err = discover(t, wif.Options{}).Transport(recorded(&sent)).RoundTrip(request)
	world.Check(t, err)
	world.Equal(t, fmt.Sprint(sent[0].Trailer), "map[X-Sum:[42]]")
	world.Equal(t, strings.HasPrefix(sent[0].Header.Get("authorization"), "Bearer sk-ant-oat01-"), true)
}

// ending is a body without content.
type ending func()

func (e ending) Read([]byte) (int, error) {
	e()
	return 0, io.EOF
}

// endless is a body that goes on until it is closed.
type endless chan struct{}

func (e endless) Read([]byte) (int, error) {
	<-e
	return 0, io.EOF
}

func (e endless) Close() error {
	close(e)
	return nil
}

func TestARejectionIsReportedEachTimeAndItsBodyIsNotWaitedFor(t *testing.T) {
	entries := world.New(t)
	credential := discover(t, wif.Options{})
	first, err := credential.Token(context.Background())
	world.Check(t, err)
	world.Ask(t, "POST", "/token-file/rotate", "{}", nil)
	time.Sleep(5200 * time.Millisecond)
	rejection := func(body io.ReadCloser, length int64) *http.Response {
		return &http.Response{StatusCode: 401, Header: http.Header{}, Body: body, ContentLength: length}
	}
	var sent []*http.Request
	transport := credential.Transport(recorded(&sent, rejection(endless(make(chan struct{})), -1), rejection(http.NoBody, 0)))
	request, err := http.NewRequest("POST", world.URL+"/v1/messages", strings.NewReader(hello))
	world.Check(t, err)
	response, err := transport.RoundTrip(request)
	world.Check(t, err)
	world.Equal(t, response.StatusCode, 401)
	world.Equal(t, len(sent), 2)
	world.Equal(t, len(entries("exchange")), 2)
	// The second token is known to be rejected, too.
	for range 100 {
		if token := credential.Current(); token != nil && token.ID != first.ID && token.Suspect {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(credential.Current())
}

func TestNothingThatIsPrintedShowsASecret(t *testing.T) {
	world.New(t)
	token, err := discover(t, wif.Options{}).Token(context.Background())
	world.Check(t, err)
	supplied := wif.SuppliedToken{Value: "canary"}
	options := wif.Options{Proxy: "http://user:canary@proxy.example"}
	opening := wif.Opening{Configuration: "canary", From: json.RawMessage(`{"resumed":"canary"}`)}
	type holder struct {
		Token    wif.Token
		hidden   wif.Token
		Pointer  *wif.Token
		Supplied wif.SuppliedToken
		Options  wif.Options
		Opening  wif.Opening
	}
	all := holder{*token, *token, token, supplied, options, opening}
	shown := ""
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%t", "%x"} {
		for _, value := range []any{token, *token, supplied, &supplied, options, &options, opening, all, &all} {
			shown += fmt.Sprintf(verb, value)
		}
	}
	for _, value := range []any{token, *token, supplied, &supplied, []any{supplied}} {
		text, err := json.Marshal(value)
		world.Check(t, err)
		shown += string(text)
	}
	var lines bytes.Buffer
	slog.New(slog.NewTextHandler(&lines, nil)).Info("a", "b", *token, "c", supplied, "d", all)
	slog.New(slog.NewJSONHandler(&lines, nil)).Info("a", "b", token, "c", supplied)
	shown += lines.String()
	if strings.Contains(shown, token.Reveal()) || strings.Contains(shown, "canary") {
		t.Fatal(shown)
	}
}

func TestAContextEndsAWait(t *testing.T) {
	world.New(t)
	world.Ask(t, "POST", "/faults", `{"endpoint":"exchange","fault":{"fault":"delay","ms":2000}}`, nil)
	credential := discover(t, wif.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := credential.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	// What it waited for goes on, for others.
	_, err := credential.Token(context.Background())
	world.Check(t, err)
}

func TestClosingEndsAWait(t *testing.T) {
	world.New(t)
	world.Ask(t, "POST", "/faults", `{"endpoint":"exchange","fault":{"fault":"delay","ms":4000}}`, nil)
	credential := discover(t, wif.Options{})
	ended := make(chan error)
	go func() {
		_, err := credential.Token(context.Background())
		ended <- err
	}()
	time.Sleep(100 * time.Millisecond)
	world.Check(t, credential.Close())
	if err := <-ended; !errors.Is(err, &wif.Error{Code: "closed"}) {
		t.Fatal(err)
	}
}

func federation(source string) string {
	return fmt.Sprintf(`{"base_url":%q,"federation":{"federation_rule_id":%q,"organization_id":%q,"identity_token":%s}}`,
		world.URL, os.Getenv("ANTHROPIC_FEDERATION_RULE_ID"), os.Getenv("ANTHROPIC_ORGANIZATION_ID"), source)
}

func TestFunctionsOfTheProgramAreSources(t *testing.T) {
	world.New(t)
	type source = func(context.Context, string) (string, error)
	open := func(function source) *wif.Credential {
		credential, err := wif.Open(federation(`{"source":"callable","name":"ours","freshness":"minted"}`), wif.Options{
			AllowLoopback: true, IdentityTokens: map[string]source{"ours": function},
		})
		world.Check(t, err)
		t.Cleanup(func() { world.Check(t, credential.Close()) })
		return credential
	}
	credential := open(func(_ context.Context, audience string) (string, error) {
		world.Equal(t, audience, "https://api.anthropic.com")
		var minted struct {
			Token string `json:"identity_token"`
		}
		world.Ask(t, "POST", "/identity-tokens", "{}", &minted)
		return minted.Token, nil
	})
	_, err := credential.Token(context.Background())
	world.Check(t, err)
	for words, function := range map[string]source{
		"asleep":              func(context.Context, string) (string, error) { return "", errors.New("the server is asleep") },
		"panicked with a map": func(context.Context, string) (string, error) { panic(map[string]int{"secret": 1}) },
	} {
		credential := open(function)
		var status json.RawMessage
		for range 200 {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			_, err := credential.Token(ctx)
			cancel()
			status, _ = credential.Status()
			if err == nil || strings.Contains(string(status), words) {
				break
			}
		}
		if !strings.Contains(string(status), words) || strings.Contains(string(status), "secret") {
			t.Fatalf("%s", status)
		}
	}
}

func TestAProgramSuppliesIdentityTokensIfItIsAllowed(t *testing.T) {
	entries := world.New(t)
	configuration := federation(fmt.Sprintf(`{"source":"executable","command":["/bin/cat",%q]}`, os.Getenv("ANTHROPIC_IDENTITY_TOKEN_FILE")))
	source := "executable"
	open := func(allowed ...string) error {
		options := wif.Options{AllowLoopback: true, AllowExecutables: allowed, AllowSources: []string{source}}
		credential, err := wif.Open(configuration, options)
		world.Check(t, err)
		defer credential.Close()
		_, err = credential.Token(context.Background())
		return err
	}
	if err := open("/bin/echo"); !errors.Is(err, &wif.Error{Code: "denied-by-host"}) || len(entries("exchange")) != 0 {
		t.Fatal(err)
	}
	source = "aws"
	if err := open("/bin/cat"); !errors.Is(err, &wif.Error{Code: "denied-by-host"}) || len(entries("exchange")) != 0 {
		t.Fatal(err)
	}
	source = "executable"
	world.Check(t, open("/bin/cat"))
	world.Equal(t, len(entries("exchange")), 1)
}

// The test in Rust runs it beside a program in Rust that has an entry in the directory.
func TestADirectoryIsAStoreForProgramsOfAllLanguages(t *testing.T) {
	directory := os.Getenv("STORE")
	if directory == "" {
		t.Skip("no other program has a store")
	}
	var ids []string
	for range 2 {
		source := fmt.Sprintf(`{"source":"file","path":%q}`, os.Getenv("ANTHROPIC_IDENTITY_TOKEN_FILE"))
		credential, err := wif.Open(federation(source), wif.Options{AllowLoopback: true, StoreDirectory: directory})
		world.Check(t, err)
		token, err := credential.Token(context.Background())
		world.Check(t, err)
		ids = append(ids, token.ID)
		world.Check(t, credential.Close())
	}
	world.Equal(t, ids[0], os.Getenv("TOKEN_ID"))
	world.Equal(t, ids[1], ids[0])
}

func TestErrorsAreThoseOfTheContract(t *testing.T) {
	entries := world.New(t)
	var problem *wif.Error
	_, err := wif.Open(`{"federation":{}}`, wif.Options{})
	if !errors.As(err, &problem) || problem.Code != "configuration" || problem.Field != "federation.federation_rule_id" {
		t.Fatal(err)
	}
	if _, err = wif.Open("[]", wif.Options{}); !errors.As(err, &problem) || !strings.HasPrefix(strings.ToLower(problem.Message), "the configuration ") {
		t.Fatal(err)
	}
	source := fmt.Sprintf(`{"source":"file","path":%q}`, os.Getenv("ANTHROPIC_IDENTITY_TOKEN_FILE"))
	another := strings.Replace(federation(source), os.Getenv("ANTHROPIC_FEDERATION_RULE_ID"), "fdrl_01another", 1)
	credential, err := wif.Open(another, wif.Options{AllowLoopback: true})
	world.Check(t, err)
	defer credential.Close()
	_, err = credential.Token(context.Background())
	if !errors.As(err, &problem) || problem.Code != "refused" || problem.EndpointStatus != 401 {
		t.Fatal(err)
	}
	world.Equal(t, problem.RequestID, entries("exchange")[0].RequestID)
	if wait, known := problem.RetryIn(); !known || wait <= 0 {
		t.Fatal(wait)
	}
}

func TestTheLogGoesToSlogWithoutASecret(t *testing.T) {
	world.New(t)
	var lines bytes.Buffer
	credential := discover(t, wif.Options{Logger: slog.New(slog.NewJSONHandler(&lines, nil))})
	token, err := credential.Token(context.Background())
	world.Check(t, err)
	world.Check(t, credential.Close())
	if !strings.Contains(lines.String(), `"code":"exchange-succeeded"`) || strings.Contains(lines.String(), token.Reveal()) {
		t.Fatal(lines.String())
	}
}

// panicking is a handler that cannot.
type panicking struct{ slog.Handler }

func (panicking) Handle(context.Context, slog.Record) error { panic("as told") }

func TestALoggerThatPanicsHoldsNothingUp(t *testing.T) {
	world.New(t)
	credential := discover(t, wif.Options{Logger: slog.New(panicking{slog.NewTextHandler(io.Discard, nil)})})
	_, err := credential.Token(context.Background())
	world.Check(t, err)
	world.Check(t, credential.Close())
}

func TestACallersOwnCredentialComesOffAndBetasAreMerged(t *testing.T) {
	world.New(t)
	token, err := discover(t, wif.Options{}).Token(context.Background())
	world.Check(t, err)
	header := http.Header{"Anthropic-Beta": {"mine, files-api"}}
	text, err := os.ReadFile(os.Getenv("RULES"))
	world.Check(t, err)
	var rules struct {
		Credentials struct{ Names []string }
	}
	world.Check(t, json.Unmarshal(text, &rules))
	others := []string{"accept", "content-type", "anthropic-version", "x-request-id"}
	for _, name := range append(rules.Credentials.Names, others...) {
		header[name] = []string{"theirs"}
	}
	token.Apply(header)
	token.Apply(header)
	world.Equal(t, header.Get("authorization"), "Bearer "+token.Reveal())
	for _, name := range rules.Credentials.Names {
		if value, there := header[name]; there && value[0] == "theirs" {
			t.Fatalf("%s is still there", name)
		}
	}
	for _, name := range others {
		world.Equal(t, header[name][0], "theirs")
	}
	world.Equal(t, header.Get("anthropic-beta"), "mine,files-api,oauth-2025-04-20")
}

// The cases that every host runs. Their URLs are the API's: others are not sent at all, and trailers are Go's own affair.
func TestTheCasesOfRequestsHold(t *testing.T) {
	world.New(t)
	credential := discover(t, wif.Options{})
	folder := filepath.Join(filepath.Dir(os.Getenv("RULES")), "../tests/requests")
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	world.Check(t, err)
	ran := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		world.Check(t, err)
		var document struct {
			Cases []struct {
				Name    string
				Needs   []string
				Request struct {
					Method, URL string
					Fields      [][2]string
				}
				Sent *struct {
					Credential string
					Fields     map[string]*string
				}
			}
		}
		world.Check(t, json.Unmarshal(text, &document))
		for _, one := range document.Cases {
			lacks := false
			for _, need := range one.Needs {
				lacks = lacks || need == "trailers" || need == "url" || need == "bytes" || need == "user"
			}
			if one.Sent == nil || lacks || strings.HasPrefix(one.Request.URL, "{elsewhere}") {
				continue
			}
			ran++
			request, err := http.NewRequest(one.Request.Method, world.URL+"/v1/messages", nil)
			world.Check(t, err)
			for _, field := range one.Request.Fields {
				if strings.EqualFold(field[0], "host") {
					request.Host = field[1]
				}
				request.Header.Add(field[0], field[1])
			}
			var sent http.Header
			client := http.Client{Transport: credential.Transport(recording(func(request *http.Request) {
				sent = request.Header.Clone()
				// As net/http sends it.
				sent.Del("host")
				if request.Host != "" {
					sent.Set("host", request.Host)
				}
			}))}
			_, err = client.Do(request)
			world.Check(t, err)
			if strings.Contains(fmt.Sprint(sent), "caller-secret") {
				t.Fatalf("%s: the caller's credential is in %v", one.Name, sent)
			}
			ours := strings.HasPrefix(sent.Get("authorization"), "Bearer sk-ant-oat01-")
			if ours != (one.Sent.Credential == "ours") {
				t.Fatalf("%s: ours is there: %v", one.Name, ours)
			}
			for name, value := range one.Sent.Fields {
				found := strings.ReplaceAll(strings.Join(sent.Values(name), ","), ", ", ",")
				if value == nil && found != "" || value != nil && found != *value {
					t.Fatalf("%s: %s is %q", one.Name, name, found)
				}
			}
		}
	}
	if ran < 30 {
		t.Fatalf("only %d cases were run", ran)
	}
}

type recording func(*http.Request)

func (r recording) RoundTrip(request *http.Request) (*http.Response, error) {
	r(request)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: request}, nil
}

func BenchmarkCurrent(b *testing.B) {
	credential, err := wif.Discover(wif.Options{AllowLoopback: true})
	if err != nil {
		b.Fatal(err)
	}
	defer credential.Close()
	if _, err := credential.Token(context.Background()); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		credential.Current()
	}
}

func Example() {
	credential, err := wif.Discover(wif.Options{AllowLoopback: true})
	if err != nil {
		panic(err)
	}
	defer credential.Close()
	client := &http.Client{Transport: credential.Transport(nil)}
	request, _ := http.NewRequest("GET", world.URL+"/v1/models", nil)
	request.Header.Set("anthropic-version", "2023-06-01")
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	response.Body.Close()
	fmt.Println(response.StatusCode)
	// Output: 200
}
