package transport

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"wif/internal/contract"
)

const api = "api.anthropic.com"

// forward is a proxy that wants user:pa/ss. It leads every tunnel to one server, by whatever name it is asked.
type forward struct {
	*httptest.Server
	mutex sync.Mutex
	asked []string
}

func newForward(t *testing.T, config *tls.Config, leadsTo string) *forward {
	proxy := &forward{}
	proxy.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.mutex.Lock()
		proxy.asked = append(proxy.asked, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header))
		proxy.mutex.Unlock()
		if r.Header.Get("proxy-authorization") != "Basic dXNlcjpwYS9zcw==" {
			w.Header().Set("x-canary", "canary")
			http.Error(w, "canary", http.StatusProxyAuthRequired)
			return
		}
		inside, err := net.Dial("tcp", leadsTo)
		if err != nil {
			http.Error(w, "canary", http.StatusBadGateway)
			return
		}
		defer inside.Close()
		outside, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer outside.Close()
		io.WriteString(outside, "HTTP/1.1 200 Connection established\r\n\r\n")
		go io.Copy(inside, outside)
		io.Copy(outside, inside)
	}))
	proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
	if config != nil {
		proxy.TLS = config
		proxy.StartTLS()
	} else {
		proxy.Start()
	}
	t.Cleanup(proxy.Close)
	return proxy
}

func (f *forward) as(user string) string { return strings.Replace(f.URL, "://", "://"+user+"@", 1) }

func (f *forward) heard() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.asked
}

func TestAProxyWithAPasswordLeadsToTheServer(t *testing.T) {
	authority := newAuthority(t)
	at, requests, _ := secured(t, authority.of(api))
	proxy := newForward(t, nil, at)
	sender := newSender(t, Options{Proxy: proxy.as("user:pa%2Fss"), RootCertificates: []string{authority.pem()}}, places{})
	// The proxy resolves names.
	sender.lookup = nil
	answer(t, send(sender, post("https://"+api+"/v1/oauth/token?canary")))
	expected := "CONNECT api.anthropic.com:443 api.anthropic.com:443 map[Proxy-Authorization:[Basic dXNlcjpwYS9zcw==]]"
	if heard := proxy.heard(); len(heard) != 1 || heard[0] != expected || requests.Load() != 1 {
		t.Fatal(heard, requests.Load())
	}
}

func TestAProxyThatRefusesIsNamedWithItsStatusAndWithoutASecret(t *testing.T) {
	authority := newAuthority(t)
	at, requests, _ := secured(t, authority.of(api))
	for user, says := range map[string]string{"user:canary": "it answers 407 Proxy Authentication Required", "user:pa%2Fss": "it answers 502 Bad Gateway"} {
		leadsTo := at
		if user != "user:canary" {
			leadsTo = nobody(t)
		}
		proxy := newForward(t, nil, leadsTo)
		sender := newSender(t, Options{Proxy: proxy.as(user), RootCertificates: []string{authority.pem()}}, places{})
		expect(t, send(sender, post("https://"+api+"/?canary")), "unsent", "the proxy "+proxy.Listener.Addr().String()+": "+says)
	}
	expect(t, send(newSender(t, Options{Proxy: "http://user:canary@" + nobody(t)}, places{}), post("https://"+api)), "unsent", "the proxy 127.0.0.1:", "refused")
	for _, text := range []string{"canary\r\n\r\n", "HTTP/1.1 200 OK\r\ncanary\r\n\r\n", "", "HTTP/1.1 200 OK\r\n\r\ncanary"} {
		odd := listen(t, func(connection net.Conn) {
			connection.Read(make([]byte, 1<<10))
			io.WriteString(connection, text)
		})
		expect(t, send(newSender(t, Options{Proxy: "http://user:canary@" + odd}, places{}), post("https://"+api)), "unsent", "the proxy 127.0.0.1:")
	}
	if requests.Load() != 0 {
		t.Fatal("it was led there")
	}
}

func TestAProxyByTLSIsVerifiedBeforeItIsShownThePassword(t *testing.T) {
	authority := newAuthority(t)
	at, requests, _ := secured(t, authority.of(api))
	options := func(proxy *forward) Options {
		return Options{Proxy: proxy.as("user:pa%2Fss"), RootCertificates: []string{authority.pem()}}
	}
	proxy := newForward(t, authority.of("127.0.0.1"), at)
	answer(t, send(newSender(t, options(proxy), places{}), post("https://"+api)))
	if len(proxy.heard()) != 1 || requests.Load() != 1 {
		t.Fatal(proxy.heard())
	}
	impostor := newForward(t, newAuthority(t).of("127.0.0.1"), at)
	expect(t, send(newSender(t, options(impostor), places{}), post("https://"+api)), "unsent", "the proxy 127.0.0.1:", "unknown authority")
	if len(impostor.heard()) != 0 || requests.Load() != 1 {
		t.Fatal(impostor.heard())
	}
}

func TestAProxyThatInterceptsIsToldSomethingOnlyIfItsAuthorityIsTrusted(t *testing.T) {
	company := newAuthority(t)
	at, requests, _ := secured(t, company.of(api))
	proxy := newForward(t, nil, at)
	expect(t, send(newSender(t, Options{Proxy: proxy.as("user:pa%2Fss")}, places{}), post("https://"+api)), "unsent", "unknown authority")
	if requests.Load() != 0 {
		t.Fatal("it was told something")
	}
	answer(t, send(newSender(t, Options{Proxy: proxy.as("user:pa%2Fss"), RootCertificates: []string{company.pem()}}, places{}), post("https://"+api)))
}

func TestTheNameOfAProxyMayBePrivate(t *testing.T) {
	authority := newAuthority(t)
	at, _, _ := secured(t, authority.of(api))
	proxy := newForward(t, nil, at)
	by := strings.Replace(proxy.as("user:pa%2Fss"), "127.0.0.1", "proxy.example", 1)
	sender := newSender(t, Options{Proxy: by, RootCertificates: []string{authority.pem()}}, places{}).named("proxy.example", "127.0.0.1")
	answer(t, send(sender, post("https://"+api)))
	sender.named("proxy.example", "169.254.0.1")
	expect(t, send(sender, post("https://"+api)), "unsent", "which no policy allows")
}

func TestPlainHTTPGoesPastTheProxy(t *testing.T) {
	server := served(t, func(http.ResponseWriter, *http.Request) {})
	proxy := newForward(t, nil, server.Listener.Addr().String())
	t.Setenv("ALL_PROXY", proxy.URL)
	for _, option := range []string{"environment", proxy.URL} {
		sender := newSender(t, Options{Proxy: option}, places{})
		for _, request := range []*contract.HTTPRequest{post(server.URL), get(server.URL)} {
			answer(t, send(sender, request))
		}
	}
	if heard := proxy.heard(); len(heard) != 0 {
		t.Fatal(heard)
	}
}

func TestTheProxyOfTheEnvironmentIsTheOneThatCurlTakes(t *testing.T) {
	for _, row := range []struct{ variables, expected string }{
		{"", ""},
		{"HTTP_PROXY=http://a", ""},
		{"ALL_PROXY=http://d all_proxy=http://c HTTPS_PROXY=http://b https_proxy=http://a", "https_proxy http://a"},
		{"ALL_PROXY=http://d all_proxy=http://c HTTPS_PROXY=https://b https_proxy=", "HTTPS_PROXY https://b"},
		{"ALL_PROXY=http://d all_proxy=c:3128", "all_proxy http://c:3128"},
		{"ALL_PROXY=d", "ALL_PROXY http://d"},
		{"ALL_PROXY=d NO_PROXY=*", ""},
		{"ALL_PROXY=d NO_PROXY=* no_proxy=a", "ALL_PROXY http://d"},
	} {
		t.Run(row.variables, func(t *testing.T) {
			for _, pair := range strings.Fields(row.variables) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			got := ""
			if proxy := newSender(t, Options{Proxy: "environment"}, places{}).proxy; proxy != nil {
				got = proxy.variable + " " + proxy.url.String()
			}
			if got != row.expected {
				t.Fatal(got)
			}
		})
	}
}

func TestAProxyThatIsNoneIsNotQuoted(t *testing.T) {
	for _, text := range []string{
		"socks5://user:canary@proxy.example", "proxy.example", "http://", "http://user:can%ary@proxy.example", "http://user:canary/a@proxy.example",
		"http://user:12#canary@proxy.example", "http://user:canary@proxy.example:port", "environments",
	} {
		_, err := New(Options{Proxy: text}, places{})
		if err == nil || !strings.HasPrefix(err.Error(), "Proxy: ") || strings.Contains(err.Error(), "canary") {
			t.Fatalf("%s: %v", text, err)
		}
	}
	t.Setenv("HTTPS_PROXY", "socks5://user:canary@proxy.example")
	_, err := New(Options{Proxy: "environment"}, places{})
	if err == nil || !strings.HasPrefix(err.Error(), "Proxy: HTTPS_PROXY: ") || strings.Contains(err.Error(), "canary") {
		t.Fatal(err)
	}
	sender := newSender(t, Options{Proxy: "http://user:canary@proxy.example"}, places{})
	if shown := fmt.Sprintf("%v %+v %#v", sender, sender, sender); strings.Contains(shown, "canary") {
		t.Fatal(shown)
	}
}

func TestHostsThatAreReachedWithoutTheProxy(t *testing.T) {
	past := exceptionsOf("google.com, .Example.org,10.0.0.0/8,192.168.1.1,::1,[fd00::1]:8443,port.example:8443,fd01::/16,")
	for to, expected := range map[string]bool{
		"https://google.com":           true,
		"https://www.GOOGLE.com":       true,
		"https://google.com.:444":      true,
		"https://notgoogle.com":        false,
		"https://google.com.example":   false,
		"https://example.org":          true,
		"https://a.example.org":        true,
		"https://10.1.2.3":             true,
		"https://11.1.2.3":             false,
		"https://192.168.1.1:8443":     true,
		"https://192.168.1.11":         false,
		"https://[::1]":                true,
		"https://[fd00::1]:8443":       true,
		"https://[fd00::1]":            false,
		"https://[fd01::7]":            true,
		"https://port.example:8443":    true,
		"https://a.port.example:8443":  true,
		"https://port.example":         false,
		"https://api.anthropic.com":    false,
		"https://api.anthropic.com:80": false,
	} {
		url, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		way := &way{url: url, port: portOf(url)}
		if (&proxy{past: past}).leads(way) == expected {
			t.Error(to)
		}
	}
	if !exceptionsOf("a, *").have("b.example", "443") || exceptionsOf("").have("b.example", "443") {
		t.Fatal("a star is all, and nothing is none")
	}
}

func TestAHostOfTheEnvironmentsExceptionsIsReachedWithoutTheProxy(t *testing.T) {
	authority := newAuthority(t)
	at, requests, _ := secured(t, authority.of("127.0.0.1"))
	proxy := newForward(t, nil, at)
	t.Setenv("HTTPS_PROXY", proxy.as("user:pa%2Fss"))
	options := Options{Proxy: "environment", RootCertificates: []string{authority.pem()}}
	answer(t, send(newSender(t, options, places{}), post("https://"+at)))
	t.Setenv("NO_PROXY", "localhost,127.0.0.0/8")
	answer(t, send(newSender(t, options, places{}), post("https://"+at)))
	if requests.Load() != 2 || len(proxy.heard()) != 1 {
		t.Fatal(requests.Load(), proxy.heard())
	}
}

func TestAProxyThatIsSetAndNotUsedIsNamedWhereNoConnectionComesAbout(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://user:canary@proxy.example:3128")
	const says = "(HTTPS_PROXY is set and not used: see wif.Options.Proxy)"
	for past, expected := range map[string]bool{"elsewhere.example": true, "localhost,127.0.0.1": false, "*": false} {
		t.Setenv("NO_PROXY", past)
		outcome := send(newSender(t, Options{}, places{}), post("https://"+nobody(t)))
		expect(t, outcome, "unsent", "refused")
		if strings.Contains(outcome.Payload.(string), says) != expected {
			t.Fatal(outcome.Payload)
		}
	}
	t.Setenv("NO_PROXY", "")
	plain := send(newSender(t, Options{}, places{}), post("http://"+nobody(t)))
	used := send(newSender(t, Options{Proxy: "http://" + nobody(t)}, places{}), post("https://"+api))
	// A rule that refuses says itself what to do.
	refused := send(newSender(t, Options{}, places{}).named(api, "10.0.0.1"), post("https://"+api))
	for _, outcome := range []contract.Outcome{plain, used, refused} {
		if expect(t, outcome, "unsent"); strings.Contains(outcome.Payload.(string), says) {
			t.Fatal(outcome.Payload)
		}
	}
}
