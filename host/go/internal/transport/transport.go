// Package transport sends one request to a token endpoint, or of a source of identity tokens, and tells what came of it. Whether the request
// may be sent at all was checked before: here is decided where its connection may lead.
package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"wif/internal/contract"
)

const (
	// longestRequest is how long a request may take where the options do not say.
	longestRequest = time.Minute
	// besideTheBody is how much may come beside the body: the answer's header, what stands between the chunks of a body, interim answers.
	besideTheBody = 128 << 10
	// longestWords is how many characters of a failure are told. The component cuts what is longer.
	longestWords = 200
)

// passedOn is what the component learns of an answer's header. Other fields are of no use to it.
var passedOn = [...]string{"request-id", "retry-after", "date", "content-type", "location"}

// Places says what the policy lets the dialer do.
type Places interface {
	// MayBePrivate says whether the name in this origin may lead to private addresses (wif.Options.AllowPrivateOrigins). The origin is
	// a scheme, a name and a port that is not the scheme's own, in lower case. It is not asked for a source, for localhost and for an
	// address in place of a name.
	MayBePrivate(origin string) bool
	// CAFile is the file of certificates that the server's must lead to, in place of the platform's. It is empty where the platform's
	// count. It is asked for a source only. Its error is the rule that refuses.
	CAFile(request *contract.HTTPRequest) (string, error)
}

// Options are for all requests of a Sender.
type Options struct {
	// Proxy is a URL (http or https, perhaps with a user and a password), or "environment" for what HTTPS_PROXY and NO_PROXY say.
	Proxy string
	// RootCertificates are PEM texts to trust beside the platform's own.
	RootCertificates []string
	// Timeout is the longest that a request may take; a minute where it is zero.
	Timeout time.Duration
}

// Sender sends requests. All methods may be called by any goroutine.
type Sender struct {
	places  Places
	proxy   *proxy
	unused  *proxy
	trust   func() (*x509.CertPool, error)
	timeout time.Duration
	lookup  func(ctx context.Context, name string) ([]netip.Addr, error)
}

// New makes a sender. Its error names the option, and never quotes a proxy's password.
func New(options Options, places Places) (*Sender, error) {
	proxy, unused, err := proxyOf(options.Proxy)
	if err != nil {
		return nil, fmt.Errorf("Proxy: %w", err)
	}
	var roots []*x509.Certificate
	for _, text := range options.RootCertificates {
		more, err := certificates([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("RootCertificates: %w", err)
		}
		roots = append(roots, more...)
	}
	timeout := options.Timeout
	if timeout <= 0 {
		timeout = longestRequest
	}
	lookup := func(ctx context.Context, name string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	return &Sender{places, proxy, unused, trusting(x509.SystemCertPool, roots), timeout, lookup}, nil
}

// Send sends a request once, and tells what came of it. A connection serves one request, so none is stale, and no request is sent twice.
func (s *Sender) Send(ctx context.Context, request *contract.HTTPRequest) contract.Outcome {
	way, err := s.way(request)
	if err != nil {
		return contract.Denied(words(err.Error()))
	}
	within := min(max(time.Duration(request.TimeoutMs)*time.Millisecond, time.Millisecond), s.timeout)
	late := fmt.Errorf("no complete answer within %d ms", within.Milliseconds())
	ctx, cancel := context.WithTimeoutCause(ctx, within, late)
	defer cancel()
	connection, err := s.connect(ctx, way)
	if err != nil {
		if isOver(ctx) {
			err = givenUp(ctx, late)
		}
		return s.unsent(way, err)
	}
	wire := newWire(connection, longestBody(request)+besideTheBody)
	response, err := exchange(ctx, wire, way, request)
	sent, broke := wire.end()
	switch {
	case err == nil:
		return contract.Answered(response)
	case isOver(ctx):
		err = givenUp(ctx, late)
	case errors.As(err, new(tooLong)):
	case broke != nil:
		err = broke
	case sent:
		// What net/http says of it quotes the answer.
		err = errors.New("the answer cannot be read as HTTP")
	}
	if !sent {
		return s.unsent(way, err)
	}
	return contract.MaybeSent(words(err.Error()))
}

// isOver says whether a request has no time left. What waits may know a moment before the context does.
func isOver(ctx context.Context) bool {
	if until, bounded := ctx.Deadline(); bounded && time.Until(until) <= 0 {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

// givenUp is why a request has no time left.
func givenUp(ctx context.Context, late error) error {
	if context.Cause(ctx) == late {
		return late
	}
	return errors.New("the request was given up")
}

// unsent says why no byte left. Behind a proxy nothing comes out without it, and nothing else says so.
func (s *Sender) unsent(way *way, why error) contract.Outcome {
	if s.unused == nil || !s.unused.leads(way) || errors.As(why, new(refusal)) {
		return contract.Unsent(words(why.Error()))
	}
	hint := fmt.Sprintf(" (%s is set and not used: see wif.Options.Proxy)", s.unused.variable)
	return contract.Unsent(cut(words(why.Error()), longestWords-len(hint)) + hint)
}

// way is what is known of a request before it is sent.
type way struct {
	url    *url.URL
	port   string
	reach  reach
	caFile string
}

// address is where the way leads, by name.
func (w *way) address() string { return net.JoinHostPort(w.url.Hostname(), w.port) }

func (w *way) encrypted() bool { return w.url.Scheme == "https" }

// way checks what concerns the connection. Its error is the rule that refuses.
func (s *Sender) way(request *contract.HTTPRequest) (*way, error) {
	limits := &contract.Authority.Limits
	if len(request.Body) > limits.RequestBytes || len(request.Headers) > limits.RequestHeaders {
		return nil, errors.New("the request is too large")
	}
	to, err := url.Parse(request.URL)
	if err != nil || to.Hostname() == "" {
		// The error quotes the URL.
		return nil, errors.New("the URL cannot be read")
	}
	to.RawQuery, to.Fragment, to.RawFragment = visible(to.RawQuery), "", ""
	way := &way{url: to, port: portOf(to)}
	if way.port == "" {
		return nil, errors.New("the URL must start with http:// or https://")
	}
	of := request.Purpose.Source != "" || request.Purpose.Name == "source"
	if way.reach, err = s.reachOf(to, of); err != nil {
		return nil, err
	}
	if of && way.encrypted() {
		if way.caFile, err = s.places.CAFile(request); err != nil {
			return nil, err
		}
	}
	return way, nil
}

// portOf is the port that a URL leads to; empty where its scheme is another one.
func portOf(to *url.URL) string {
	if port := to.Port(); port != "" && (to.Scheme == "http" || to.Scheme == "https") {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[to.Scheme]
}

// originOf is the origin of a URL without the port that is the scheme's own.
func originOf(to *url.URL) string {
	host := strings.ToLower(to.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := to.Port(); port != "" && port != portOf(&url.URL{Scheme: to.Scheme}) {
		host += ":" + port
	}
	return to.Scheme + "://" + host
}

// visible is a query as it may stand in a request.
func visible(query string) string {
	var text strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&text, "%%%02X", c)
		} else {
			text.WriteByte(c)
		}
	}
	return text.String()
}

// exchange sends the request on this connection and reads the answer. It never makes another connection.
func exchange(ctx context.Context, wire *wire, way *way, request *contract.HTTPRequest) (answer contract.Response, err error) {
	message, err := message(ctx, way, request)
	if err != nil {
		return answer, err
	}
	once := make(chan net.Conn, 1)
	once <- wire
	give := func(context.Context, string, string) (net.Conn, error) {
		select {
		case connection := <-once:
			return connection, nil
		default:
			return nil, errors.New("a request is sent once")
		}
	}
	client := &http.Transport{
		DialContext:            give,
		DialTLSContext:         give,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: int64(longestBody(request)+besideTheBody) + 1,
	}
	response, err := client.RoundTrip(message)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	var body []byte
	// What follows that is another protocol.
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, err = read(response.Body, longestBody(request))
	}
	return contract.Response{
		Status:  response.StatusCode,
		Headers: toPassOn(response.Header),
		Body:    strings.ToValidUTF8(string(body), "\ufffd"),
	}, err
}

func longestBody(request *contract.HTTPRequest) int {
	return int(min(int64(request.MaxResponseBytes), int64(contract.Authority.Limits.ResponseBytes)))
}

// tooLong says that an answer has more bytes than these.
type tooLong int

func (t tooLong) Error() string {
	return "the answer is longer than " + strconv.Itoa(int(t)) + " bytes"
}

func read(body io.Reader, longest int) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(body, int64(longest)+1))
	if err == nil && len(text) > longest {
		return nil, tooLong(longest)
	}
	return text, err
}

// message is the request as it is sent. It can be read once only.
func message(ctx context.Context, way *way, request *contract.HTTPRequest) (*http.Request, error) {
	body := io.Reader(http.NoBody)
	if request.Body != "" {
		body = strings.NewReader(request.Body)
	}
	message, err := http.NewRequestWithContext(ctx, request.Method, way.url.String(), body)
	if err != nil {
		// The error may quote the URL.
		return nil, errors.New("the request is no HTTP request")
	}
	message.GetBody = nil
	for _, header := range request.Headers {
		if header.Name == "host" {
			message.Host = header.Value
		}
		message.Header.Add(header.Name, header.Value)
	}
	if !has(message.Header, "Accept") {
		message.Header.Set("Accept", "*/*")
	}
	if !has(message.Header, "User-Agent") {
		// An empty one keeps net/http from adding its own.
		message.Header.Set("User-Agent", "")
	}
	return message, nil
}

func has(header http.Header, name string) bool {
	_, there := header[name]
	return there
}

// toPassOn has the fields that the component learns, where they are text.
func toPassOn(header http.Header) []contract.Header {
	fields := []contract.Header{}
	for _, name := range passedOn {
		if values := header.Values(name); len(values) > 0 && isText(values[0]) {
			fields = append(fields, contract.Header{Name: name, Value: values[0]})
		}
	}
	return fields
}

func isText(value string) bool {
	for i := range len(value) {
		if c := value[i]; c != '\t' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// words are for people: cut, and on one line.
func words(text string) string { return cut(contract.Shown(text), longestWords) }

func cut(text string, longest int) string {
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest])
	}
	return text
}
