package policy

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wif/internal/contract"
)

// guests reads a list of what hostile components try.
func guests(t *testing.T, name string, list any) {
	t.Helper()
	rules := cmp.Or(os.Getenv("RULES"), "../../../../wit/rules.json")
	text, err := os.ReadFile(filepath.Join(filepath.Dir(rules), "../tests/guests", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, list); err != nil {
		t.Fatal(err)
	}
}

// attempt is one of attempts.json, which says what its members mean.
type attempt struct {
	Name, File, Variable, URL, Header, Value, Method, Purpose, Bytes, Fields string

	Origin         *string
	Discovers      bool
	IdentityToken  json.RawMessage `json:"identity_token"`
	AllowsSources  []string        `json:"allows_sources"`
	Answers        []string
	Sent, Carries  bool
	scheme, server string
}

func TestNoMoreThanIsGranted(t *testing.T) {
	bare(t)
	var document struct{ Attempts []attempt }
	guests(t, "attempts.json", &document)
	if len(document.Attempts) < 86 {
		t.Fatal(len(document.Attempts))
	}
	for _, server := range []string{"https://gateway.example", "http://127.0.0.1:8123"} {
		for _, attempt := range document.Attempts {
			t.Run(attempt.Name, func(t *testing.T) {
				attempt.scheme, attempt.server, _ = strings.Cut(server, "://")
				policy := made(t, attempt.configuration(), Options{AllowOrigins: []string{server}, AllowSources: attempt.AllowsSources})
				found := attempt.tried(policy)
				if !slices.Equal(found, attempt.Answers) {
					t.Errorf("%v, not %v", found, attempt.Answers)
				}
				if sent := found[2] == "response"; sent != attempt.Sent {
					t.Errorf("sent: %v", sent)
				}
			})
		}
	}
}

func (a *attempt) configuration() string {
	document := map[string]any{"base_url": a.filled("{api}")}
	switch {
	case a.Discovers:
		document["discover"] = map[string]any{"config_dir": "/etc/wif-profiles"}
	case a.IdentityToken != nil:
		document["federation"] = map[string]any{"identity_token": json.RawMessage(a.filled(string(a.IdentityToken)))}
	default:
		document["federation"] = map[string]any{"identity_token": map[string]any{"source": "file", "path": "/etc/hostname"}}
	}
	text, err := json.Marshal(document)
	must(err)
	return string(text)
}

func (a *attempt) filled(text string) string {
	return strings.NewReplacer("{api}", a.scheme+"://"+a.server, "{scheme}", a.scheme, "{authority}", a.server).Replace(text)
}

// tried is what a host answers that reads and sends whatever the policy lets it.
func (a *attempt) tried(policy *Policy) []string {
	answer := func(err error, otherwise string) string {
		if err != nil {
			return "denied"
		}
		return otherwise
	}
	return []string{
		answer(policy.CheckFile(a.unescaped(a.File)), "content"),
		answer(policy.CheckVariable(a.unescaped(a.Variable)), "content"),
		answer(policy.CheckRequest(a.request()), "response"),
	}
}

// request is that of the component `exfiltrating`.
func (a *attempt) request() *contract.HTTPRequest {
	origin := "{api}"
	if a.Origin != nil {
		origin = *a.Origin
	}
	request := &contract.HTTPRequest{
		Method:           cmp.Or(a.unescaped(a.Method), "POST"),
		URL:              a.unescaped(a.URL),
		Origin:           a.unescaped(origin),
		Headers:          []contract.Header{{Name: "content-type", Value: "application/json"}},
		Body:             "stolen: ",
		TimeoutMs:        5_000,
		MaxResponseBytes: 1_000,
	}
	purpose := cmp.Or(a.Purpose, "exchange")
	request.Purpose.Name = purpose
	if source, is := strings.CutPrefix(purpose, "source:"); is {
		request.Purpose = contract.Purpose{Name: "source", Source: source}
	}
	fields, err := strconv.Atoi(cmp.Or(a.Fields, "2"))
	must(err)
	for a.Header != "" && len(request.Headers) < fields {
		value := cmp.Or(a.unescaped(a.Value), "sk-ant-api03-of-the-attacker")
		request.Headers = append(request.Headers, contract.Header{Name: a.unescaped(a.Header), Value: value})
	}
	bytes, err := strconv.Atoi(cmp.Or(a.Bytes, "0"))
	must(err)
	request.Body += strings.Repeat("x", max(0, bytes-len(request.Body)))
	return request
}

func (a *attempt) unescaped(text string) string {
	parts := strings.Split(a.filled(text), "~")
	for i := 1; i < len(parts); i++ {
		code, err := strconv.ParseUint(parts[i][:2], 16, 8)
		must(err)
		parts[i] = string([]byte{byte(code)}) + parts[i][2:]
	}
	return strings.ToValidUTF8(strings.Join(parts, ""), "\uFFFD")
}

func TestATokenIsHeardForAnAllowedOriginAlone(t *testing.T) {
	bare(t)
	// What `lying` makes of an origin, by the word in outputs.json.
	lies := map[string]string{
		"origin":            "https://evil.example",
		"origin-look-alike": "https://api.anthropic.com@evil.example",
		"origin-dot":        api + ".",
		"origin-port":       api + ":444",
		"origin-path":       api + "/v1",
		"origin-query":      api + "?",
		"origin-user":       "https://user@api.anthropic.com",
		"origin-plain":      "http://api.anthropic.com",
		"origin-goes-on":    api + ".evil.example",
		"origin-alphabet":   "https://\u0430pi.anthropic.com",
		"origin-empty":      "",
		"origin-capitals":   "HTTPS://API.Anthropic.com:443",
	}
	var document struct {
		Outputs []struct{ Answer, Then string }
	}
	guests(t, "outputs.json", &document)
	policy, heard := made(t, "{}", Options{}), 0
	for _, output := range document.Outputs {
		if !strings.HasPrefix(output.Answer, "origin") {
			continue
		}
		heard++
		lie, known := lies[output.Answer]
		normalised, err := policy.CheckTokenOrigin(lie)
		if !known || (err == nil) != (output.Then == "served") || err == nil && normalised != api {
			t.Errorf("%s: %s, %v", output.Answer, normalised, err)
		}
	}
	if heard != len(lies) {
		t.Errorf("%d origins", heard)
	}
}

func TestAFieldOfALyingComponentIsNone(t *testing.T) {
	for _, field := range []contract.Header{
		{Name: "authorization", Value: "Bearer a\r\nx-api-key: b"}, {Name: "authorization", Value: "Bearer a\n b"},
		{Name: "authorization", Value: "Bearer a\x00"}, {Name: "authorization", Value: "Bearer é"}, {Name: "authorization", Value: "Bearer a "},
		{Name: "Authorization", Value: "a"}, {Name: "x api-key", Value: "a"}, {Name: "authorization ", Value: "a"},
		{Name: "authorization:", Value: "a"}, {Name: "", Value: "a"}, {Name: ":authority", Value: "a"}, {Name: "a\r\nb", Value: "a"},
	} {
		refused(t, field.Name+": "+field.Value, field.Check())
	}
	granted(t, "a field", contract.Header{Name: "authorization", Value: "Bearer a\tb"}.Check())
	granted(t, "an empty value", contract.Header{Name: "accept", Value: ""}.Check())
}
