package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wif/internal/contract"
)

func served(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestAnAnswerIsToldWithTheFieldsThatAreOfUse(t *testing.T) {
	server := served(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, field := range [][2]string{
			{"location", "/there"}, {"retry-after", "7"}, {"set-cookie", "a=b"}, {"request-id", "req_1"}, {"request-id", "req_2"},
			{"content-type", "text/plain"}, {"date", "Thu, 01 Jan 1970 00:00:00 GMT"}, {"x-other", "a"},
		} {
			w.Header().Add(field[0], field[1])
		}
		w.WriteHeader(418)
		io.WriteString(w, "gr\xfc\xdfe, \u00fc")
	})
	got := answer(t, send(newSender(t, Options{}, places{}), post(server.URL)))
	expected := `{418 [{request-id req_1} {retry-after 7} {date Thu, 01 Jan 1970 00:00:00 GMT} {content-type text/plain} {location /there}] gr` +
		"\ufffde, \u00fc}"
	if fmt.Sprint(got) != expected {
		t.Fatalf("%v", got)
	}
}

func TestAFieldThatIsNoTextIsNotTold(t *testing.T) {
	at, _ := rawServer(t, func(connection net.Conn, _ string) {
		io.WriteString(connection, "HTTP/1.1 200 OK\r\nrequest-id: \xfc\r\ndate: now\r\ncontent-length: 0\r\n\r\n")
	})
	got := answer(t, send(newSender(t, Options{}, places{}), post("http://"+at)))
	if fmt.Sprint(got.Headers) != "[{date now}]" {
		t.Fatalf("%v", got)
	}
}

func TestAnAnswerThatRedirectsIsAnAnswer(t *testing.T) {
	var elsewhere atomic.Int32
	other := served(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := served(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		for _, request := range []*contract.HTTPRequest{post(server.URL), get(server.URL)} {
			got := answer(t, send(newSender(t, Options{}, places{}), request))
			if got.Status != status || !strings.Contains(fmt.Sprint(got.Headers), "{location "+other.URL+"}") {
				t.Fatalf("%v", got)
			}
		}
	}
	if elsewhere.Load() != 0 {
		t.Fatal("it was followed")
	}
}

func TestARequestIsSentAsItIs(t *testing.T) {
	heads := make(chan string, 1)
	at, _ := rawServer(t, func(connection net.Conn, head string) {
		heads <- head
		io.WriteString(connection, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	})
	sender := newSender(t, Options{}, places{})
	send(sender, post("http://"+at+"/v1/oauth/token?a=%20b c#d"))
	expected := "POST /v1/oauth/token?a=%20b%20c HTTP/1.1\r\nHost: " + at +
		"\r\nContent-Length: 22\r\nAccept: */*\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"assertion\":\"canary\"}"
	if head := <-heads; head != expected {
		t.Fatalf("%q", head)
	}
	request := get("http://" + at)
	request.Headers = []contract.Header{
		{Name: "user-agent", Value: "wif/1"}, {Name: "accept", Value: "a"}, {Name: "accept", Value: "b"}, {Name: "host", Value: "h.example"},
	}
	send(sender, request)
	expected = "GET / HTTP/1.1\r\nHost: h.example\r\nUser-Agent: wif/1\r\nAccept: a\r\nAccept: b\r\nConnection: close\r\n\r\n"
	if head := <-heads; head != expected {
		t.Fatalf("%q", head)
	}
}

func TestARequestWhoseConnectionEndsIsNotSentAgain(t *testing.T) {
	for what, act := range map[string]func(net.Conn, string){
		"ended before the answer": func(connection net.Conn, _ string) { connection.Close() },
		"reset": func(connection net.Conn, _ string) {
			connection.(*net.TCPConn).SetLinger(0)
			connection.Close()
		},
		"before the answer was complete": func(connection net.Conn, _ string) {
			io.WriteString(connection, "HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{")
			connection.Close()
		},
	} {
		at, requests := rawServer(t, act)
		once := post("http://" + at)
		// net/http would take this one for replayable.
		again := post("http://" + at)
		again.Headers = append(again.Headers, contract.Header{Name: "idempotency-key", Value: "a"})
		for _, request := range []*contract.HTTPRequest{once, again, get("http://" + at)} {
			requests.Store(0)
			expect(t, send(newSender(t, Options{}, places{}), request), "maybe-sent", what)
			if came := requests.Load(); came != 1 {
				t.Fatalf("%s: %d requests", what, came)
			}
		}
	}
}

func TestAConnectionServesOneRequestSoNoneIsStale(t *testing.T) {
	var connections atomic.Int32
	// It closes each connection that it could keep.
	at, requests := rawServer(t, func(connection net.Conn, _ string) {
		connections.Add(1)
		io.WriteString(connection, "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n")
		connection.Close()
	})
	sender := newSender(t, Options{}, places{})
	for range 5 {
		answer(t, send(sender, post("http://"+at)))
	}
	if requests.Load() != 5 || connections.Load() != 5 {
		t.Fatalf("%d requests, %d connections", requests.Load(), connections.Load())
	}
	seen := make(chan string, 2)
	server := served(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.RemoteAddr })
	answer(t, send(sender, post(server.URL)))
	answer(t, send(sender, post(server.URL)))
	if <-seen == <-seen {
		t.Fatal("a connection was kept")
	}
}

func TestWhereNobodyListensNothingIsSent(t *testing.T) {
	expect(t, send(newSender(t, Options{}, places{}), post("http://"+nobody(t)+"/?canary")), "unsent", "refused")
	sender := newSender(t, Options{}, places{}).unknown("nowhere.example")
	expect(t, send(sender, post("https://nowhere.example/?canary")), "unsent", "lookup nowhere.example: no such host")
	expect(t, send(sender.named("empty.example"), post("https://empty.example")), "unsent", "resolves to no address")
}

func TestAServerThatCannotBeVerifiedIsToldNothing(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	expired := func(certificate *x509.Certificate) { certificate.NotAfter = time.Now().Add(-time.Minute) }
	old := ours.of("127.0.0.1")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for what, server := range map[string]*tls.Config{
		"unknown authority": theirs.of("127.0.0.1"),
		"not":               ours.of("api.anthropic.com"),
		"expired":           ours.of("127.0.0.1", expired),
		"version":           old,
	} {
		at, requests, refused := secured(t, server)
		sender := newSender(t, Options{RootCertificates: []string{ours.pem()}}, places{})
		expect(t, send(sender, post("https://"+at+"/?canary")), "unsent", what)
		if <-refused; requests.Load() != 0 {
			t.Fatal("it was told something")
		}
	}
}

func TestAnExtraRootIsTrustedBesideThePlatforms(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	both := newSender(t, Options{RootCertificates: []string{ours.pem(), theirs.pem()}}, places{})
	for _, authority := range []*authority{ours, theirs} {
		at, requests, _ := secured(t, authority.of("127.0.0.1"))
		if got := answer(t, send(both, post("https://"+at))); got.Body != "hi" || requests.Load() != 1 {
			t.Fatalf("%v", got)
		}
	}
	for _, text := range []string{"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := New(Options{RootCertificates: []string{ours.pem(), text}}, places{}); err == nil || !strings.HasPrefix(err.Error(), "RootCertificates: ") {
			t.Fatalf("%q: %v", text, err)
		}
	}
}

func TestAMachineWithoutRootsSpeaksPlainHTTPToItself(t *testing.T) {
	server := served(t, func(http.ResponseWriter, *http.Request) {})
	sender := newSender(t, Options{}, places{})
	sender.trust = trusting(func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }, nil)
	answer(t, send(sender, post(server.URL)))
	expect(t, send(sender, post("https://"+nobody(t))), "unsent", "this machine has no root certificates")
	sender.trust = trusting(func() (*x509.CertPool, error) { return nil, io.ErrUnexpectedEOF }, nil)
	answer(t, send(sender, post(server.URL)))
	expect(t, send(sender, post("https://"+nobody(t))), "unsent", "root certificates cannot be read")
}

// One moment without descriptors is no reason to fail for ever, and a file system that does not answer none to wait for ever.
func TestRootsThatCouldNotBeReadAreReadOnceMoreAndNotWaitedForWithoutEnd(t *testing.T) {
	authority := newAuthority(t)
	at, _, _ := secured(t, authority.of("127.0.0.1"))
	reads := 0
	sender := newSender(t, Options{}, places{})
	sender.trust = trusting(func() (*x509.CertPool, error) {
		reads++
		if reads == 1 {
			return nil, io.ErrUnexpectedEOF
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(authority.pem()))
		return pool, nil
	}, nil)
	expect(t, send(sender, post("https://"+at)), "unsent", "root certificates cannot be read")
	for range 2 {
		answer(t, send(sender, post("https://"+at)))
	}
	if reads != 2 {
		t.Fatal(reads)
	}
	hung := make(chan struct{})
	defer close(hung)
	sender.trust = func() (*x509.CertPool, error) {
		<-hung
		return nil, nil
	}
	request := post("https://" + at)
	request.TimeoutMs = 100
	if outcome := send(sender, request); outcome.Tag != "unsent" {
		t.Fatal(outcome)
	}
}

// A variable that changed may have taken the leave back.
func TestARequestWhoseLeaveIsTakenBackIsDenied(t *testing.T) {
	sender := newSender(t, Options{}, places{refuses: errors.New("the source sends no such request")})
	request := post("https://" + nobody(t))
	request.Purpose = contract.Purpose{Name: "source", Source: "kubernetes"}
	expect(t, send(sender, request), "denied", "the source sends no such request")
}

func TestAnAnswerHasNoMoreBytesThanWereAsked(t *testing.T) {
	var length int
	server := served(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, strings.Repeat("a", length)) })
	sender := newSender(t, Options{}, places{})
	most := contract.Authority.Limits.ResponseBytes
	for _, limits := range []struct{ asked, taken int }{{1_000, 1_000}, {0, 0}, {most, most}, {most + 1, most}, {math.MaxInt32, most}} {
		request := post(server.URL)
		request.MaxResponseBytes = uint32(limits.asked)
		length = limits.taken
		if got := answer(t, send(sender, request)); len(got.Body) != length {
			t.Fatalf("%d bytes of %d", len(got.Body), length)
		}
		length++
		expect(t, send(sender, request), "maybe-sent", fmt.Sprintf("longer than %d bytes", limits.taken))
	}
}

func TestAnAnswerIsNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	writer.Write(make([]byte, 1<<20))
	writer.Close()
	server := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("accept-encoding") != "" {
			t.Error("it was asked for")
		}
		w.Header().Set("content-encoding", "gzip")
		w.Write(packed.Bytes())
	})
	request := post(server.URL)
	request.MaxResponseBytes = uint32(packed.Len())
	if got := answer(t, send(newSender(t, Options{}, places{}), request)); len(got.Body) > 3*packed.Len() {
		t.Fatalf("%d bytes", len(got.Body))
	}
}

func TestWhatStandsBeforeAnAnswerHasALimit(t *testing.T) {
	for what, endless := range map[string]string{
		"interim answers": "HTTP/1.1 103 Early Hints\r\nlink: </canary>\r\n\r\n",
		"a header":        "a: canary\r\n",
		"chunks":          "1;canary=" + strings.Repeat("a", 1_000) + "\r\na\r\n",
	} {
		at, requests := rawServer(t, func(connection net.Conn, _ string) {
			switch what {
			case "a header":
				io.WriteString(connection, "HTTP/1.1 200 OK\r\n")
			case "chunks":
				io.WriteString(connection, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
			}
			for {
				if _, err := io.WriteString(connection, endless); err != nil {
					return
				}
			}
		})
		request := post("http://" + at)
		request.MaxResponseBytes = uint32(contract.Authority.Limits.ResponseBytes)
		expect(t, send(newSender(t, Options{}, places{}), request), "maybe-sent")
		if requests.Load() != 1 {
			t.Fatal(what)
		}
	}
}

func TestAnInterimAnswerIsNoAnswer(t *testing.T) {
	at, _ := rawServer(t, func(connection net.Conn, _ string) {
		io.WriteString(connection, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\na")
	})
	if got := answer(t, send(newSender(t, Options{}, places{}), post("http://"+at))); got.Status != 201 || got.Body != "a" {
		t.Fatalf("%v", got)
	}
	at, _ = rawServer(t, func(connection net.Conn, _ string) {
		io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: a\r\n\r\nanother")
	})
	if got := answer(t, send(newSender(t, Options{}, places{}), post("http://"+at))); got.Status != 101 || got.Body != "" {
		t.Fatalf("%v", got)
	}
}

func TestARequestHasItsTimeAndNoMore(t *testing.T) {
	silent, _ := rawServer(t, func(connection net.Conn, _ string) {})
	halfway, _ := rawServer(t, func(connection net.Conn, _ string) {
		io.WriteString(connection, "HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{")
	})
	deaf := listen(t, func(connection net.Conn) { io.Copy(io.Discard, connection) })
	for _, its := range []bool{true, false} {
		for at, tag := range map[string]string{"http://" + silent: "maybe-sent", "http://" + halfway: "maybe-sent", "https://" + deaf: "unsent"} {
			request, options := post(at), Options{}
			if its {
				request.TimeoutMs = 30
			} else {
				options.Timeout = 30 * time.Millisecond
			}
			began := time.Now()
			expect(t, send(newSender(t, options, places{}), request), tag, "no complete answer within 30 ms")
			if took := time.Since(began); took < 30*time.Millisecond || took > 5*time.Second {
				t.Fatal(took)
			}
		}
	}
	request := post("http://" + silent)
	request.TimeoutMs = 0
	if outcome := send(newSender(t, Options{}, places{}), request); outcome.Tag != "maybe-sent" && outcome.Tag != "unsent" {
		t.Fatal(outcome)
	}
}

func TestWhoGivesARequestUpIsToldWhetherItMayHaveLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	silent, requests := rawServer(t, func(net.Conn, string) { cancel() })
	sender := newSender(t, Options{}, places{})
	expect(t, sender.Send(ctx, post("http://"+silent)), "maybe-sent", "given up")
	expect(t, sender.Send(ctx, post("http://"+silent)), "unsent", "given up")
	if requests.Load() != 1 {
		t.Fatal(requests.Load())
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	deaf := listen(t, func(connection net.Conn) { io.Copy(io.Discard, connection) })
	expect(t, sender.Send(ctx, post("https://"+deaf)), "unsent", "given up")
}

// deafPeer takes what is written even after it was closed.
type deafPeer struct{ net.Conn }

func (deafPeer) Write(bytes []byte) (int, error) { return len(bytes), nil }
func (deafPeer) Read([]byte) (int, error)        { return 0, net.ErrClosed }
func (deafPeer) Close() error                    { return nil }

func TestNoByteLeavesAfterTheEnd(t *testing.T) {
	wire := newWire(deafPeer{}, 10)
	if sent, broke := wire.end(); sent || broke != nil {
		t.Fatal(sent, broke)
	}
	if _, err := wire.Write([]byte("a")); err == nil || wire.sent {
		t.Fatal("it left")
	}
	wire = newWire(deafPeer{}, 10)
	wire.Write([]byte("a"))
	// Closing it is our own doing, and no reason.
	wire.Read(make([]byte, 1))
	if sent, broke := wire.end(); !sent || broke != nil {
		t.Fatal(sent, broke)
	}
}

func TestAWireEndsWhereItsLimitDoes(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	wire := newWire(ours, 10)
	go theirs.Write([]byte("0123456789a"))
	buffer := make([]byte, 10)
	if count, err := wire.Read(buffer); count != 10 || err != nil {
		t.Fatal(count, err)
	}
	if count, err := wire.Read(buffer); count != 0 || err == nil || !strings.Contains(err.Error(), "longer than 10 bytes") {
		t.Fatal(count, err)
	}
}

func TestNothingOfAnAnswerIsInWhatIsSaidOfIt(t *testing.T) {
	for _, text := range []string{
		"canary\r\n\r\n",
		"HTTP/1.1 canary OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncanary\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncontent-length: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: canary\r\n\r\n",
		"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ncanary\r\n",
	} {
		at, _ := rawServer(t, func(connection net.Conn, _ string) { io.WriteString(connection, text) })
		expect(t, send(newSender(t, Options{}, places{}), post("http://"+at+"/?canary")), "maybe-sent", "cannot be read as HTTP")
	}
}

func TestWhatIsSaidIsShort(t *testing.T) {
	sender := newSender(t, Options{}, places{})
	expect(t, send(sender, post("https://"+strings.Repeat("a", 300)+".example")), "unsent", "aaa")
	t.Setenv("HTTPS_PROXY", "proxy.example")
	sender = newSender(t, Options{}, places{})
	expect(t, send(sender, post("https://"+strings.Repeat("a", 300)+".example")), "unsent", "aaa", "(HTTPS_PROXY is set and not used: see wif.Options.Proxy)")
	if said := words("a\nb\x1b" + strings.Repeat("\u00fc", 300)); !strings.HasPrefix(said, "a b \u00fc") || len([]rune(said)) != 200 {
		t.Fatalf("%q", said)
	}
}

func TestARequestThatIsNoneIsNotSent(t *testing.T) {
	server := served(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	sender := newSender(t, Options{}, places{})
	for rule, change := range map[string]func(*contract.HTTPRequest){
		"too large": func(r *contract.HTTPRequest) {
			r.Body = strings.Repeat("a", contract.Authority.Limits.RequestBytes+1)
		},
		"the request is too large": func(r *contract.HTTPRequest) {
			r.Headers = make([]contract.Header, contract.Authority.Limits.RequestHeaders+1)
		},
		"the URL cannot be read":       func(r *contract.HTTPRequest) { r.URL = "http://canary:canary%" },
		"must start with http://":      func(r *contract.HTTPRequest) { r.URL = "ftp://127.0.0.1:21/canary" },
		"for this machine only":        func(r *contract.HTTPRequest) { r.URL = "http://api.example/canary" },
		"only, not for 10.0.0.1":       func(r *contract.HTTPRequest) { r.URL = "http://10.0.0.1/canary" },
		"not for 169.254.169.254":      func(r *contract.HTTPRequest) { r.URL = "http://169.254.169.254/canary" },
		"not for metadata.google.inte": func(r *contract.HTTPRequest) { r.URL = "http://metadata.google.internal/canary" },
		"and its metadata service": func(r *contract.HTTPRequest) {
			r.Purpose = contract.Purpose{Name: "source", Source: "vault"}
			r.URL = "http://8.8.8.8/canary"
		},
	} {
		request := post(server.URL)
		change(request)
		expect(t, send(sender, request), "denied", rule)
	}
	for _, change := range []func(*contract.HTTPRequest){
		func(r *contract.HTTPRequest) { r.Method = "PO ST" },
		func(r *contract.HTTPRequest) { r.Headers[0].Name = "content type" },
		func(r *contract.HTTPRequest) { r.Headers[0].Value = "canary\r\nx: y" },
	} {
		request := post(server.URL)
		change(request)
		expect(t, send(sender, request), "unsent")
	}
}
