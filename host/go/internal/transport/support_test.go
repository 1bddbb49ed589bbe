package transport

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wif/internal/contract"
)

// The variables of the machine that runs the tests say nothing of them.
func TestMain(m *testing.M) {
	for _, name := range []string{"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// places is a policy.
type places struct {
	private map[string]bool
	caFile  string
	refuses error
}

func (p places) MayBePrivate(origin string) bool              { return p.private[origin] }
func (p places) CAFile(*contract.HTTPRequest) (string, error) { return p.caFile, p.refuses }

func newSender(t *testing.T, options Options, places places) *Sender {
	t.Helper()
	sender, err := New(options, places)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// named makes a name lead to addresses.
func (s *Sender) named(name string, addresses ...string) *Sender {
	before := s.lookup
	s.lookup = func(ctx context.Context, asked string) ([]netip.Addr, error) {
		if asked != name {
			return before(ctx, asked)
		}
		var found []netip.Addr
		for _, address := range addresses {
			found = append(found, netip.MustParseAddr(address))
		}
		return found, nil
	}
	return s
}

// unknown makes a name one that nobody knows.
func (s *Sender) unknown(name string) *Sender {
	before := s.lookup
	s.lookup = func(ctx context.Context, asked string) ([]netip.Addr, error) {
		if asked != name {
			return before(ctx, asked)
		}
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return s
}

func post(url string) *contract.HTTPRequest {
	return &contract.HTTPRequest{
		Purpose:          contract.Purpose{Name: "exchange"},
		Method:           "POST",
		URL:              url,
		Headers:          []contract.Header{{Name: "content-type", Value: "application/json"}},
		Body:             `{"assertion":"canary"}`,
		TimeoutMs:        10_000,
		MaxResponseBytes: 1_000,
	}
}

func get(url string) *contract.HTTPRequest {
	request := post(url)
	request.Purpose = contract.Purpose{Name: "source", Source: "google"}
	request.Method, request.Headers, request.Body = "GET", nil, ""
	return request
}

func send(s *Sender, request *contract.HTTPRequest) contract.Outcome {
	return s.Send(context.Background(), request)
}

func answer(t *testing.T, outcome contract.Outcome) contract.Response {
	t.Helper()
	response, is := outcome.Payload.(contract.Response)
	if !is {
		t.Fatalf("%s: %v", outcome.Tag, outcome.Payload)
	}
	return response
}

// expect is for an outcome that says why there is no answer. Nothing that it says is secret.
func expect(t *testing.T, outcome contract.Outcome, tag string, says ...string) {
	t.Helper()
	why, _ := outcome.Payload.(string)
	if outcome.Tag != tag || strings.Contains(why, "canary") || len([]rune(why)) > longestWords {
		t.Fatalf("%s: %s", outcome.Tag, why)
	}
	for _, words := range says {
		if !strings.Contains(why, words) {
			t.Fatalf("%s: %q does not say %q", tag, why, words)
		}
	}
}

// rawServer does as it likes with a connection, after it has read a request. It gives its address and how many requests came.
func rawServer(t *testing.T, act func(connection net.Conn, head string)) (address string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	return listen(t, func(connection net.Conn) {
		reader := bufio.NewReader(connection)
		for {
			var head strings.Builder
			request, err := http.ReadRequest(bufio.NewReader(io.TeeReader(reader, &head)))
			if err != nil {
				return
			}
			io.Copy(io.Discard, request.Body)
			requests.Add(1)
			act(connection, head.String())
		}
	}), requests
}

// listen gives the address where each connection is served, and then closed.
func listen(t *testing.T, serve func(connection net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				serve(connection)
			}()
		}
	}()
	return listener.Addr().String()
}

// nobody is an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return listener.Addr().String()
}

// authority signs certificates.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, certificate, key}
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}))
}

// of is a server's configuration with a certificate for this name or address.
func (a *authority) of(name string, change ...func(*x509.Certificate)) *tls.Config {
	a.t.Helper()
	of := &x509.Certificate{
		SerialNumber: big.NewInt(2), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if address := net.ParseIP(name); address != nil {
		of.IPAddresses = []net.IP{address}
	} else {
		of.DNSNames = []string{name}
	}
	for _, change := range change {
		change(of)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, of, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// secured is a server behind TLS. It gives its address, how many requests came, and how the handshakes that failed did.
func secured(t *testing.T, config *tls.Config) (address string, requests *atomic.Int32, refused chan error) {
	t.Helper()
	requests, refused = new(atomic.Int32), make(chan error, 16)
	return listen(t, func(connection net.Conn) {
		encrypted := tls.Server(connection, config)
		if err := encrypted.Handshake(); err != nil {
			refused <- err
			return
		}
		request, err := http.ReadRequest(bufio.NewReader(encrypted))
		if err != nil {
			refused <- errors.New("no request")
			return
		}
		io.Copy(io.Discard, request.Body)
		requests.Add(1)
		io.WriteString(encrypted, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
		encrypted.Close()
	}), requests, refused
}

// port is what follows the last colon.
func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }
