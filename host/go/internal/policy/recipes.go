package policy

import (
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"wif/internal/embedded"
)

// recipe is how an identity token is got, as far as it matters here: which variables, files and requests there are. Its reference is
// wit/recipe.schema.json.
type recipe struct {
	name       string
	parameters []parameter
	// detectedBy is variables by which the platform is recognised: one of these sets, each wholly set.
	detectedBy [][]string
	steps      []step
}

type parameter struct {
	name, byDefault string
}

// step does one of these.
type step struct {
	name                string
	variable, file, set template
	encoded, signs      bool
	request             *request
}

type request struct {
	method       string
	url, caFile  template
	query        []string
	headers      []string
	takes        []string
	hasBody, aws bool
}

// fieldNames are those of all header fields that the request can have.
func (r *request) fieldNames() []string {
	names := slices.Clone(r.headers)
	if r.aws {
		names = append(names, "authorization", "x-amz-date", "x-amz-security-token")
	}
	if r.hasBody {
		names = append(names, "content-type")
	}
	return names
}

// platforms are the recipes of all platforms, in alphabetical order.
var platforms = sync.OnceValue(func() []recipe {
	paths, err := fs.Glob(embedded.Platforms, "platforms/*.json")
	must(err)
	var known []recipe
	for _, path := range paths {
		text, err := embedded.Platforms.ReadFile(path)
		must(err)
		var document map[string]any
		must(json.Unmarshal(text, &document))
		// They are for whoever reads the document.
		delete(document, "$schema")
		delete(document, "$comment")
		parsed, ok := parseRecipe(document)
		if !ok {
			panic(path + " is no recipe")
		}
		known = append(known, parsed)
	}
	return known
})

// The recipes are part of the program.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// platform is the recipe of this name; nil where there is none.
func platform(name string) *recipe {
	known := platforms()
	at := slices.IndexFunc(known, func(recipe recipe) bool { return recipe.name == name })
	if at < 0 {
		return nil
	}
	return &known[at]
}

// parseRecipe reads a document. It is not ok where the component would not take it.
func parseRecipe(document any) (parsed recipe, ok bool) {
	reading := &reading{}
	members := reading.object(document)
	parsed.name = members.text("name")
	members.optionalText("title")
	if freshness := members.text("freshness"); freshness != "shared" && freshness != "minted" {
		reading.fault = true
	}
	members.optionalText("repeats")
	parsed.parameters = members.parameters()
	for _, set := range members.list("detect") {
		parsed.detectedBy = append(parsed.detectedBy, reading.names(set))
	}
	steps := members.list("steps")
	// More steps than any way to a token takes.
	if len(steps) > 64 {
		reading.fault = true
	}
	for _, one := range steps {
		parsed.steps = append(parsed.steps, reading.step(one))
	}
	members.template("token")
	members.finish()
	return parsed, !reading.fault
}

// reading is what is shared by all that is read of one document.
type reading struct {
	// known are the names of values that what is read next may need.
	known []string
	fault bool
}

// members are an object being read. Each that nobody asked for is a fault in the end.
type members struct {
	*reading
	values map[string]any
	asked  []string
}

func (r *reading) object(value any) *members {
	values, ok := value.(map[string]any)
	r.fault = r.fault || !ok
	return &members{reading: r, values: values}
}

func (m *members) finish() {
	for name := range m.values {
		if !slices.Contains(m.asked, name) {
			m.fault = true
		}
	}
}

func (m *members) has(name string) bool {
	_, there := m.values[name]
	return there
}

func (m *members) take(name string) (value any, there bool) {
	m.asked = append(m.asked, name)
	value, there = m.values[name]
	return value, there
}

func (m *members) optionalText(name string) string {
	value, there := m.take(name)
	text, _ := value.(string)
	m.fault = m.fault || there && text == ""
	return text
}

func (m *members) text(name string) string {
	text := m.optionalText(name)
	m.fault = m.fault || text == ""
	return text
}

func (m *members) boolean(name string) bool {
	value, there := m.take(name)
	said, ok := value.(bool)
	m.fault = m.fault || there && !ok
	return said
}

func (m *members) list(name string) []any {
	value, there := m.take(name)
	list, ok := value.([]any)
	m.fault = m.fault || there && !ok
	return list
}

func (m *members) inside(name string) *members {
	value, there := m.take(name)
	if !there {
		return nil
	}
	return m.object(value)
}

// texts are the members of an object of texts.
func (m *members) texts(name string) map[string]string {
	inside := m.inside(name)
	if inside == nil {
		return nil
	}
	texts := map[string]string{}
	for name, value := range inside.values {
		text, ok := value.(string)
		m.fault = m.fault || !ok
		texts[name] = text
	}
	return texts
}

// templates are the names in an object of templates.
func (m *members) templates(name string) []string {
	texts := m.texts(name)
	for _, text := range texts {
		m.check(text)
	}
	return slices.Sorted(maps.Keys(texts))
}

func (m *members) template(name string) template { return m.check(m.text(name)) }

func (m *members) optionalTemplate(name string) template { return m.check(m.optionalText(name)) }

// allTemplates are all members that there may be.
func (m *members) allTemplates(names ...string) {
	for _, name := range names {
		m.template(name)
	}
	m.finish()
}

// check takes a template of which every hole is known.
func (r *reading) check(text string) template {
	parts, ok := parseTemplate(text)
	r.fault = r.fault || !ok
	for _, part := range parts {
		if part.hole && !slices.Contains(r.known, part.text) {
			r.fault = true
		}
	}
	return parts
}

func (r *reading) checkJSON(value any) {
	switch value := value.(type) {
	case string:
		r.check(value)
	case []any:
		for _, item := range value {
			r.checkJSON(item)
		}
	case map[string]any:
		for _, item := range value {
			r.checkJSON(item)
		}
	}
}

func (r *reading) names(value any) []string {
	list, ok := value.([]any)
	r.fault = r.fault || !ok
	var names []string
	for _, item := range list {
		name, ok := item.(string)
		r.fault = r.fault || !ok
		names = append(names, name)
	}
	return names
}

func (m *members) knownNames(name string) {
	value, there := m.take(name)
	if !there {
		return
	}
	for _, listed := range m.names(value) {
		if !slices.Contains(m.known, listed) {
			m.fault = true
		}
	}
}

func (m *members) parameters() []parameter {
	inside := m.inside("parameters")
	if inside == nil {
		return nil
	}
	var parameters []parameter
	for _, name := range slices.Sorted(maps.Keys(inside.values)) {
		m.fault = m.fault || !isValueName(name)
		about := m.object(inside.values[name])
		parameters = append(parameters, parameter{name: name, byDefault: about.optionalText("default")})
		about.boolean("required")
		about.take("description")
		about.finish()
		m.known = append(m.known, name)
	}
	return parameters
}

func (r *reading) step(value any) step {
	members := r.object(value)
	parsed := step{name: members.optionalText("as")}
	members.boolean("optional")
	members.knownNames("when")
	members.knownNames("unless")
	members.optionalText("absent")
	var gives []string
	if parsed.name != "" {
		gives = append(gives, parsed.name)
	}
	named := true
	switch {
	case members.has("variable"):
		parsed.variable = members.template("variable")
	case members.has("file"):
		parsed.file = members.template("file")
	case members.has("set"):
		parsed.set, parsed.encoded = members.template("set"), members.boolean("encoded")
	case members.has("request"):
		named = false
		parsed.request = members.inside("request").request()
		gives = append(gives, parsed.request.takes...)
	case members.has("sign"):
		parsed.signs = true
		members.inside("sign").allTemplates("key", "algorithm", "key_id", "issuer", "subject", "audience")
	default:
		named = false
		members.text("fail")
	}
	r.fault = r.fault || named != (parsed.name != "") || !all(gives, isValueName)
	r.known = append(r.known, gives...)
	members.finish()
	return parsed
}

func (m *members) request() *request {
	parsed := &request{method: m.text("method"), url: m.template("url"), query: m.templates("query"), headers: m.templates("headers")}
	m.fault = m.fault || !slices.Contains([]string{"GET", "POST", "PUT"}, parsed.method) || !all(parsed.headers, mayBeSet)
	parsed.caFile = m.optionalTemplate("ca_file")
	json, hasJSON := m.take("json")
	m.fault = m.fault || hasJSON && m.has("form")
	parsed.hasBody = hasJSON || m.has("form")
	m.templates("form")
	m.checkJSON(json)
	for name, place := range m.texts("take") {
		m.fault = m.fault || !isPlace(place)
		parsed.takes = append(parsed.takes, name)
	}
	slices.Sort(parsed.takes)
	m.texts("refusals")
	if aws := m.inside("aws"); aws != nil {
		parsed.aws = true
		aws.allTemplates("service", "region", "key_id", "secret", "session")
	}
	m.finish()
	return parsed
}

// isPlace says whether a value can be taken from there: the body, a JSON pointer, or an element of XML.
func isPlace(text string) bool {
	name, isXML := strings.CutPrefix(text, "xml:")
	plain := only(name, func(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' })
	return text == "body" || strings.HasPrefix(text, "/") || isXML && name != "" && plain
}

// mayBeSet says whether a recipe may have this header field. What the transport sets itself is none of its business.
func mayBeSet(name string) bool {
	transport := []string{"host", "content-length", "connection", "transfer-encoding", "expect", "upgrade", "te"}
	return name != "" && only(name, func(c byte) bool { return isLowerOrDigit(c) || c == '-' }) && !slices.Contains(transport, name)
}

// isValueName says whether a value can have this name.
func isValueName(name string) bool {
	return name != "" && len(name) <= 64 && only(name, func(c byte) bool { return isLowerOrDigit(c) || c == '_' })
}

func all(texts []string, is func(string) bool) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return !is(text) })
}

// template is a text with holes, each the name of a value in braces: `Bearer {token}`.
type template []part

type part struct {
	text string
	hole bool
}

// parseTemplate gives nil for an empty text.
func parseTemplate(text string) (parts template, ok bool) {
	for text != "" {
		before, after, more := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return nil, false
		}
		if before != "" {
			parts = append(parts, part{text: before})
		}
		if !more {
			break
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed || !isValueName(name) {
			return nil, false
		}
		parts = append(parts, part{text: name, hole: true})
		text = rest
	}
	return parts, true
}
