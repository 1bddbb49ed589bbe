package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"wif/internal/contract"
	"wif/internal/files"
)

// defaultAudience is that of identity tokens, unless the configuration says another.
const defaultAudience = "https://api.anthropic.com"

// maxProfileBytes: a profile is no larger.
const maxProfileBytes = 64 << 10

// profileDirectories are below what profiles are looked for, where nobody has chosen a directory: a variable, and what follows its value.
var profileDirectories = [][2]string{{"HOME", ".config/anthropic"}, {"XDG_CONFIG_HOME", "anthropic"}, {"APPDATA", "Anthropic"}}

// grants is what one configuration needs of its host, and nothing else. A component that was tampered with must not get more of what the
// embedding program allows than its work takes.
type grants struct {
	// discovers: variables and profiles are looked at.
	discovers bool
	// configDir is the directory of profiles, file and variable are those of the identity token: nil where the configuration names none.
	configDir, file, variable *string
	identityToken             any
	executable                *executable
	base                      base
	told                      told
}

// base is what the configuration says of base_url.
type base struct {
	// named: there is one. It is empty where it cannot be read, and then no origin is it.
	named  bool
	origin string
	path   string
	// settled: the path is known without variables and profiles.
	settled bool
}

// executable is a program, as the configuration names it.
type executable struct {
	command, environment []string
	audience             string
}

// told is what was handed over: variables, by name, and what profiles name.
type told struct {
	variables                              map[string]string
	identityTokens, credentials, basePaths map[string]bool
}

// newGrants is what this configuration document names. One that is none names nothing, and the component will refuse it.
func newGrants(configuration string) grants {
	document := parsed(configuration)
	identityToken := member(member(document, "federation"), "identity_token")
	_, federates := object(document)["federation"]
	_, bears := object(document)["bearer"]
	named := grants{
		discovers:     object(document) != nil && !federates && !bears,
		configDir:     text(member(member(document, "discover"), "config_dir")),
		identityToken: identityToken,
		executable:    executableNamedBy(identityToken),
		told: told{
			variables:      map[string]string{},
			identityTokens: map[string]bool{},
			credentials:    map[string]bool{},
			basePaths:      map[string]bool{},
		},
	}
	switch member(identityToken, "source") {
	case "file":
		named.file = text(member(identityToken, "path"))
	case "variable":
		named.variable = text(member(identityToken, "name"))
	}
	named.base.settled = !named.discovers
	if url := text(member(document, "base_url")); url != nil {
		named.base = base{named: true, settled: true}
		if place, path, err := parseBase(*url); err == nil {
			named.base.origin, named.base.path = place.text, path
		}
	}
	return named
}

// executableNamedBy is the program that `identity_token` of a configuration names; nil where it names none.
func executableNamedBy(identityToken any) *executable {
	command := texts(member(identityToken, "command"))
	if member(identityToken, "source") != "executable" || len(command) == 0 {
		return nil
	}
	program := executable{command: command, environment: texts(member(identityToken, "environment")), audience: defaultAudience}
	if audience := text(member(identityToken, "audience")); audience != nil {
		program.audience = *audience
	}
	return &program
}

// known is the value of a variable, without white space around it; empty where it is not set. What was handed over goes before what the
// environment says now.
func (g *grants) known(name string) string {
	value, there := g.told.variables[name]
	if !there {
		value = variable(name)
	}
	return strings.TrimSpace(value)
}

// sources are those that the configuration names by their recipes, or discovery finds by their variables.
func (g *grants) sources() []source {
	if g.discovers {
		return discoveredSources(g.known)
	}
	return sourcesNamedBy(g.identityToken, g.known)
}

func (g *grants) checkVariable(name string) error {
	named := g.variable != nil && *g.variable == name || g.discovers && slices.Contains(contract.Authority.Variables, name)
	ofRecipe := func(source source) bool { return source.readsVariable(name, g.known) }
	if named || slices.ContainsFunc(g.sources(), ofRecipe) {
		return nil
	}
	return fmt.Errorf("the configuration does not name the variable %s, and discovery does not read it", contract.Shown(name))
}

func (g *grants) checkFile(path string) error {
	_, profile := g.directoryOfProfile(path)
	if g.file != nil && *g.file == path || profile || g.isCredentials(path) || g.isNamedElsewhere(path) || g.sourceOfFile(path) != "" {
		return nil
	}
	return fmt.Errorf("the configuration does not name the file %s, and discovery does not read it", contract.Shown(path))
}

// platformOf is the platform whose recipe reads this variable; empty where there is none. It needs no other leave than that of the source.
func (g *grants) platformOf(variable string) string {
	for _, source := range g.sources() {
		if !source.isOwn() && source.readsVariable(variable, g.known) {
			return source.recipe.name
		}
	}
	return ""
}

// sourceOfFile is the source whose recipe reads this file; empty where there is none.
func (g *grants) sourceOfFile(path string) string {
	for _, source := range g.sources() {
		if source.readsFile(path, g.known) {
			return source.recipe.name
		}
	}
	return ""
}

// checkSource is source.checkRequest of the source that the configuration names.
func (g *grants) checkSource(asked *contract.HTTPRequest, to address) (caFile string, err error) {
	for _, source := range g.sources() {
		if source.recipe.name == asked.Purpose.Source {
			return source.checkRequest(asked, to, g.known)
		}
	}
	return "", fmt.Errorf("the configuration does not name the source %s", contract.Shown(asked.Purpose.Source))
}

// absolute is the path as this process reads it: a relative one begins where the program was started.
func absolute(path string) string {
	if absolute, known := files.Absolute(path); known {
		return absolute
	}
	return path
}

// directoryOfProfile is the directory of profiles that this file of discovery is in: `active_config`, or a profile.
func (g *grants) directoryOfProfile(path string) (directory string, is bool) {
	for _, directory := range g.directories() {
		name, below := strings.CutPrefix(path, directory+"/")
		profile, inConfigs := strings.CutPrefix(name, "configs/")
		profile, isJSON := strings.CutSuffix(profile, ".json")
		if below && (name == "active_config" || inConfigs && isJSON && isFileName(profile)) {
			return absolute(directory), true
		}
	}
	return "", false
}

// isCredentials says whether this is the credentials file of a profile.
func (g *grants) isCredentials(path string) bool {
	for _, directory := range g.directories() {
		name, below := strings.CutPrefix(path, directory+"/credentials/")
		name, isJSON := strings.CutSuffix(name, ".json")
		if below && isJSON && isFileName(name) && !strings.HasPrefix(name, ".") {
			return true
		}
	}
	return g.discovers && g.told.credentials[path]
}

func isFileName(name string) bool { return name != "" && !strings.Contains(name, "/") }

// isNamedElsewhere says whether a variable or a profile names this file as the identity token's.
func (g *grants) isNamedElsewhere(path string) bool {
	byVariable := g.known("ANTHROPIC_IDENTITY_TOKEN_FILE")
	return g.discovers && (byVariable != "" && g.expanded(byVariable) == path || g.told.identityTokens[path])
}

// directories are those of profiles. There are none where the configuration names the credential.
func (g *grants) directories() []string {
	if !g.discovers {
		return nil
	}
	chosen := g.known("ANTHROPIC_CONFIG_DIR")
	if g.configDir != nil {
		chosen = strings.TrimSpace(*g.configDir)
	}
	if chosen != "" {
		// The root is nobody's directory of profiles.
		if chosen = strings.TrimRight(chosen, "/"); chosen == "" {
			return nil
		}
		return []string{chosen}
	}
	var usual []string
	for _, one := range profileDirectories {
		if directory := g.known(one[0]); directory != "" && g.configDir == nil {
			usual = append(usual, below(directory, one[1]))
		}
	}
	return usual
}

// profileWasRead takes what a profile names. Another member of it must not open another file.
func (g *grants) profileWasRead(content string) {
	if len(content) > maxProfileBytes {
		return
	}
	profile := parsed(content)
	authentication := member(profile, "authentication")
	add := func(paths map[string]bool, value any) {
		path := text(value)
		if path != nil && strings.TrimSpace(*path) != "" {
			paths[g.expanded(strings.TrimSpace(*path))] = true
		}
	}
	add(g.told.identityTokens, member(member(authentication, "identity_token"), "path"))
	add(g.told.credentials, member(authentication, "credentials_path"))
	if url := text(member(profile, "base_url")); url != nil {
		if _, path, err := parseBase(*url); err == nil {
			g.told.basePaths[path] = true
		}
	}
}

// basePaths are those that may stand before the token endpoint's own. Where the configuration does not say, a variable or a profile does.
func (g *grants) basePaths() []string {
	if g.base.settled {
		return []string{g.base.path}
	}
	if url := g.known("ANTHROPIC_BASE_URL"); url != "" {
		_, path, err := parseBase(url)
		if err != nil {
			return nil
		}
		return []string{path}
	}
	return append(slices.Sorted(maps.Keys(g.told.basePaths)), "")
}

// checkTokenOrigin refuses another origin than the one that the configuration names, where it names one.
func (g *grants) checkTokenOrigin(place origin) error {
	if g.base.named && g.base.origin == "" {
		return errors.New("base_url of the configuration is no plain URL")
	}
	if g.base.named && g.base.origin != place.text {
		return fmt.Errorf("base_url names another origin than %s", place.text)
	}
	return nil
}

// checkExchange says whether a request to an allowed origin is the exchange. The URL is compared as it is written: a parser takes out dot
// segments, and what else two readers can differ about.
func (g *grants) checkExchange(asked *contract.HTTPRequest, place origin) error {
	exchange := contract.Authority.Exchange
	if asked.Method != exchange.Method {
		return fmt.Errorf("the policy allows the method %s only", exchange.Method)
	}
	path, ok := strings.CutPrefix(asked.URL, place.text)
	if !ok || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("the URL is not one of %s", place.text)
	}
	if err := g.checkTokenOrigin(place); err != nil {
		return err
	}
	if !slices.ContainsFunc(g.basePaths(), func(base string) bool { return path == base+exchange.Path }) {
		return fmt.Errorf("the policy allows requests to the token endpoint only: %s, not %s", exchange.Path, contract.Shown(path))
	}
	_, err := parseURL(asked.URL)
	return err
}

func (g *grants) checkExecutable(audience string) (*executable, error) {
	if g.executable == nil || g.executable.audience != audience {
		return nil, errors.New("the configuration does not name the source executable, or it names another audience")
	}
	return g.executable, nil
}

// expanded replaces `~/` by the home directory, as discovery does.
func (g *grants) expanded(path string) string {
	rest, inHome := strings.CutPrefix(path, "~/")
	home := g.known("HOME")
	if !inHome || home == "" {
		return path
	}
	return below(home, rest)
}

// below is a path below a directory, whose value may end with slashes.
func below(directory, path string) string { return strings.TrimRight(directory, "/") + "/" + path }

// variable is the value of a variable of this process; empty where it is not set. A name that no variable can have is absent.
func variable(name string) string {
	if strings.ContainsAny(name, "=\x00") {
		return ""
	}
	return strings.ToValidUTF8(os.Getenv(name), "\uFFFD")
}

// parsed is a JSON document, whose members have exactly the names that stand in it; nil for what is none.
func parsed(document string) any {
	var value any
	if !utf8.ValidString(document) || json.Unmarshal([]byte(document), &value) != nil {
		return nil
	}
	return value
}

// object is the members of an object; nil for what is none.
func object(value any) map[string]any {
	members, _ := value.(map[string]any)
	return members
}

func member(value any, name string) any { return object(value)[name] }

// text is nil for what is none.
func text(value any) *string {
	if text, ok := value.(string); ok {
		return &text
	}
	return nil
}

// texts are those of a list. A list with anything else is none.
func texts(value any) []string {
	list, _ := value.([]any)
	var texts []string
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}
