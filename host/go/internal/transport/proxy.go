package transport

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// longestTunnelHead is how much of a proxy's answer is read.
const longestTunnelHead = 16 << 10

// proxy is one that requests go through. It holds a password.
type proxy struct {
	// variable names the one that it is from, where it is from the environment.
	variable string
	url      *url.URL
	past     exceptions
}

// proxyOf reads the option. It gives the proxy that is used, or the one that the environment names and nobody uses.
func proxyOf(option string) (used, unused *proxy, err error) {
	switch option {
	case "":
		// A hint needs no more than its name.
		unused, _ = proxyInEnvironment()
		return nil, unused, nil
	case "environment":
		used, err = proxyInEnvironment()
		return used, nil, err
	}
	to, err := parseProxy(option)
	if err != nil {
		return nil, nil, err
	}
	return &proxy{url: to}, nil, nil
}

// proxyInEnvironment is the proxy that the environment names, as curl reads it. There is none where every host is to be reached without it.
// With an error it has no URL.
func proxyInEnvironment() (*proxy, error) {
	_, past := firstSet("no_proxy", "NO_PROXY")
	if strings.TrimSpace(past) == "*" {
		return nil, nil
	}
	variable, value := firstSet("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
	if variable == "" {
		return nil, nil
	}
	proxy := &proxy{variable: variable, past: exceptionsOf(past)}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	var err error
	if proxy.url, err = parseProxy(value); err != nil {
		return proxy, fmt.Errorf("%s: %w", variable, err)
	}
	return proxy, nil
}

func firstSet(names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(os.Getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

// parseProxy quotes nothing of the text: that may hold a password.
func parseProxy(text string) (*url.URL, error) {
	to, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it cannot be read as a URL")
	case to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "":
		return nil, errors.New("it must start with http:// or https://, and name a host")
	case strings.Contains(to.Path+to.RawQuery+to.Fragment, "@"):
		// What is taken for a host may be a part of the password.
		return nil, errors.New("what is special in a user's name or a password must be percent-encoded")
	}
	return to, nil
}

// leads says whether a request of this way goes through the proxy. Plain HTTP is for this very machine and its metadata service, and goes
// there without a detour. Who has certificates of its own is near, and a proxy would not lead there.
func (p *proxy) leads(way *way) bool {
	return p != nil && way.encrypted() && way.caFile == "" && !p.past.have(way.url.Hostname(), way.port)
}

// authorization is the value of the field that shows the user's name and password; empty where there is none.
func (p *proxy) authorization() string {
	if p.url.User == nil {
		return ""
	}
	password, _ := p.url.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(p.url.User.Username()+":"+password))
}

// tunnel asks the proxy at the other end of the connection to lead to this address.
func (p *proxy) tunnel(ctx context.Context, connection net.Conn, address string) error {
	stop := context.AfterFunc(ctx, func() { connection.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// Without net/http's own User-Agent.
	header := http.Header{"User-Agent": {""}}
	if authorization := p.authorization(); authorization != "" {
		header.Set("Proxy-Authorization", authorization)
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: header}
	if err := request.Write(connection); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(connection, longestTunnelHead))
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		// The error may quote the answer.
		return errors.New("its answer cannot be read")
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	if reader.Buffered() > 0 {
		return errors.New("it says more than it was asked")
	}
	return nil
}

// exceptions are the hosts that are reached without the proxy, in the form of NO_PROXY.
type exceptions []string

func exceptionsOf(text string) (all exceptions) {
	for _, entry := range strings.Split(text, ",") {
		if entry = strings.ToLower(strings.TrimSpace(entry)); entry != "" {
			all = append(all, entry)
		}
	}
	return all
}

// have says whether this host is one of them: by its name or that of a domain above it, by its address or a network, or by "*".
func (e exceptions) have(host, port string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, entry := range e {
		if entry == "*" || isException(entry, host) {
			return true
		}
		if name, only, err := net.SplitHostPort(entry); err == nil && only == port && isException(name, host) {
			return true
		}
	}
	return false
}

func isException(entry, host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		if network, err := netip.ParsePrefix(entry); err == nil {
			return network.Contains(address)
		}
		only, err := netip.ParseAddr(strings.Trim(entry, "[]"))
		return err == nil && only == address
	}
	domain := strings.Trim(entry, ".")
	return domain != "" && (host == domain || strings.HasSuffix(host, "."+domain))
}
