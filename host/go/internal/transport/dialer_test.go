package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

var errNobody = errors.New("nobody is there")

// closing counts that it was closed.
type closing struct {
	net.Conn
	closed *atomic.Int32
}

func (c closing) Close() error {
	c.closed.Add(1)
	return nil
}

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestTheFirstAddressThatAnswersIsTaken(t *testing.T) {
	server, requests := rawServer(t, func(connection net.Conn, _ string) {
		connection.Write([]byte("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
	})
	for _, found := range [][]string{{"127.0.0.2", "127.0.0.1"}, {"::1", "127.0.0.1"}, {"::1", "127.0.0.2", "::ffff:127.0.0.1"}} {
		requests.Store(0)
		sender := newSender(t, Options{}, places{}).named("localhost", found...)
		answer(t, send(sender, post("http://localhost:"+port(server))))
		if requests.Load() != 1 {
			t.Fatal(requests.Load())
		}
	}
	sender := newSender(t, Options{}, places{}).named("localhost", "127.0.0.2", "::1")
	expect(t, send(sender, post("http://localhost:"+port(server))), "unsent", "127.0.0.2")
}

func TestAFamilyThatIsSilentIsPassedBy(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var closed, slow atomic.Int32
	ended := make(chan struct{})
	connect := func(ctx context.Context, address netip.Addr) (net.Conn, error) {
		if address.Is4() {
			return closing{nil, &closed}, nil
		}
		<-ctx.Done()
		defer close(ended)
		// It is there after all, and too late.
		return closing{nil, &slow}, nil
	}
	began := time.Now()
	connection, err := connectAny(ctx, addresses("fd00::1", "10.0.0.1"), connect)
	if took := time.Since(began); err != nil || took < headStart || took > 5*time.Second {
		t.Fatal(err, took)
	}
	<-ended
	for slow.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if closed.Load() != 0 {
		t.Fatal("the one that is used was closed")
	}
	connection.Close()
}

func TestEachAddressHasAShareOfTheTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 80*time.Millisecond)
	defer cancel()
	asked := 0
	connect := func(ctx context.Context, _ netip.Addr) (net.Conn, error) {
		if asked++; asked == 4 && ctx.Err() == nil {
			return closing{}, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := connectAny(ctx, addresses("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"), connect); err != nil || asked != 4 {
		t.Fatal(err, asked)
	}
	connect = func(context.Context, netip.Addr) (net.Conn, error) { return nil, errNobody }
	if _, err := connectAny(ctx, addresses("10.0.0.1", "fd00::1"), connect); err != errNobody {
		t.Fatal(err)
	}
}

func TestAConnectionThatTakesTooLongIsNotMade(t *testing.T) {
	before := longestConnect
	longestConnect = 30 * time.Millisecond
	defer func() { longestConnect = before }()
	deaf := listen(t, func(connection net.Conn) { connection.Read(make([]byte, 1)); time.Sleep(time.Second) })
	expect(t, send(newSender(t, Options{}, places{}), post("https://"+deaf)), "unsent", "no connection within 30ms")
}

func TestASourceWithCertificatesOfItsOwnTrustsTheseAndNoOthers(t *testing.T) {
	ours, another := newAuthority(t), newAuthority(t)
	at, requests, _ := secured(t, ours.of("127.0.0.1"))
	file := filepath.Join(t.TempDir(), "ca.crt")
	// No proxy leads there.
	options := Options{Proxy: "http://proxy.example:3128", RootCertificates: []string{ours.pem()}}
	sender := newSender(t, options, places{caFile: file}).unknown("proxy.example")
	request := get("https://" + at + "/?canary")
	expect(t, send(sender, request), "unsent", "the certificates in "+file+" cannot be used")
	for content, says := range map[string]string{"": "there is no certificate in it", another.pem(): "unknown authority"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, send(sender, request), "unsent", says)
	}
	if err := os.WriteFile(file, []byte(ours.pem()), 0o600); err != nil {
		t.Fatal(err)
	}
	answer(t, send(sender, request))
	if requests.Load() != 1 {
		t.Fatal(requests.Load())
	}
	directory := newSender(t, Options{}, places{caFile: t.TempDir()})
	expect(t, send(directory, request), "unsent", "it is no file")
	// An exchange trusts the platform, and goes through the proxy.
	expect(t, send(sender, post("https://"+at)), "unsent", "the proxy proxy.example:3128")
}
