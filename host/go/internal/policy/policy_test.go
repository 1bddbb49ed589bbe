package policy

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wif/internal/contract"
)

const api = "https://api.anthropic.com"

// bare takes the variables away that a policy looks at.
func bare(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if name == "PATH" || name == "RULES" || strings.HasPrefix(name, "GO") || name == "" {
			continue
		}
		// Puts it back in the end.
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
}

func made(t *testing.T, configuration string, options Options) *Policy {
	t.Helper()
	policy, err := New(configuration, options)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func granted(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%q is refused: %v", what, err)
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%q is granted", what)
	}
}

// says checks that the rule has these words.
func says(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, without %q", err, words)
	}
}

func exchange(change func(*contract.HTTPRequest)) *contract.HTTPRequest {
	request := &contract.HTTPRequest{
		Purpose:          contract.Purpose{Name: "exchange"},
		Method:           "POST",
		URL:              api + "/v1/oauth/token",
		Origin:           api,
		Headers:          []contract.Header{{Name: "content-type", Value: "application/json"}, {Name: "anthropic-beta", Value: "a"}},
		Body:             "{}",
		TimeoutMs:        1_000,
		MaxResponseBytes: 1_000,
	}
	if change != nil {
		change(request)
	}
	return request
}

const ofGoogle = `{"federation": {"identity_token": {"source": "google"}}}`

func TestAHeaderFieldIsWhatItIsForEveryReader(t *testing.T) {
	policy := made(t, ofGoogle, Options{})
	granted(t, "as it is", policy.CheckRequest(exchange(nil)))
	for _, field := range []contract.Header{
		{Name: "Accept", Value: "a"}, {Name: "accept", Value: " a"}, {Name: "accept", Value: "a "}, {Name: "accept", Value: "é"},
		{Name: "accept", Value: "a\x7f"}, {Name: "accept", Value: "a\r\nx-api-key: b"}, {Name: "accept", Value: "a\x00"},
		{Name: "", Value: "a"}, {Name: "accept ", Value: "a"}, {Name: "accept:", Value: "a"}, {Name: "accept\n", Value: "a"},
		{Name: ":path", Value: "a"}, {Name: "accépt", Value: "a"}, {Name: "accept", Value: "\ta"}, {Name: "accept", Value: "\u00a0a"},
	} {
		refused(t, fmt.Sprintf("%s: %q", field.Name, field.Value), policy.CheckRequest(exchange(func(request *contract.HTTPRequest) {
			request.Headers = append(request.Headers, field)
		})))
	}
	secret := policy.CheckRequest(exchange(func(request *contract.HTTPRequest) { request.Headers[0].Value = "canary\n" }))
	if strings.Contains(secret.Error(), "canary") {
		t.Error(secret)
	}
}

func TestARequestHasAPurpose(t *testing.T) {
	policy := made(t, ofGoogle, Options{})
	for _, purpose := range []string{"", "Exchange", "login"} {
		refused(t, purpose, policy.CheckRequest(exchange(func(request *contract.HTTPRequest) { request.Purpose.Name = purpose })))
	}
	granted(t, "refresh", policy.CheckRequest(exchange(func(request *contract.HTTPRequest) { request.Purpose.Name = "refresh" })))
}

func TestARequestIsNoLargerThanAnyMayBe(t *testing.T) {
	policy := made(t, ofGoogle, Options{})
	limits := contract.Authority.Limits
	body := func(bytes int) func(*contract.HTTPRequest) {
		return func(request *contract.HTTPRequest) { request.Body = strings.Repeat("a", bytes) }
	}
	fields := func(many int) func(*contract.HTTPRequest) {
		return func(request *contract.HTTPRequest) {
			for len(request.Headers) < many {
				request.Headers = append(request.Headers, contract.Header{Name: "accept", Value: "a"})
			}
		}
	}
	granted(t, "the longest body", policy.CheckRequest(exchange(body(limits.RequestBytes))))
	refused(t, "a longer body", policy.CheckRequest(exchange(body(limits.RequestBytes+1))))
	granted(t, "the most fields", policy.CheckRequest(exchange(fields(limits.RequestHeaders))))
	refused(t, "more fields", policy.CheckRequest(exchange(fields(limits.RequestHeaders+1))))
}

func TestASourceSendsWhereThePolicyAllowsItAndItsOriginIsTheURLs(t *testing.T) {
	bare(t)
	const origin = "http://metadata.google.internal"
	ask := func(change func(*contract.HTTPRequest)) *contract.HTTPRequest {
		return exchange(func(request *contract.HTTPRequest) {
			request.Purpose = contract.Purpose{Name: "source", Source: "google"}
			request.Method, request.Body, request.Origin = "GET", "", origin
			request.URL = origin + "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a&format=full"
			request.Headers = []contract.Header{{Name: "metadata-flavor", Value: "Google"}}
			if change != nil {
				change(request)
			}
		})
	}
	policy := made(t, ofGoogle, Options{})
	granted(t, "what the recipe sends", policy.CheckRequest(ask(nil)))
	says(t, made(t, ofGoogle, Options{AllowSources: []string{"aws"}}).CheckRequest(ask(nil)), "wif.Options.AllowSources")
	refused(t, "no source", made(t, ofGoogle, Options{AllowSources: []string{}}).CheckRequest(ask(nil)))
	for what, change := range map[string]func(*contract.HTTPRequest){
		"another origin":       func(request *contract.HTTPRequest) { request.Origin = api },
		"an origin with a dot": func(request *contract.HTTPRequest) { request.Origin = origin + "." },
		"another source":       func(request *contract.HTTPRequest) { request.Purpose.Source = "aws" },
		"no source":            func(request *contract.HTTPRequest) { request.Purpose.Source = "" },
		"a body":               func(request *contract.HTTPRequest) { request.Body = "stolen" },
		"an exchange":          func(request *contract.HTTPRequest) { request.Purpose.Name = "exchange" },
	} {
		refused(t, what, policy.CheckRequest(ask(change)))
	}
}

func TestAnotherOriginIsDeniedAndTheMessageSaysHowToAllowIt(t *testing.T) {
	bare(t)
	policy := made(t, "{}", Options{AllowOrigins: []string{"https://gateway.example"}})
	err := policy.CheckOrigin("https://evil.example")
	says(t, err, "the policy allows https://api.anthropic.com and https://gateway.example only, not https://evil.example")
	says(t, err, "wif.Options.AllowOrigins")
	if strings.Contains(err.Error(), "AllowLoopback") {
		t.Error(err)
	}
	says(t, policy.CheckOrigin("http://127.0.0.1:8080"), "wif.Options.AllowLoopback or WIF_ALLOW_LOOPBACK=1")
	granted(t, "https://gateway.example", policy.CheckOrigin("https://gateway.example"))
}

func TestOriginsOfTheOptionsAreParsedAndNothingElse(t *testing.T) {
	allow := func(origin string) error {
		_, err := New("{}", Options{AllowOrigins: []string{origin}})
		_, private := New("{}", Options{AllowPrivateOrigins: []string{origin}})
		if (err == nil) != (private == nil) {
			t.Errorf("%s: %v, %v", origin, err, private)
		}
		if private != nil && !strings.HasPrefix(private.Error(), "AllowPrivateOrigins: ") {
			t.Error(private)
		}
		return err
	}
	for _, origin := range []string{
		"https://gateway.example", "https://gateway.example:8443/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost",
	} {
		granted(t, origin, allow(origin))
	}
	for _, origin := range []string{"http://gateway.example", "http://localhost.evil.example", "http://10.0.0.1"} {
		err := allow(origin)
		if !errors.Is(err, errPlainHTTP) {
			t.Errorf("%s: %v", origin, err)
		}
		says(t, err, "AllowOrigins: "+origin)
	}
	for _, origin := range []string{
		"", "/", "gateway.example", "ftp://gateway.example", "https://gateway.example/path", "https://user@gateway.example",
		"https://gateway.example?x", "https://gateway.example#x", "file:///etc/passwd", "https://gateway.example//",
	} {
		if err := allow(origin); !errors.Is(err, errNoOrigin) {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func TestAnOptionIsNamedWhereItIsWrong(t *testing.T) {
	for name, options := range map[string]Options{
		"AllowOrigins: ":        {AllowOrigins: []string{"https://a.example", "b"}},
		"AllowPrivateOrigins: ": {AllowPrivateOrigins: []string{"b"}},
		"RequestTimeout: ":      {RequestTimeout: -1},
		"CallableTimeout: ":     {CallableTimeout: -1},
	} {
		if _, err := New("{}", options); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%v, not %s", err, name)
		}
	}
	policy := made(t, "{}", Options{})
	if policy.RequestTimeout() != time.Minute || policy.CallableTimeout() != 30*time.Second {
		t.Error(policy.RequestTimeout(), policy.CallableTimeout())
	}
	policy = made(t, "{}", Options{RequestTimeout: 2, CallableTimeout: 3})
	if policy.RequestTimeout() != 2 || policy.CallableTimeout() != 3 {
		t.Error(policy.RequestTimeout(), policy.CallableTimeout())
	}
}

func TestLoopbackCanBeAllowedAsAWhole(t *testing.T) {
	bare(t)
	allows, not := made(t, "{}", Options{AllowLoopback: true}), made(t, "{}", Options{})
	for _, origin := range []string{
		"http://127.0.0.1:1", "http://127.9.9.9:80", "http://[::1]:8787", "http://localhost:9", "https://localhost",
	} {
		granted(t, origin, allows.CheckOrigin(origin))
		refused(t, origin, not.CheckOrigin(origin))
	}
	for _, origin := range []string{
		"https://gateway.example", "http://10.0.0.1", "https://localhost.evil.example", "http://127.0.0.1.evil.example",
		"http://[::ffff:127.0.0.1]", "http://localhost.", "http://0.0.0.0", "http://127.1", "http://user@localhost",
	} {
		refused(t, origin, allows.CheckOrigin(origin))
	}
	granted(t, api, allows.CheckOrigin(api))
	if allows.LoopbackByVariable() || not.LoopbackByVariable() {
		t.Error("no variable says it")
	}
}

func TestAVariableAllowsLoopbackAndNothingElse(t *testing.T) {
	bare(t)
	for value, allows := range map[string]bool{"1": true, "true": true, " 1\n": true, "0": false, "": false, "yes": false, "TRUE": false} {
		t.Setenv("WIF_ALLOW_LOOPBACK", value)
		policy := made(t, "{}", Options{})
		if (policy.CheckOrigin("http://localhost:9") == nil) != allows || policy.LoopbackByVariable() != allows {
			t.Errorf("%q", value)
		}
		for _, origin := range []string{"https://gateway.example", "https://localhost.evil.example"} {
			refused(t, origin, policy.CheckOrigin(origin))
		}
	}
}

func TestATokenForAnotherOriginThanTheConfiguredOneIsDenied(t *testing.T) {
	policy := made(t, `{"base_url": "https://api.anthropic.com"}`, Options{AllowOrigins: []string{"https://gateway.example"}})
	normalised := func(origin string) string {
		text, err := policy.CheckTokenOrigin(origin)
		if (err == nil) != (text != "") {
			t.Errorf("%s: %s, %v", origin, text, err)
		}
		return text
	}
	for _, origin := range []string{api, "HTTPS://API.Anthropic.com:443"} {
		if found := normalised(origin); found != api {
			t.Errorf("%s: %s", origin, found)
		}
	}
	granted(t, "https://gateway.example", policy.CheckOrigin("https://gateway.example"))
	for _, origin := range []string{"https://gateway.example", "https://evil.example"} {
		if found := normalised(origin); found != "" {
			t.Errorf("%s: %s", origin, found)
		}
	}
	_, err := policy.CheckTokenOrigin("https://gateway.example")
	says(t, err, "base_url names another origin than https://gateway.example")
}

func TestABaseURLThatCannotBeReadAllowsNoOrigin(t *testing.T) {
	for _, url := range []string{"https://gateway.example/a%2fb", "https://api.anthropic.com/../x", "api.anthropic.com", "", "http://10.0.0.1"} {
		policy := made(t, fmt.Sprintf(`{"base_url": %q, "bearer": {}}`, url), Options{})
		_, err := policy.CheckTokenOrigin(api)
		says(t, err, "base_url of the configuration is no plain URL")
		refused(t, url, policy.CheckRequest(exchange(nil)))
	}
}

func TestAVariableIsReadOnlyIfItIsAllowed(t *testing.T) {
	bare(t)
	const named = `{"federation": {"identity_token": {"source": "variable", "name": "CI_TOKEN"}}}`
	says(t, made(t, named, Options{}).CheckVariable("CI_TOKEN"), "wif.Options.AllowVariables")
	allows := made(t, named, Options{AllowVariables: []string{"CI_TOKEN", "OTHER"}})
	granted(t, "CI_TOKEN", allows.CheckVariable("CI_TOKEN"))
	says(t, allows.CheckVariable("OTHER"), "the configuration does not name the variable OTHER")
	for _, name := range []string{"HOME", "ANTHROPIC_IDENTITY_TOKEN"} {
		policy := made(t, strings.ReplaceAll(named, "CI_TOKEN", name), Options{})
		granted(t, name, policy.CheckVariable(name))
		refused(t, "ANTHROPIC_API_KEY", policy.CheckVariable("ANTHROPIC_API_KEY"))
	}
	// What a platform reads needs the leave of the source, and no other.
	const vault = `{"federation": {"identity_token": {"source": "vault", "role": "r"}}}`
	granted(t, "VAULT_TOKEN", made(t, vault, Options{}).CheckVariable("VAULT_TOKEN"))
	says(t, made(t, vault, Options{AllowSources: []string{"aws"}, AllowVariables: []string{"VAULT_TOKEN"}}).CheckVariable("VAULT_TOKEN"),
		"wif.Options.AllowSources")
	// A recipe of the configuration's own needs leave for the variable.
	const own = `{"federation": {"identity_token": {"source": "http", "recipe": {
		"name": "vault", "freshness": "minted", "token": "{token}", "steps": [{"variable": "CI_TOKEN", "as": "token"}]}}}}`
	says(t, made(t, own, Options{}).CheckVariable("CI_TOKEN"), "wif.Options.AllowVariables")
	granted(t, "CI_TOKEN", made(t, own, Options{AllowVariables: []string{"CI_TOKEN"}}).CheckVariable("CI_TOKEN"))
}

func TestAFileOfAPlatformNeedsTheLeaveOfTheSource(t *testing.T) {
	const kubernetes = `{"federation": {"identity_token": {"source": "kubernetes", "service_account": "a", "directory": "/run/pod"}}}`
	granted(t, "/run/pod/token", made(t, kubernetes, Options{}).CheckFile("/run/pod/token"))
	says(t, made(t, kubernetes, Options{AllowSources: []string{"aws"}}).CheckFile("/run/pod/token"), "wif.Options.AllowSources")
	refused(t, "/run/pod/ca.crt", made(t, kubernetes, Options{}).CheckFile("/run/pod/ca.crt"))
}

func TestDirectoriesAreLimitedWhereTheOptionsSaySo(t *testing.T) {
	for _, one := range [][]string{{"/run"}, {"/run", "/etc"}, {}} {
		if directories, limited := made(t, "{}", Options{AllowDirectories: one}).Directories(); !limited || !slices.Equal(directories, one) {
			t.Errorf("%v: %v, %v", one, directories, limited)
		}
	}
	if directories, limited := made(t, "{}", Options{}).Directories(); limited || directories != nil {
		t.Error(directories, limited)
	}
}

func TestTheCertificatesOfASourceAreThoseOfItsRecipe(t *testing.T) {
	bare(t)
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	policy := made(t, `{"federation": {"identity_token": {"source": "kubernetes", "service_account": "a", "directory": "/run/pod"}}}`, Options{})
	asked := func(url string) *contract.HTTPRequest {
		return exchange(func(request *contract.HTTPRequest) {
			request.Purpose = contract.Purpose{Name: "source", Source: "kubernetes"}
			request.Origin, request.URL = "https://10.0.0.1", url
			request.Headers = []contract.Header{{Name: "authorization", Value: "a"}}
		})
	}
	const own = "https://10.0.0.1:443/api/v1/namespaces/n/serviceaccounts/a/token"
	granted(t, own, policy.CheckRequest(asked(own)))
	if file, err := policy.CAFile(asked(own)); file != "/run/pod/ca.crt" || err != nil {
		t.Error(file, err)
	}
	if file, err := policy.CAFile(exchange(nil)); file != "" || err != nil {
		t.Error(file, err)
	}
	// What was granted a moment ago is not trusted more widely now.
	_, err := policy.CAFile(asked(own + "s"))
	refused(t, "another request", err)
}

func TestANameMayBePrivateWhereTheOptionsSaySo(t *testing.T) {
	policy := made(t, "{}", Options{AllowOrigins: []string{"https://public.example"},
		AllowPrivateOrigins: []string{"https://gateway.example:8443", "https://public.example:1"}, AllowLoopback: true})
	for origin, private := range map[string]bool{
		"https://gateway.example:8443": true, "https://GATEWAY.example": true, "https://public.example": true, api: false,
		"https://evil.example": false, "https://gateway.example.evil.example": false, "https://gateway.example@evil.example": false, "": false,
	} {
		if policy.MayBePrivate(origin) != private {
			t.Errorf("%s: %v", origin, !private)
		}
	}
}

func TestAProgramRunsWhereTheConfigurationAndThePolicyNameIt(t *testing.T) {
	const named = `{"federation": {"identity_token": {"source": "executable", "command": ["/bin/echo", "token"],
		"environment": ["HOME"], "audience": "a"}}}`
	allowed := Options{AllowExecutables: []string{"/bin/echo"}}
	policy := made(t, named, allowed)
	command, environment, err := policy.Executable("a")
	if err != nil || fmt.Sprint(command, environment) != "[/bin/echo token] [HOME]" || !policy.SuppliesIdentityTokens() {
		t.Error(command, environment, err)
	}
	for _, one := range []struct {
		configuration string
		options       Options
		audience, why string
	}{
		{named, Options{}, "a", "wif.Options.AllowExecutables"},
		{named, Options{AllowExecutables: []string{"/bin/echo2", "echo", "/bin"}}, "a", "does not allow the program /bin/echo"},
		{named, Options{AllowExecutables: allowed.AllowExecutables, AllowSources: []string{"aws"}}, "a", "wif.Options.AllowSources"},
		{named, allowed, "b", "or it names another audience"},
		{named, allowed, "", "or it names another audience"},
		{"{}", allowed, "a", "does not name the source executable"},
		{`{"federation": {"identity_token": {"source": "file", "command": ["/bin/echo"]}}}`, allowed, defaultAudience, "does not name"},
		{`{"federation": {"identity_token": {"source": "executable"}}}`, allowed, defaultAudience, "does not name"},
		{`{"federation": {"identity_token": {"source": "executable", "command": ["/bin/echo", 1]}}}`, allowed, defaultAudience, "does not"},
		{`{"federation": {"identity_token": {"Source": "executable", "command": ["/bin/echo"]}}}`, allowed, defaultAudience, "does not"},
	} {
		_, _, err := made(t, one.configuration, one.options).Executable(one.audience)
		says(t, err, one.why)
	}
	granted(t, "the usual audience", errorOf(made(t, `{"federation": {"identity_token": {"source": "executable", "command": ["/bin/echo"]}}}`,
		allowed).Executable(defaultAudience)))
}

func errorOf(_, _ []string, err error) error { return err }

func TestNothingSecretIsPrinted(t *testing.T) {
	policy := made(t, `{"federation": {"identity_token": {"source": "literal", "value": "canary"}}}`, Options{})
	policy.VariableWasRead("ANTHROPIC_API_KEY", "canary")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, policy); strings.Contains(text, "canary") {
			t.Error(text)
		}
	}
}

func TestAPolicyServesSeveralGoroutines(t *testing.T) {
	bare(t)
	policy := made(t, `{"discover": {"config_dir": "/etc/anthropic"}}`, Options{})
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 50 {
				policy.VariableWasRead("HOME", "/home/a")
				policy.FileWasRead("/etc/anthropic/configs/a.json", `{"base_url": "https://a.example/b"}`)
				granted(t, "HOME", policy.CheckVariable("HOME"))
				granted(t, "a profile", policy.CheckFile("/etc/anthropic/configs/a.json"))
				granted(t, "an exchange", policy.CheckRequest(exchange(nil)))
				policy.IsCredentials("/a")
				policy.DirectoryOfProfile("/a")
			}
		})
	}
	done.Wait()
}
