package policy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"wif/internal/contract"
)

// What the configured source of identity tokens may ask for: what its recipe names, and nothing else. The recipe is read here, and not by
// the component. What only an answer can tell (a role's name, a token) is taken as it comes, but never for the server that a request goes to.

// anything stands in a text for what nobody knows before an answer.
const anything = "any0thing0"

// maxReadings is more readings of one value than a recipe can mean.
const maxReadings = 32

// lookup is the value of a variable, without white space around it; empty where it is not set.
type lookup func(name string) string

// source is one that the configuration names.
type source struct {
	recipe *recipe
	given  map[string]string
	// auto: it was found by its variables.
	auto bool
}

// discoveredSources are those whose variables are set, where discovery looks for the platform: the variables of a federation lack the
// identity token alone.
func discoveredSources(known lookup) []source {
	for _, name := range []string{"ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID"} {
		if known(name) == "" {
			return nil
		}
	}
	if known("ANTHROPIC_IDENTITY_TOKEN_FILE") != "" || known("ANTHROPIC_IDENTITY_TOKEN") != "" {
		return nil
	}
	return sourcesNamedBy(map[string]any{"source": "auto"}, known)
}

// sourcesNamedBy are those that `identity_token` of a configuration names: none, one, or with `auto` those whose variables are set.
func sourcesNamedBy(identityToken any, known lookup) []source {
	name, _ := member(identityToken, "source").(string)
	given := map[string]string{}
	for name, value := range object(identityToken) {
		if text, ok := value.(string); ok && name != "source" && name != "recipe" {
			given[name] = text
		}
	}
	switch name {
	case "http":
		own, ok := parseRecipe(member(identityToken, "recipe"))
		if !ok {
			return nil
		}
		// Whatever it calls itself: it must not pass for a platform.
		own.name = "http"
		return []source{{recipe: &own, given: given}}
	case "auto":
		var found []source
		for i := range platforms() {
			if recipe := &platforms()[i]; recipe.isDetected(known) {
				found = append(found, source{recipe: recipe, given: given, auto: true})
			}
		}
		return found
	}
	if recipe := platform(name); recipe != nil {
		return []source{{recipe: recipe, given: given}}
	}
	return nil
}

func (r *recipe) isDetected(known lookup) bool {
	return slices.ContainsFunc(r.detectedBy, func(set []string) bool {
		return all(set, func(name string) bool { return known(name) != "" })
	})
}

// isOwn says whether it is a recipe of the configuration's own, and no platform's.
func (s *source) isOwn() bool { return s.recipe.name == "http" }

func (s *source) readsVariable(name string, known lookup) bool {
	if s.auto && slices.ContainsFunc(s.recipe.detectedBy, func(set []string) bool { return slices.Contains(set, name) }) {
		return true
	}
	readings := s.readings(known)
	return slices.ContainsFunc(s.recipe.steps, func(step step) bool {
		return step.variable != nil && slices.Contains(step.variable.fill(readings, false), name)
	})
}

func (s *source) readsFile(path string, known lookup) bool {
	readings := s.readings(known)
	return slices.ContainsFunc(s.recipe.steps, func(step step) bool {
		return step.file != nil && slices.Contains(step.file.fill(readings, false), path)
	})
}

// checkRequest gives the file of the certificates that the server's must lead to, of a request that the recipe sends; it is empty where
// the platform's count. The error is the rule that refuses.
func (s *source) checkRequest(asked *contract.HTTPRequest, to address, known lookup) (caFile string, err error) {
	readings := s.readings(known)
	for _, step := range s.recipe.steps {
		if step.request == nil || !step.request.sends(asked, to, readings) {
			continue
		}
		// A Vault, an identity provider, the cluster's own API: the certificate says who answers.
		if to.origin.scheme != "https" && !isNear(to.origin) {
			return "", fmt.Errorf("plain http is for this machine and its metadata service only, not for %s", to.origin.host)
		}
		if step.request.caFile == nil {
			return "", nil
		}
		files := step.request.caFile.fill(readings, false)
		if len(files) == 0 || files[0] == "" {
			return "", errors.New("nothing says where the certificates of the source's server are")
		}
		return files[0], nil
	}
	// The query may hold a secret.
	return "", fmt.Errorf("the source %s sends no such request: %s %s%s", s.recipe.name, contract.Shown(asked.Method), to.origin.text, to.path)
}

// sends says whether this is the request that a recipe means.
func (r *request) sends(asked *contract.HTTPRequest, to address, readings readings) bool {
	if r.method != asked.Method || !r.hasBody && asked.Body != "" {
		return false
	}
	names := r.fieldNames()
	for _, field := range asked.Headers {
		if !slices.Contains(names, field.Name) {
			return false
		}
	}
	return slices.ContainsFunc(r.url.fill(readings, true), func(reading string) bool { return leadsTo(reading, r.query, to) })
}

// leadsTo says whether a URL is what the recipe means by `reading`: the same server, path and names in the query.
func leadsTo(reading string, query []string, to address) bool {
	meant, err := parseURL(reading)
	// What an answer tells must not choose the server.
	if err != nil || strings.Contains(meant.origin.host, anything) || meant.origin.text != to.origin.text {
		return false
	}
	wanted, path := segments(meant.path), segments(to.path)
	if !slices.EqualFunc(wanted, path, isSegment) {
		return false
	}
	known, ok := queryNames(meant.query)
	names, alike := queryNames(to.query)
	known = append(known, query...)
	return ok && alike && all(names, func(name string) bool { return slices.Contains(known, name) })
}

// segments are those of a path. None is as good as a slash.
func segments(path string) []string {
	if path == "" {
		path = "/"
	}
	return strings.Split(path, "/")
}

func isSegment(meant, segment string) bool {
	before, after, open := strings.Cut(meant, anything)
	if !open {
		return meant == segment
	}
	return len(segment) > len(before)+len(after) && strings.HasPrefix(segment, before) && strings.HasSuffix(segment, after)
}

// queryNames is not ok where readers disagree about a name.
func queryNames(query string) (names []string, ok bool) {
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// readings are all values that a run can know, by name.
type readings map[string][]string

func (r readings) add(name string, values ...string) {
	if name == "" {
		return
	}
	known := append(slices.Clone(r[name]), values...)
	slices.Sort(known)
	known = slices.Compact(known)
	r[name] = known[:min(len(known), maxReadings)]
}

// readings are with the variables as they are now.
func (s *source) readings(known lookup) readings {
	readings := readings{}
	for _, parameter := range s.recipe.parameters {
		value, given := s.given[parameter.name]
		if !given {
			value = parameter.byDefault
		}
		if given || value != "" {
			readings.add(parameter.name, value)
		}
	}
	for _, step := range s.recipe.steps {
		step.give(readings, known)
	}
	return readings
}

// give adds what a step gives.
func (s *step) give(readings readings, known lookup) {
	switch {
	case s.variable != nil:
		for _, name := range s.variable.fill(readings, false) {
			if value := known(name); value != "" {
				readings.add(s.name, value)
			}
		}
	case s.set != nil:
		for _, value := range s.set.fill(readings, false) {
			if s.encoded {
				value = percentEncoded(value)
			}
			readings.add(s.name, value)
		}
	case s.file != nil, s.signs:
		readings.add(s.name, anything)
	case s.request != nil:
		for _, name := range s.request.takes {
			readings.add(name, anything)
		}
	}
}

// fill gives all texts that a template can become.
func (t template) fill(readings readings, isURL bool) []string {
	texts := []string{""}
	for _, part := range t {
		var longer []string
		for _, text := range texts {
			if !part.hole {
				longer = append(longer, joined(text, part.text, isURL))
				continue
			}
			for _, value := range readings[part.text] {
				if isURL {
					value = inURL(text, value)
				}
				longer = append(longer, text+value)
			}
		}
		texts = longer[:min(len(longer), maxReadings)]
	}
	return texts
}

// joined adds what stands between holes. A base URL may end with a slash, and a path begins with one.
func joined(before, text string, isURL bool) string {
	if isURL && strings.HasPrefix(text, "/") && strings.HasSuffix(before, "/") && !strings.HasSuffix(before, "://") {
		before = before[:len(before)-1]
	}
	return before + text
}

// inURL is what a value becomes in a URL of which so much is there. It adds nothing to its structure, unless it is the beginning.
func inURL(before, value string) string {
	if before == "" {
		return value
	}
	isAddress := strings.Contains(value, ":") && only(value, func(c byte) bool { return isHexadecimal(c) || c == ':' })
	// An IPv6 address as a host (RFC 3986 section 3.2.2).
	if strings.HasSuffix(before, "://") && isAddress {
		return "[" + value + "]"
	}
	return percentEncoded(value)
}

// percentEncoded writes all but the unreserved characters of RFC 3986 section 2.3 as `%XX`.
func percentEncoded(text string) string {
	var encoded strings.Builder
	for i := range len(text) {
		c := text[i]
		if isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("-._~", c) >= 0 {
			encoded.WriteByte(c)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", c)
		}
	}
	return encoded.String()
}
