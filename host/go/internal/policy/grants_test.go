package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wif/internal/contract"
)

const federation = `{"base_url": "https://gateway.example/claude/", "federation": {
	"identity_token": {"source": "file", "path": "/run/token"}}}`

const discovery = `{"discover": {"config_dir": "/etc/anthropic/"}}`

func TestWhatNeitherTheConfigurationNorDiscoveryNamesIsRefused(t *testing.T) {
	bare(t)
	named := made(t, federation, Options{})
	granted(t, "/run/token", named.CheckFile("/run/token"))
	for _, path := range []string{"/etc/shadow", "/run/token2", "/run/../run/token", "", "/run/token/", "//run/token", "run/token", "/run/token\x00"} {
		refused(t, path, named.CheckFile(path))
	}
	refused(t, "nothing is discovered", named.CheckVariable("ANTHROPIC_API_KEY"))
	discovers := made(t, discovery, Options{})
	for _, name := range contract.Authority.Variables {
		granted(t, name, discovers.CheckVariable(name))
	}
	for _, name := range []string{
		"AWS_SECRET_ACCESS_KEY", "ANTHROPIC_ADMIN_KEY", "ANTHROPIC_", "", "anthropic_api_key", "ANTHROPIC_API_KEY\x00", "ANTHROPIC_API_KEY=",
		"ANTHROPIC_API_KEY,HOME", " HOME",
	} {
		refused(t, name, discovers.CheckVariable(name))
	}
	for _, path := range []string{"/etc/anthropic/active_config", "/etc/anthropic/configs/prod.json"} {
		granted(t, path, discovers.CheckFile(path))
		if directory, is := discovers.DirectoryOfProfile(path); !is || directory != "/etc/anthropic" {
			t.Errorf("%s: %s, %v", path, directory, is)
		}
	}
	for _, path := range []string{
		"/etc/anthropic/configs/../../shadow", "/etc/anthropic/configs/a/b.json", "/etc/anthropic", "/run/token", "/etc/anthropic/configs",
		"/etc/anthropic/configs/.json", "/etc/anthropic/configs/../../evil.json", "/etc/anthropic/secret.json", "/etc/anthropic2/active_config",
		"/etc/anthropic//active_config", "/etc/anthropic/./active_config", "etc/anthropic/active_config", "/active_config",
	} {
		refused(t, path, discovers.CheckFile(path))
		if _, is := discovers.DirectoryOfProfile(path); is {
			t.Errorf("%s is a profile", path)
		}
	}
	discovers.FileWasRead("/etc/anthropic/configs/prod.json", `{"authentication": {"identity_token": {"path": " /run/token "}}}`)
	granted(t, "/run/token", discovers.CheckFile("/run/token"))
	refused(t, "", discovers.CheckFile(""))
}

func TestWhatIsNoProfileNamesNothing(t *testing.T) {
	bare(t)
	const names = `{"authentication": {"identity_token": {"path": "/run/token"}, "credentials_path": "/run/login"}}`
	for path, content := range map[string]string{
		"/run/other.json":                       names,
		"/etc/anthropic/credentials/me.json":    names,
		"/etc/anthropic/configs/large.json":     names + strings.Repeat(" ", maxProfileBytes),
		"/etc/anthropic/configs/cut.json":       names[:len(names)-1],
		"/etc/anthropic/configs/two.json":       names + names,
		"/etc/anthropic/configs/list.json":      "[" + names + "]",
		"/etc/anthropic/configs/capitals.json":  strings.ToUpper(names),
		"/etc/anthropic/configs/mixed.json":     strings.ReplaceAll(names, "authentication", "Authentication"),
		"/etc/anthropic/configs/elsewhere.json": `{"identity_token": {"path": "/run/token"}, "credentials_path": "/run/login"}`,
		"/etc/anthropic/configs/bytes.json":     names[:len(names)-1] + ", \"a\": \"\xff\"}",
		"/etc/anthropic/configs/empty.json":     `{"authentication": {"identity_token": {"path": " "}, "credentials_path": ""}}`,
	} {
		policy := made(t, discovery, Options{})
		policy.FileWasRead(path, content)
		for _, file := range []string{"/run/token", "/RUN/TOKEN", "/run/login", "/RUN/LOGIN", "", " "} {
			refused(t, path+": "+file, policy.CheckFile(file))
		}
	}
	named := made(t, federation, Options{})
	named.FileWasRead("/etc/anthropic/configs/a.json", names)
	refused(t, "/run/login", named.CheckFile("/run/login"))
}

func TestTheFilesOfALoginAreEntriesAndNothingElseIs(t *testing.T) {
	bare(t)
	discovers := made(t, discovery, Options{})
	if !discovers.IsCredentials("/etc/anthropic/credentials/me.json") {
		t.Error("it is the file of a login")
	}
	granted(t, "it may be read", discovers.CheckFile("/etc/anthropic/credentials/me.json"))
	for _, path := range []string{
		"file:/etc/anthropic/credentials/me.json", "/etc/anthropic/configs/me.json", "/etc/anthropic/credentials/../configs/me.json",
		"/etc/anthropic/credentials/a/b.json", "/etc/anthropic/credentials/.hidden.json", "/etc/anthropic/credentials/.json", "/etc/shadow",
		"/var/lib/me.json", "",
	} {
		if discovers.IsCredentials(path) {
			t.Error(path)
		}
	}
	discovers.FileWasRead("/etc/anthropic/configs/me.json",
		`{"authentication": {"credentials_path": "/var/lib/me.json"}, "base_url": "/etc/shadow"}`)
	if !discovers.IsCredentials("/var/lib/me.json") || discovers.IsCredentials("/etc/shadow") {
		t.Error("credentials_path names it, and no other member of the profile")
	}
	if made(t, federation, Options{}).IsCredentials("/run/token") {
		t.Error("the configuration names no login")
	}
}

func TestProfilesAreWhereTheVariablesSay(t *testing.T) {
	bare(t)
	t.Setenv("HOME", "/home/a/")
	t.Setenv("APPDATA", "/data")
	policy := made(t, "{}", Options{})
	policy.VariableWasRead("XDG_CONFIG_HOME", " /xdg\n")
	for _, path := range []string{"/home/a/.config/anthropic/active_config", "/xdg/anthropic/configs/a.json", "/data/Anthropic/credentials/a.json"} {
		granted(t, path, policy.CheckFile(path))
	}
	// What the component was told goes before what the environment says now.
	policy.VariableWasRead("HOME", "")
	refused(t, "no home", policy.CheckFile("/home/a/.config/anthropic/active_config"))
	policy.VariableWasRead("ANTHROPIC_CONFIG_DIR", "/chosen/")
	granted(t, "/chosen/active_config", policy.CheckFile("/chosen/active_config"))
	refused(t, "not chosen", policy.CheckFile("/xdg/anthropic/active_config"))
	refused(t, "nothing is discovered", made(t, federation, Options{}).CheckFile("/home/a/.config/anthropic/active_config"))
	for _, configuration := range []string{`{"discover": {"config_dir": ""}}`, "[]", "null", "", "{", `"a"`, "{}{}", "{\"a\": \"\xff\"}"} {
		nothing := made(t, configuration, Options{})
		for _, path := range []string{"/active_config", "/home/a/.config/anthropic/active_config"} {
			refused(t, configuration+path, nothing.CheckFile(path))
		}
	}
}

func TestATildeIsTheHomeWhereThatIsKnown(t *testing.T) {
	bare(t)
	policy := made(t, "{}", Options{})
	policy.VariableWasRead("ANTHROPIC_IDENTITY_TOKEN_FILE", " ~/token\n")
	granted(t, "~/token", policy.CheckFile("~/token"))
	policy.VariableWasRead("HOME", "/home/a/ ")
	granted(t, "/home/a/token", policy.CheckFile("/home/a/token"))
	refused(t, "~/token", policy.CheckFile("~/token"))
	for path, expanded := range map[string]string{"/run/~/token": "/run/~/token", "~b/token": "~b/token", "~": "~"} {
		policy.VariableWasRead("ANTHROPIC_IDENTITY_TOKEN_FILE", path)
		granted(t, path, policy.CheckFile(expanded))
	}
	policy.VariableWasRead("ANTHROPIC_IDENTITY_TOKEN_FILE", "")
	refused(t, "no file", policy.CheckFile(""))
	named := made(t, federation, Options{})
	named.VariableWasRead("ANTHROPIC_IDENTITY_TOKEN_FILE", "/run/other")
	refused(t, "nothing is discovered", named.CheckFile("/run/other"))
}

func TestARelativePathBeginsWhereTheProgramWasStarted(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if path := absolute("token"); path != filepath.Join(here, "token") {
		t.Error(path)
	}
	if path := absolute("/run/token"); path != "/run/token" {
		t.Error(path)
	}
	// What `..` is behind a link, the system knows.
	if path := absolute("link/../token"); !strings.HasSuffix(path, "link/../token") {
		t.Error(path)
	}
}

func TestAVariableIsTheOneThatTheConfigurationNames(t *testing.T) {
	bare(t)
	options := Options{AllowVariables: []string{"CI_TOKEN", "HOME"}}
	named := made(t, `{"federation": {"identity_token": {"source": "variable", "name": "CI_TOKEN"}}}`, options)
	granted(t, "CI_TOKEN", named.CheckVariable("CI_TOKEN"))
	refused(t, "HOME", named.CheckVariable("HOME"))
	callable := made(t, `{"federation": {"identity_token": {"source": "callable", "name": "CI_TOKEN"}}}`, options)
	refused(t, "the name of a callable", callable.CheckVariable("CI_TOKEN"))
}

func TestMembersOfTheConfigurationHaveExactlyTheirNames(t *testing.T) {
	bare(t)
	for _, configuration := range []string{
		`{"federation": {"identity_token": {"source": "file", "Path": "/run/token"}}}`,
		`{"federation": {"identity_token": {"Source": "file", "path": "/run/token"}}}`,
		`{"federation": {"Identity_Token": {"source": "file", "path": "/run/token"}}}`,
		`{"Federation": {"identity_token": {"source": "file", "path": "/run/token"}}}`,
		`{"federation": {"identity_token": {"source": "File", "path": "/run/token"}}}`,
		`{"federation": {"identity_token": {"source": "file", "path": "/run/token"}, "identity_token": {"source": "file"}}}`,
	} {
		refused(t, configuration, made(t, configuration, Options{}).CheckFile("/run/token"))
	}
	// Another member than base_url names no origin.
	policy := made(t, `{"Base_URL": "https://gateway.example", "bearer": {}}`, Options{AllowOrigins: []string{"https://gateway.example"}})
	if _, err := policy.CheckTokenOrigin(api); err != nil {
		t.Error(err)
	}
	policy = made(t, `{"base_url": "https://gateway.example", "Base_URL": "https://api.anthropic.com", "bearer": {}}`, Options{})
	if _, err := policy.CheckTokenOrigin(api); err == nil {
		t.Error("base_url names another origin")
	}
	// What is there is there, whatever it is.
	for _, configuration := range []string{`{"federation": null}`, `{"bearer": null}`} {
		refused(t, configuration, made(t, configuration, Options{}).CheckVariable("ANTHROPIC_API_KEY"))
	}
}

func TestARequestIsTheExchangeOrNothing(t *testing.T) {
	bare(t)
	options := Options{AllowOrigins: []string{"https://gateway.example"}}
	check := func(policy *Policy, method, url string) error {
		return policy.CheckRequest(exchange(func(request *contract.HTTPRequest) {
			request.Method, request.URL, request.Origin = method, url, "https://gateway.example"
			if strings.HasPrefix(url, api) {
				request.Origin = api
			}
		}))
	}
	named := made(t, federation, options)
	granted(t, "the exchange", check(named, "POST", "https://gateway.example/claude/v1/oauth/token"))
	for _, one := range [][2]string{
		{"GET", "https://gateway.example/claude/v1/oauth/token"},
		{"post", "https://gateway.example/claude/v1/oauth/token"},
		{"POST ", "https://gateway.example/claude/v1/oauth/token"},
		{"", "https://gateway.example/claude/v1/oauth/token"},
		{"POST", "https://gateway.example/v1/oauth/token"},
		{"POST", "https://gateway.example/claude/v1/files"},
		{"POST", "https://gateway.example/claude/v1/oauth/token/"},
		{"POST", "https://gateway.example/claude/v1/oauth/token?x=stolen"},
		{"POST", "https://gateway.example/claude/v1/oauth/token#x"},
		{"POST", "https://gateway.example/claude/v1/oauth/token?"},
		{"POST", "https://gateway.example/claude/v1/oauth/token#"},
		{"POST", "https://gateway.example/claude/v1/oauth/token;x"},
		{"POST", "https://gateway.example/other/claude/v1/oauth/token"},
		{"POST", "https://gateway.example/claude/v1/files/../oauth/token"},
		{"POST", "https://gateway.example/claude/v1/%66iles/%2e%2e/oauth/token"},
		{"POST", "https://gateway.example/claude/v1/oauth/%74oken"},
		{"POST", "https://gateway.example/claude//v1/oauth/token"},
		{"POST", "https://gateway.example/claude/./v1/oauth/token"},
		{"POST", `https://gateway.example\claude/v1/oauth/token`},
		{"POST", "https://gateway.example/claude/v1/oauth/to\tken"},
		{"POST", "https://gateway.example/claude/v1/oauth/token\n"},
		{"POST", " https://gateway.example/claude/v1/oauth/token"},
		{"POST", "https://api.anthropic.com/claude/v1/oauth/token"},
		{"POST", "https://gateway.example:444/claude/v1/oauth/token"},
		{"POST", "https://gateway.example:443/claude/v1/oauth/token"},
		{"POST", "https://GATEWAY.example/claude/v1/oauth/token"},
		{"POST", "https://gateway.example./claude/v1/oauth/token"},
		{"POST", "https://gateway.example@evil.example/claude/v1/oauth/token"},
		{"POST", "https://stolen@gateway.example/claude/v1/oauth/token"},
		{"POST", "https://gateway.example.evil.example/claude/v1/oauth/token"},
		{"POST", "http://gateway.example/claude/v1/oauth/token"},
		{"POST", "/claude/v1/oauth/token"},
		{"POST", ""},
	} {
		refused(t, one[0]+" "+one[1], check(named, one[0], one[1]))
	}
	discovers := made(t, "{}", options)
	granted(t, "the exchange", check(discovers, "POST", "https://gateway.example/v1/oauth/token"))
	const any = "https://gateway.example/any/v1/oauth/token"
	refused(t, "nobody names such a path", check(discovers, "POST", any))
	discovers.VariableWasRead("HOME", "/home/a")
	const profile = "/home/a/.config/anthropic/configs/a.json"
	discovers.FileWasRead(profile, `{"base_url": "https://gateway.example/any/"}`)
	granted(t, any, check(discovers, "POST", any))
	refused(t, "another path", check(discovers, "POST", strings.Replace(any, "any", "other", 1)))
	discovers.FileWasRead(profile,
		fmt.Sprintf(`{"base_url": "https://gateway.example/large", "x": "%s"}`, strings.Repeat("x", maxProfileBytes)))
	refused(t, "no profile is so large", check(discovers, "POST", strings.Replace(any, "any", "large", 1)))
	refused(t, "another path", check(discovers, "POST", "https://gateway.example/v1/files"))
	refused(t, "an empty segment", check(discovers, "POST", "https://gateway.example//v1/oauth/token"))
	escaped := made(t, `{"base_url": "https://gateway.example/a%2fb", "bearer": {"source": "callable"}}`, options)
	refused(t, "servers differ about an escape", check(escaped, "POST", "https://gateway.example/a%2fb/v1/oauth/token"))
	without := made(t, `{"bearer": {"source": "callable"}}`, options)
	refused(t, "no base_url", check(without, "POST", "https://api.anthropic.com/x/v1/oauth/token"))
}

func TestAVariableSaysThePathBeforeTheEndpoint(t *testing.T) {
	bare(t)
	asked := func(path string) *contract.HTTPRequest {
		return exchange(func(request *contract.HTTPRequest) { request.URL = api + path })
	}
	discovers := made(t, "{}", Options{})
	t.Setenv("ANTHROPIC_BASE_URL", api+"/claude/")
	granted(t, "the variable's", discovers.CheckRequest(asked("/claude/v1/oauth/token")))
	refused(t, "the usual one", discovers.CheckRequest(asked("/v1/oauth/token")))
	t.Setenv("ANTHROPIC_BASE_URL", "nonsense")
	refused(t, "what cannot be read", discovers.CheckRequest(asked("/v1/oauth/token")))
	// The configuration goes before the variable.
	granted(t, "the usual one", made(t, `{"bearer": {}}`, Options{}).CheckRequest(asked("/v1/oauth/token")))
	t.Setenv("ANTHROPIC_BASE_URL", " ")
	granted(t, "the usual one", discovers.CheckRequest(asked("/v1/oauth/token")))
}

func TestARequestForOneOriginDoesNotGoToAnotherThatIsAllowed(t *testing.T) {
	bare(t)
	const here, other = "http://127.0.0.1:8001", "http://127.0.0.1:8002"
	policy := made(t, "{}", Options{AllowOrigins: []string{here, other}})
	for _, url := range []string{
		other + "/v1/oauth/token", "http://127.0.0.1:8001@127.0.0.1:8002/v1/oauth/token", "http://user@127.0.0.1:8001/v1/oauth/token",
	} {
		refused(t, url, policy.CheckRequest(exchange(func(request *contract.HTTPRequest) { request.URL, request.Origin = url, here })))
	}
}

func TestAnExchangeHasItsOwnHeaderFieldsOnly(t *testing.T) {
	for _, name := range []string{"accept", "user-agent", "anthropic-beta"} {
		granted(t, name, checkExchangeField(contract.Header{Name: name, Value: "x"}))
	}
	granted(t, "content-type", checkExchangeField(contract.Header{Name: "content-type", Value: "application/json"}))
	for _, value := range []string{"multipart/form-data", "application/json; charset=x", "Application/JSON", ""} {
		refused(t, value, checkExchangeField(contract.Header{Name: "content-type", Value: value}))
	}
	for _, name := range []string{"x-api-key", "authorization", "cookie", "host", "content-length", "transfer-encoding", "upgrade", ""} {
		refused(t, name, checkExchangeField(contract.Header{Name: name, Value: "stolen"}))
	}
	policy := made(t, "{}", Options{})
	refused(t, "x-api-key", policy.CheckRequest(exchange(func(request *contract.HTTPRequest) {
		request.Headers = append(request.Headers, contract.Header{Name: "x-api-key", Value: "stolen"})
	})))
}
