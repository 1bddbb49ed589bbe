package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"wif/internal/contract"
)

// unset is an environment without variables.
func unset(string) string { return "" }

func variables(values map[string]string) lookup {
	return func(name string) string { return values[name] }
}

func named(t *testing.T, identityToken string, known lookup) *source {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(identityToken), &value); err != nil {
		t.Fatal(err)
	}
	sources := sourcesNamedBy(value, known)
	if len(sources) != 1 {
		t.Fatalf("%s names %d sources", identityToken, len(sources))
	}
	return &sources[0]
}

func asks(source *source, known lookup, method, url string, headers ...string) (caFile string, err error) {
	to, err := parseURL(url)
	if err != nil {
		return "", err
	}
	request := &contract.HTTPRequest{Method: method, URL: url}
	for _, name := range headers {
		request.Headers = append(request.Headers, contract.Header{Name: name, Value: "a"})
	}
	return source.checkRequest(request, to, known)
}

func second(_ string, err error) error { return err }

const identity = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity"

func TestARequestOfASourceIsOneThatTheRecipeSends(t *testing.T) {
	google := named(t, `{"source": "google"}`, unset)
	file, err := asks(google, unset, "GET", identity+"?audience=a&format=full", "metadata-flavor")
	if err != nil || file != "" {
		t.Error(file, err)
	}
	replaced := func(old, new string) string { return strings.Replace(identity, old, new, 1) }
	for _, one := range []struct {
		method, url string
		headers     []string
	}{
		{"POST", identity, []string{"metadata-flavor"}},
		{"get", identity, []string{"metadata-flavor"}},
		{"GET", replaced("/identity", "/token"), []string{"metadata-flavor"}},
		{"GET", identity + "/", []string{"metadata-flavor"}},
		{"GET", identity + "?audience=a&stolen=b", []string{"metadata-flavor"}},
		{"GET", identity + "?audience=a&%73tolen=b", []string{"metadata-flavor"}},
		{"GET", identity + "?Audience=a", []string{"metadata-flavor"}},
		{"GET", identity + "?stolen", []string{"metadata-flavor"}},
		{"GET", identity + "?=stolen", []string{"metadata-flavor"}},
		{"GET", identity + "?audience%=a", []string{"metadata-flavor"}},
		{"GET", identity + "#stolen", []string{"metadata-flavor"}},
		{"GET", replaced("//", "//stolen@"), []string{"metadata-flavor"}},
		{"GET", identity, []string{"metadata-flavor", "x-stolen"}},
		{"GET", identity, []string{"Metadata-Flavor"}},
		{"GET", replaced("google.internal", "google.internal.evil.example"), []string{"metadata-flavor"}},
		{"GET", replaced("http:", "https:"), []string{"metadata-flavor"}},
		{"GET", replaced(".internal", ".internal:81"), []string{"metadata-flavor"}},
		{"GET", replaced(".internal", ".internal."), []string{"metadata-flavor"}},
		{"GET", replaced("/default/", "/default/../default/"), []string{"metadata-flavor"}},
		{"GET", replaced("default", "%64efault"), []string{"metadata-flavor"}},
	} {
		refused(t, one.method+" "+one.url, second(asks(google, unset, one.method, one.url, one.headers...)))
	}
	granted(t, "an escaped name", second(asks(google, unset, "GET", identity+"?%61udience=a", "metadata-flavor")))
	if err := second(asks(google, unset, "GET", identity+"/?stolen=canary")); strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
}

func TestAnAnswerChoosesNoServer(t *testing.T) {
	const role = "http://169.254.169.254/latest/meta-data/iam/security-credentials/role-1"
	aws := named(t, `{"source": "aws", "region": "eu-central-1"}`, unset)
	granted(t, role, second(asks(aws, unset, "GET", role, "x-aws-ec2-metadata-token")))
	for _, url := range []string{
		role + "/more", strings.TrimSuffix(role, "/role-1"), "http://169.254.169.254/latest/user-data",
		strings.Replace(role, "role-1", "..", 1), strings.Replace(role, "role-1", "%2e%2e", 1),
		strings.Replace(role, "role-1", "..%2f..%2fuser-data", 1), strings.Replace(role, "role-1", "a%0d%0ab", 1),
	} {
		refused(t, url, second(asks(aws, unset, "GET", url, "x-aws-ec2-metadata-token")))
	}
	own := named(t, `{"source": "http", "recipe": {
		"name": "aws", "freshness": "minted", "token": "{token}", "steps": [
			{"request": {"method": "GET", "url": "https://ci.example/where", "take": {"server": "body"}}},
			{"request": {"method": "GET", "url": "https://{server}/token", "take": {"token": "body"}}},
			{"request": {"method": "GET", "url": "https://ci.example:{server}/token", "take": {"token": "body"}}},
			{"request": {"method": "GET", "url": "https://{server}.example/token", "take": {"token": "body"}}},
			{"request": {"method": "GET", "url": "{server}", "take": {"token": "body"}}}
		]}}`, unset)
	if own.recipe.name != "http" || !own.isOwn() {
		t.Error("it must not pass for a platform")
	}
	part := named(t, `{"source": "http", "recipe": {
		"name": "a", "freshness": "minted", "token": "{token}", "steps": [
			{"file": "/run/a", "as": "a"},
			{"request": {"method": "GET", "url": "https://ci.example/x{a}x/token", "take": {"token": "body"}}}
		]}}`, unset)
	granted(t, "a part of a segment", second(asks(part, unset, "GET", "https://ci.example/xax/token")))
	for _, url := range []string{"https://ci.example/x/token", "https://ci.example/xx/token", "https://ci.example/xay/token", "https://ci.example/xa/x/token"} {
		refused(t, url, second(asks(part, unset, "GET", url)))
	}
	granted(t, "where", second(asks(own, unset, "GET", "https://ci.example/where")))
	for _, url := range []string{
		"https://evil.example/token", "https://evil.example/", "https://any0thing0/token", "https://ANY0THING0/token",
		"https://any0thing0.example/token", "https://ci.example:8080/token",
	} {
		refused(t, url, second(asks(own, unset, "GET", url)))
	}
}

func TestPlainHTTPStaysNear(t *testing.T) {
	asked := func(base string) error {
		url := base + "/token"
		source := named(t, fmt.Sprintf(`{"source": "client-credentials", "token_url": %q, "client_id": "c", "client_secret_variable": "S"}`, url), unset)
		return second(asks(source, unset, "POST", url, "authorization", "content-type"))
	}
	for _, base := range []string{
		"https://idp.example", "http://127.0.0.1:8080", "http://127.9.9.9", "http://localhost", "http://[::1]", "http://169.254.170.2",
		"http://[fd00:ec2::23]", "https://169.254.169.254", "http://metadata.google.internal", "http://[::ffff:169.254.169.254]",
	} {
		granted(t, base, asked(base))
	}
	for _, base := range []string{
		"http://idp.example", "http://10.0.0.1", "http://[fd00::1]", "http://localhost.evil.example", "http://8.8.8.8", "http://0.0.0.0",
		"http://[::ffff:127.0.0.1]", "http://metadata.google.internal.evil.example", "http://[fd00:ec3::23]", "http://169.255.0.1",
	} {
		refused(t, base, asked(base))
	}
}

func TestFilesAndVariablesAreThoseOfTheRecipe(t *testing.T) {
	vault := named(t, `{"source": "vault", "role": "r", "login_role": "app", "login_file": "/run/pod"}`, unset)
	if !vault.readsFile("/run/pod", unset) || !vault.readsVariable("VAULT_TOKEN", unset) {
		t.Error("it reads them")
	}
	for _, path := range []string{"/etc/shadow", "/run/pod2", "/run/../run/pod", ""} {
		if vault.readsFile(path, unset) {
			t.Error(path)
		}
	}
	if vault.readsVariable("AWS_SECRET_ACCESS_KEY", unset) || vault.readsVariable("", unset) {
		t.Error("it reads no other")
	}
	for _, name := range []string{"file", "callable", "nonsense", "Vault", "", "http"} {
		if sources := sourcesNamedBy(map[string]any{"source": name}, unset); sources != nil {
			t.Errorf("%s: %d", name, len(sources))
		}
	}
	for _, none := range []any{nil, "aws", []any{"aws"}, map[string]any{"Source": "aws"}, map[string]any{"source": []any{"aws"}}} {
		if sources := sourcesNamedBy(none, unset); sources != nil {
			t.Errorf("%v: %d", none, len(sources))
		}
	}
}

func TestAVariableFillsARecipe(t *testing.T) {
	known := variables(map[string]string{
		"AZURE_TENANT_ID": "t/../x", "AZURE_AUTHORITY_HOST": "https://login.example/", "AZURE_FEDERATED_TOKEN_FILE": "/run/azure",
		"KUBERNETES_SERVICE_HOST": "fd00::1", "VAULT_ADDR": "https://vault.example:8200",
	})
	azure := named(t, `{"source": "azure-workload", "resource": "r"}`, known)
	if !azure.readsFile("/run/azure", known) || azure.readsFile("/run/azure", unset) {
		t.Error("the variable names the file")
	}
	// What a variable says adds nothing to a URL's structure.
	refused(t, "a path that climbs", second(asks(azure, known, "POST", "https://login.example/t/../x/oauth2/v2.0/token")))
	refused(t, "another server", second(asks(azure, known, "POST", "https://login.microsoftonline.com/t/oauth2/v2.0/token")))
	kubernetes := named(t, `{"source": "kubernetes", "service_account": "a", "namespace": "n", "directory": "/run/pod"}`, known)
	const cluster = "https://[fd00::1]:443/api/v1/namespaces/n/serviceaccounts/a/token"
	file, err := asks(kubernetes, known, "POST", cluster, "authorization", "content-type")
	if err != nil || file != "/run/pod/ca.crt" {
		t.Error(file, err)
	}
	vault := named(t, `{"source": "vault", "role": "a b"}`, known)
	granted(t, "the variable's server", second(asks(vault, known, "GET", "https://vault.example:8200/v1/identity/oidc/token/a%20b")))
	refused(t, "nothing names the server", second(asks(vault, unset, "GET", "https://vault.example:8200/v1/identity/oidc/token/a%20b")))
}

func TestAutoIsThePlatformsWhoseVariablesAreSet(t *testing.T) {
	all := func(known lookup) string {
		var names []string
		for _, source := range sourcesNamedBy(map[string]any{"source": "auto"}, known) {
			names = append(names, source.recipe.name)
			if !source.auto || source.isOwn() {
				t.Errorf("%+v", source)
			}
		}
		return strings.Join(names, " ")
	}
	if found := all(unset); found != "" {
		t.Error(found)
	}
	if found := all(variables(map[string]string{"AWS_ROLE_ARN": "a", "FLY_MACHINE_ID": "a"})); found != "" {
		t.Error(found)
	}
	set := map[string]string{"FLY_MACHINE_ID": "a", "FLY_API_TOKEN": "a", "K_SERVICE": "a", "K_REVISION": "a"}
	if found := all(variables(set)); found != "fly google" {
		t.Error(found)
	}
}

func TestDiscoveryAsksThePlatformWhereOnlyTheIdentityTokenIsMissing(t *testing.T) {
	bare(t)
	ids := []string{"ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID"}
	for _, name := range append(ids, "FLY_MACHINE_ID", "FLY_API_TOKEN") {
		t.Setenv(name, "a")
	}
	reads := func(configuration string, options Options) bool {
		policy := made(t, configuration, options)
		// A variable that detects the platform, and one that its recipe reads.
		machine, host := policy.CheckVariable("FLY_MACHINE_ID") == nil, policy.CheckVariable("FLY_API_HOSTNAME") == nil
		if machine != host {
			t.Error(machine, host)
		}
		return host
	}
	if !reads("{}", Options{}) || !reads(`{"federation": {"identity_token": {"source": "auto"}}}`, Options{}) {
		t.Error("the platform is asked")
	}
	if reads("{}", Options{AllowSources: []string{"aws"}}) || reads(federation, Options{}) || reads(`{"bearer": {}}`, Options{}) {
		t.Error("the platform is not asked")
	}
	refused(t, "another platform", made(t, "{}", Options{}).CheckVariable("AWS_SECRET_ACCESS_KEY"))
	for _, name := range []string{"ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "a")
		if reads("{}", Options{}) {
			t.Error("there is an identity token")
		}
		t.Setenv(name, " ")
	}
	for _, name := range ids {
		t.Setenv(name, "")
		if reads("{}", Options{}) {
			t.Error("it is no federation")
		}
		t.Setenv(name, "a")
	}
}

func TestThePlatformsHaveRecipes(t *testing.T) {
	if many := len(platforms()); many != 17 {
		t.Error(many)
	}
	for _, recipe := range platforms() {
		if recipe.name == "http" || recipe.name == "auto" || len(recipe.steps) == 0 || platform(recipe.name) == nil {
			t.Errorf("%+v", recipe)
		}
	}
}

func TestARecipeThatTheComponentWouldNotTakeNamesNothing(t *testing.T) {
	const request = `{"method": "GET", "url": "https://ci.example/token", "take": {"token": "body"}}`
	recipe := func(members string) any {
		var value any
		text := `{"name": "a", "freshness": "minted", "token": "{token}", "steps": [{"request": ` + request + `}]` + members + `}`
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return value
	}
	for _, members := range []string{
		"", `, "title": "A", "repeats": "b", "detect": [["A", "B"]], "parameters": {"a_1": {"default": "b", "required": true, "description": 1}}`,
		`, "token": "{a}", "parameters": {"a": {}}, "steps": []`,
		`, "token": "{a}", "steps": [{"variable": "A", "as": "a", "optional": true, "absent": "b"}]`,
		`, "token": "{b}", "steps": [{"file": "/a", "as": "a"}, {"set": "{a}", "as": "b", "encoded": true, "when": ["a"], "unless": ["a"]}]`,
		`, "token": "{a}", "steps": [{"sign": {"key": "a", "algorithm": "a", "key_id": "a", "issuer": "a", "subject": "a", "audience": "a"}, "as": "a"}]`,
		`, "token": "a", "steps": [{"fail": "a"}]`,
		`, "token": "a", "steps": [{"request": {"method": "PUT", "url": "a", "json": null, "query": {"A": "a"}, "headers": {"a-1": "b"}, "ca_file": "/a",
			"refusals": {"401": "b"}, "take": {"a": "/b", "c": "xml:D"}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "POST", "url": "a", "form": {},
			"aws": {"service": "a", "region": "a", "key_id": "a", "secret": "a", "session": "a"}}}]`,
	} {
		if _, ok := parseRecipe(recipe(members)); !ok {
			t.Errorf("%s is refused", members)
		}
	}
	for _, members := range []string{
		`, "name": ""`, `, "name": 1`, `, "freshness": "other"`, `, "unknown": 1`, `, "$schema": "a"`, `, "Name": "a"`, `, "title": ""`,
		`, "detect": {}`, `, "detect": ["A"]`, `, "detect": [[1]]`, `, "parameters": []`, `, "parameters": {"A": {}}`, `, "parameters": {"a": 1}`,
		`, "parameters": {"a": {"default": ""}}`, `, "parameters": {"a": {"required": "yes"}}`, `, "parameters": {"a": {"more": 1}}`,
		`, "steps": {}`, `, "steps": ["a"]`, `, "steps": [{}]`, `, "token": "{unknown}"`, `, "token": "{"`, `, "token": "}"`, `, "token": ""`,
		`, "token": "a", "steps": [` + strings.Repeat(`{"fail": "a"}, `, 64) + `{"fail": "a"}]`,
		`, "token": "a", "steps": [{"variable": "A"}]`, `, "token": "a", "steps": [{"variable": "A", "as": "B"}]`,
		`, "token": "a", "steps": [{"variable": "", "as": "a"}]`, `, "token": "a", "steps": [{"variable": "A", "as": "a", "file": "/a"}]`,
		`, "token": "a", "steps": [{"variable": "{b}", "as": "a"}]`, `, "token": "a", "steps": [{"fail": "a", "as": "a"}]`,
		`, "token": "a", "steps": [{"fail": ""}]`, `, "token": "a", "steps": [{"fail": "a", "when": ["b"]}]`,
		`, "token": "a", "steps": [{"fail": "a", "unless": "b"}]`, `, "token": "a", "steps": [{"fail": "a", "optional": 1}]`,
		`, "token": "a", "steps": [{"file": "/a", "as": "a", "encoded": true}]`, `, "token": "a", "steps": [{"sign": {}, "as": "a"}]`,
		`, "token": "a", "steps": [{"request": 1}]`, `, "token": "a", "steps": [{"request": ` + request + `, "as": "a"}]`,
		`, "token": "a", "steps": [{"request": {"method": "DELETE", "url": "a"}}]`, `, "token": "a", "steps": [{"request": {"method": "GET"}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "headers": {"Host": "a"}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "headers": {"host": "a"}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "headers": {"a": 1}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "form": {}, "json": {}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "form": null}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "json": [{"a": "{b}"}]}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "take": {"a": "b"}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "take": {"A": "body"}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "take": {"a": "xml:"}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "aws": {}}}]`,
		`, "token": "a", "steps": [{"request": {"method": "GET", "url": "a", "more": 1}}]`,
	} {
		if _, ok := parseRecipe(recipe(members)); ok {
			t.Errorf("%s is taken", members)
		}
	}
	for _, none := range []any{nil, "a", 1.0, []any{}} {
		if _, ok := parseRecipe(none); ok {
			t.Errorf("%v is taken", none)
		}
	}
}

func TestWhatFillsAURLAddsNothingToItsStructure(t *testing.T) {
	readings := readings{"url": {"https://ci.example/t?id=1"}, "audience": {api}, "empty": {""}, "base": {"https://login.example/"},
		"address": {"fd00::1"}, "two": {"a", "b"}}
	filled := func(text string, isURL bool) string {
		parts, ok := parseTemplate(text)
		if !ok {
			t.Fatal(text)
		}
		return strings.Join(parts.fill(readings, isURL), " ")
	}
	for text, expected := range map[string]string{
		"{url}&audience={audience}":         "https://ci.example/t?id=1&audience=https%3A%2F%2Fapi.anthropic.com",
		"{base}/tenant":                     "https://login.example/tenant",
		"https://{address}:443/{address}":   "https://[fd00::1]:443/fd00%3A%3A1",
		"https://{url}/":                    "https://https%3A%2F%2Fci.example%2Ft%3Fid%3D1/",
		"https://{two}.example/{two}":       "https://a.example/a https://a.example/b https://b.example/a https://b.example/b",
		"https://a.example/{missing}/{two}": "",
	} {
		if found := filled(text, true); found != expected {
			t.Errorf("%s: %s", text, found)
		}
	}
	for text, expected := range map[string]string{"for {audience}!": "for " + api + "!", "{empty}": "", "no hole": "no hole", "{url}{missing}": ""} {
		if found := filled(text, false); found != expected {
			t.Errorf("%s: %s", text, found)
		}
	}
	for _, text := range []string{"{", "}", "a{b", "a}b", "{}", "{A}", "{a b}", "}{a}", "{a}}", "{" + strings.Repeat("a", 65) + "}"} {
		if _, ok := parseTemplate(text); ok {
			t.Errorf("%s is taken", text)
		}
	}
	if found := percentEncoded(api + "?a=b&c#ü"); found != "https%3A%2F%2Fapi.anthropic.com%3Fa%3Db%26c%23%C3%BC" {
		t.Error(found)
	}
	if found := percentEncoded("aZ0-._~!@[`{é"); found != "aZ0-._~%21%40%5B%60%7B%C3%A9" {
		t.Error(found)
	}
	// No more readings than a recipe can mean.
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	readings.add("many", many...)
	if found := len(readings["many"]); found != maxReadings {
		t.Error(found)
	}
	parts, _ := parseTemplate("{many}{many}{many}")
	if found := len(parts.fill(readings, false)); found != maxReadings {
		t.Error(found)
	}
}
