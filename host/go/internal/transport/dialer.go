package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"wif/internal/contract"
)

var (
	// longestConnect bounds the way to a connection. One that takes longer is not made; then nothing was sent, which is worth knowing.
	longestConnect = 10 * time.Second
	// headStart is what the family of the first address has before the other one is tried beside it (RFC 8305).
	headStart = 300 * time.Millisecond
)

// connect makes the connection for one request. With an error no byte of the request has left.
func (s *Sender) connect(ctx context.Context, way *way) (net.Conn, error) {
	late := fmt.Errorf("no connection within %s", longestConnect)
	ctx, cancel := context.WithTimeoutCause(ctx, longestConnect, late)
	defer cancel()
	connection, err := s.connectTo(ctx, way)
	if err != nil && isOver(ctx) && context.Cause(ctx) == late {
		err = late
	}
	return connection, err
}

func (s *Sender) connectTo(ctx context.Context, way *way) (net.Conn, error) {
	trusted, err := s.trusted(ctx, way)
	if err != nil {
		return nil, err
	}
	connection, err := s.tunnelOrDial(ctx, way, trusted)
	if err != nil || !way.encrypted() {
		return connection, err
	}
	return encrypt(ctx, connection, way.url.Hostname(), trusted)
}

// trusted is whom the server's certificate must lead to: nobody where none is asked for, for a machine may have no certificates.
func (s *Sender) trusted(ctx context.Context, way *way) (*x509.CertPool, error) {
	switch {
	case !way.encrypted():
		return nil, nil
	case way.caFile != "":
		return inTime(ctx, func() (*x509.CertPool, error) { return trustedBy(way.caFile) })
	}
	return inTime(ctx, s.trust)
}

// tunnelOrDial leads to where the way leads, without TLS yet.
func (s *Sender) tunnelOrDial(ctx context.Context, way *way, trusted *x509.CertPool) (net.Conn, error) {
	if !s.proxy.leads(way) {
		return s.dial(ctx, way.url, way.reach)
	}
	connection, err := s.toProxy(ctx, trusted)
	if err == nil {
		if err = s.proxy.tunnel(ctx, connection, way.address()); err == nil {
			return connection, nil
		}
		connection.Close()
	}
	return nil, fmt.Errorf("the proxy %s: %w", s.proxy.url.Host, err)
}

func (s *Sender) toProxy(ctx context.Context, trusted *x509.CertPool) (net.Conn, error) {
	// Its own name may be private.
	connection, err := s.dial(ctx, s.proxy.url, private)
	if err != nil || s.proxy.url.Scheme != "https" {
		return connection, err
	}
	return encrypt(ctx, connection, s.proxy.url.Hostname(), trusted)
}

func encrypt(ctx context.Context, connection net.Conn, name string, trusted *x509.CertPool) (net.Conn, error) {
	encrypted := tls.Client(connection, &tls.Config{ServerName: name, RootCAs: trusted, MinVersion: tls.VersionTLS12})
	if err := encrypted.HandshakeContext(ctx); err != nil {
		connection.Close()
		return nil, fmt.Errorf("TLS with %s: %w", name, err)
	}
	return encrypted, nil
}

// dial looks the name up once, checks all that it resolves to, and connects to no other address. An address in place of a name is what the
// policy itself allows.
func (s *Sender) dial(ctx context.Context, to *url.URL, reach reach) (net.Conn, error) {
	name, port := to.Hostname(), portOf(to)
	connect := func(ctx context.Context, address netip.Addr) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.Unmap().String(), port))
	}
	if address, err := netip.ParseAddr(name); err == nil {
		return connect(ctx, address)
	}
	found, err := s.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s resolves to no address", name)
	}
	if err := checkAddresses(name, originOf(to), reach, found); err != nil {
		return nil, err
	}
	return connectAny(ctx, found, connect)
}

// connect makes a connection to one address.
type connect func(ctx context.Context, address netip.Addr) (net.Conn, error)

// connectAny connects to the first address that answers. The first one's family has a head start.
func connectAny(ctx context.Context, found []netip.Addr, connect connect) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, others := byFamily(found)
	made := make(chan attempt, 2)
	under := 0
	begin := func(addresses []netip.Addr) {
		under++
		go func() { made <- connectInOrder(ctx, addresses, connect) }()
	}
	begin(first)
	delay := time.NewTimer(headStart)
	defer delay.Stop()
	var why error
	for {
		var over bool
		select {
		case <-delay.C:
			over = true
		case attempt := <-made:
			under--
			if attempt.err == nil {
				go drop(made, under)
				return attempt.connection, nil
			}
			if why == nil {
				why = attempt.err
			}
			over = true
		}
		if over && len(others) > 0 {
			begin(others)
			others = nil
		}
		if under == 0 {
			return nil, why
		}
	}
}

// attempt is what came of one.
type attempt struct {
	connection net.Conn
	err        error
}

// drop closes what comes too late.
func drop(made <-chan attempt, under int) {
	for range under {
		if attempt := <-made; attempt.err == nil {
			attempt.connection.Close()
		}
	}
}

func byFamily(found []netip.Addr) (first, others []netip.Addr) {
	for _, address := range found {
		if address.Unmap().Is4() == found[0].Unmap().Is4() {
			first = append(first, address)
		} else {
			others = append(others, address)
		}
	}
	return first, others
}

// connectInOrder tries one address after the other. Each has its share of the time that is left. It tells what was wrong with the first.
func connectInOrder(ctx context.Context, addresses []netip.Addr, connect connect) (result attempt) {
	for i, address := range addresses {
		connection, err := within(ctx, share(ctx, len(addresses)-i), address, connect)
		if err == nil {
			return attempt{connection: connection}
		}
		if result.err == nil {
			result.err = err
		}
	}
	return result
}

func within(ctx context.Context, time time.Duration, address netip.Addr, connect connect) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time)
	defer cancel()
	return connect(ctx, address)
}

// share is one of so many shares of the time that is left.
func share(ctx context.Context, of int) time.Duration {
	until, bounded := ctx.Deadline()
	if !bounded {
		return longestConnect
	}
	return time.Until(until) / time.Duration(of)
}

// trusting gives whom connections trust: the platform's certificates and these. They are read when first needed, for that takes longer than
// everything else at the start; and once more where that failed.
func trusting(platform func() (*x509.CertPool, error), roots []*x509.Certificate) func() (*x509.CertPool, error) {
	var read atomic.Pointer[x509.CertPool]
	return func() (*x509.CertPool, error) {
		if pool := read.Load(); pool != nil {
			return pool, nil
		}
		pool, err := platform()
		if err != nil {
			return nil, fmt.Errorf("this machine's root certificates cannot be read: %w", err)
		}
		if len(roots) == 0 && pool.Equal(x509.NewCertPool()) {
			return nil, errors.New("this machine has no root certificates (Debian: ca-certificates)")
		}
		for _, root := range roots {
			pool.AddCert(root)
		}
		read.Store(pool)
		return pool, nil
	}
}

// inTime waits for certificates until the context is done: a file system may never answer.
func inTime(ctx context.Context, read func() (*x509.CertPool, error)) (*x509.CertPool, error) {
	type result struct {
		pool *x509.CertPool
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		pool, err := read()
		ended <- result{pool, err}
	}()
	select {
	case result := <-ended:
		return result.pool, result.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the root certificates could not be read in time: %w", context.Cause(ctx))
	}
}

// certificates are those in a PEM text: at least one.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return all, nil
}

// trustedBy trusts the certificates in this file, and no others.
func trustedBy(path string) (*x509.CertPool, error) {
	text, err := readFile(path)
	var roots []*x509.Certificate
	if err == nil {
		roots, err = certificates(text)
	}
	if err != nil {
		return nil, fmt.Errorf("the certificates in %s cannot be used: %w", path, err)
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	return pool, nil
}

// readFile reads a file that is one, and not too long.
func readFile(path string) ([]byte, error) {
	about, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !about.Mode().IsRegular() {
		return nil, errors.New("it is no file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, int64(contract.Authority.Limits.ContentBytes)))
}
