// Package policy decides what the component may have done for it. The component asks; this decides, whatever it says.
//
// By default requests go to the token endpoint at https://api.anthropic.com and nowhere else. Files and variables are read that the
// configuration names or discovery reads. A platform is asked what its recipe says. No program is run.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"wif/internal/contract"
	"wif/internal/files"
)

// allowLoopback is the variable that allows this machine, for development.
const allowLoopback = "WIF_ALLOW_LOOPBACK"

// The variables that need no leave of the program where the configuration names them: those that discovery reads, and all whose names start
// with the prefix.
var ownVariables = []string{"CLAUDE_CODE_OAUTH_TOKEN", "HOME", "XDG_CONFIG_HOME", "APPDATA"}

const ownPrefix = "ANTHROPIC_"

// Options limit what the component may have done, beside the configuration.
type Options struct {
	// AllowOrigins and AllowPrivateOrigins say where requests and tokens may go beside https://api.anthropic.com; the second may be in a
	// private network.
	AllowOrigins, AllowPrivateOrigins []string
	// AllowLoopback allows every port of this machine, for development.
	AllowLoopback bool
	// AllowDirectories limits files to those below these directories; nil: no limit.
	AllowDirectories []string
	// AllowVariables adds to the variables that discovery reads.
	AllowVariables []string
	// AllowSources limits the sources of identity tokens; nil: all.
	AllowSources []string
	// AllowExecutables are programs that may be run where the configuration names one as the source.
	AllowExecutables []string
	// RequestTimeout is a minute where it is 0, CallableTimeout half a minute.
	RequestTimeout, CallableTimeout time.Duration
}

// Policy is in force for one configuration. All methods may be called by any goroutine.
type Policy struct {
	options            Options
	origins            []origin
	loopback           bool
	loopbackByVariable bool
	calls              files.Calls

	// For what was told.
	mutex  sync.Mutex
	grants grants
}

// New is the policy for this configuration. The error begins with the option's name. A configuration that is none names nothing, and the
// component says what is wrong with it.
func New(configuration string, options Options) (*Policy, error) {
	policy := &Policy{options: options, calls: files.NewCalls(), loopback: options.AllowLoopback, grants: newGrants(configuration)}
	if err := policy.allow("AllowOrigins", append([]string{"https://api.anthropic.com"}, options.AllowOrigins...), false); err != nil {
		return nil, err
	}
	if err := policy.allow("AllowPrivateOrigins", options.AllowPrivateOrigins, true); err != nil {
		return nil, err
	}
	var err error
	if policy.options.RequestTimeout, err = orDefault(options.RequestTimeout, time.Minute); err != nil {
		return nil, fmt.Errorf("RequestTimeout: %w", err)
	}
	if policy.options.CallableTimeout, err = orDefault(options.CallableTimeout, 30*time.Second); err != nil {
		return nil, fmt.Errorf("CallableTimeout: %w", err)
	}
	if says := strings.TrimSpace(variable(allowLoopback)); !policy.loopback && (says == "1" || says == "true") {
		policy.loopback, policy.loopbackByVariable = true, true
	}
	return policy, nil
}

func (p *Policy) allow(option string, origins []string, private bool) error {
	for _, text := range origins {
		// Many write it with its slash.
		parsed, err := parseOrigin(strings.TrimSuffix(text, "/"))
		if err != nil {
			if strings.Contains(text, "@") {
				// What stands before it may be a password.
				return fmt.Errorf("%s: an entry with user information %w", option, err)
			}
			return fmt.Errorf("%s: %s %w", option, contract.Shown(text), err)
		}
		parsed.private = private
		p.origins = append(p.origins, parsed)
	}
	return nil
}

func orDefault(given, otherwise time.Duration) (time.Duration, error) {
	switch {
	case given == 0:
		return otherwise, nil
	case given < 0:
		return 0, errors.New("must not be negative")
	}
	return given, nil
}

// String says nothing secret.
func (p *Policy) String() string { return "policy.Policy" }

// GoString is the same.
func (p *Policy) GoString() string { return p.String() }

// LoopbackByVariable says whether WIF_ALLOW_LOOPBACK allows every port of this machine, which is worth a warning in the log.
func (p *Policy) LoopbackByVariable() bool { return p.loopbackByVariable }

// RequestTimeout ends requests, even if the component grants them more.
func (p *Policy) RequestTimeout() time.Duration { return p.options.RequestTimeout }

// CallableTimeout ends calls of the program's functions and store.
func (p *Policy) CallableTimeout() time.Duration { return p.options.CallableTimeout }

// CheckOrigin refuses an origin that requests and tokens may not go to.
func (p *Policy) CheckOrigin(origin string) error {
	_, err := p.checkOrigin(origin)
	return err
}

func (p *Policy) checkOrigin(text string) (origin, error) {
	asked, err := parseOrigin(text)
	if err == nil && (slices.ContainsFunc(p.origins, asked.is) || p.loopback && asked.loopback) {
		return asked, nil
	}
	allowed := make([]string, len(p.origins))
	for i, origin := range p.origins {
		allowed[i] = origin.text
	}
	how := "wif.Options.AllowOrigins"
	if err == nil && asked.loopback {
		how += ", or every port of this machine with wif.Options.AllowLoopback or " + allowLoopback + "=1"
	}
	return origin{}, fmt.Errorf("the policy allows %s only, not %s; allow it with %s", strings.Join(allowed, " and "),
		contract.Shown(text), how)
}

func (o origin) is(other origin) bool { return o.text == other.text }

// CheckTokenOrigin gives the origin of a token in its one form: scheme://host[:port], the scheme's own port left out, in small letters. It
// is allowed, and the one of base_url, where the configuration has one.
func (p *Policy) CheckTokenOrigin(origin string) (normalised string, err error) {
	asked, err := p.checkOrigin(origin)
	if err != nil {
		return "", err
	}
	if err := p.grants.checkTokenOrigin(asked); err != nil {
		return "", err
	}
	return asked.text, nil
}

// MayBePrivate says whether the name in this origin may lead to private addresses. The same name at another port may, too. It says nothing
// of this machine, and of a source's request: by https that may lead to private addresses, and by plain http to this machine and its metadata
// service, as CheckRequest has seen.
func (p *Policy) MayBePrivate(text string) bool {
	asked, err := parseOrigin(text)
	leads := func(allowed origin) bool { return allowed.private && allowed.host == asked.host }
	return err == nil && slices.ContainsFunc(p.origins, leads)
}

// CheckRequest refuses a request that is not granted: an exchange and a refresh go to the token endpoint, and a source sends what its
// recipe says. The URL of one that is granted is in the form in which net/http sends it.
func (p *Policy) CheckRequest(request *contract.HTTPRequest) error {
	limits := contract.Authority.Limits
	if len(request.Body) > limits.RequestBytes || len(request.Headers) > limits.RequestHeaders {
		return errors.New("the request is too large")
	}
	for _, field := range request.Headers {
		if err := field.Check(); err != nil {
			return err
		}
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch request.Purpose.Name {
	case "source":
		_, err := p.checkRequestOfSource(request)
		return err
	case "exchange", "refresh":
		return p.checkExchange(request)
	}
	return errors.New("the request has no purpose")
}

// CAFile is the file of the certificates that the server's must lead to, for a request that is granted. It is empty where the platform's
// count. A variable may have changed since the request was granted: then the error is the rule that refuses. A server with certificates of its own is near: no proxy leads there.
func (p *Policy) CAFile(request *contract.HTTPRequest) (string, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if request.Purpose.Name != "source" {
		return "", nil
	}
	caFile, err := p.checkRequestOfSource(request)
	if caFile != "" {
		caFile = absolute(caFile)
	}
	return caFile, err
}

func (p *Policy) checkExchange(request *contract.HTTPRequest) error {
	place, err := p.checkOrigin(request.Origin)
	if err != nil {
		return err
	}
	if err := p.grants.checkExchange(request, place); err != nil {
		return err
	}
	for _, field := range request.Headers {
		if err := checkExchangeField(field); err != nil {
			return err
		}
	}
	return nil
}

// checkRequestOfSource gives CAFile. What the configuration itself holds as a recipe goes to allowed origins only: whoever writes a
// configuration shall not choose what this machine's network is asked.
func (p *Policy) checkRequestOfSource(request *contract.HTTPRequest) (caFile string, err error) {
	name := request.Purpose.Source
	if err := p.checkSource(name); err != nil {
		return "", err
	}
	to, err := parseURL(request.URL)
	if err != nil {
		return "", err
	}
	if place, err := parsePlace(request.Origin); err != nil || !place.is(to.origin) {
		return "", errors.New("the URL is not one of its origin")
	}
	if platform(name) == nil {
		if _, err := p.checkOrigin(to.origin.text); err != nil {
			return "", err
		}
	}
	return p.grants.checkSource(request, to)
}

// checkSource says whether a source of identity tokens may be asked.
func (p *Policy) checkSource(name string) error {
	if p.options.AllowSources == nil || slices.Contains(p.options.AllowSources, name) {
		return nil
	}
	return fmt.Errorf("the policy does not allow the source %s; allow it with wif.Options.AllowSources", contract.Shown(name))
}

// CheckFile refuses a file that neither the configuration nor discovery names, by this very text. Where its links lead
// is checked by whoever reads it: see Directories and DirectoryOfProfile.
func (p *Policy) CheckFile(path string) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if err := p.grants.checkFile(path); err != nil {
		return err
	}
	if source := p.grants.sourceOfFile(path); source != "" {
		return p.checkSource(source)
	}
	return nil
}

// Calls are the places of this credential, for what may never end.
func (p *Policy) Calls() files.Calls { return p.calls }

// Directories are those below which files have to be when all links are followed, where they are limited.
func (p *Policy) Directories() (directories []string, limited bool) {
	return slices.Clone(p.options.AllowDirectories), p.options.AllowDirectories != nil
}

// DirectoryOfProfile is the directory of profiles that this file of discovery is in (`active_config`, or a profile), as an absolute path.
// The file has to be in it without links, too, and nobody else may be able to write it: it opens other files.
func (p *Policy) DirectoryOfProfile(path string) (directory string, is bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.grants.directoryOfProfile(path)
}

// IsCredentials says whether this is the credentials file of a profile. It holds a person's login: nobody else may be able to read it. The
// key of its entry is `file:` and this path.
func (p *Policy) IsCredentials(path string) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.grants.isCredentials(path)
}

// FileWasRead says that the content of a file was handed over: a profile names others.
func (p *Policy) FileWasRead(path, content string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if _, profile := p.grants.directoryOfProfile(path); profile {
		p.grants.profileWasRead(content)
	}
}

// CheckVariable refuses a variable that neither the configuration nor discovery names. What a platform's recipe reads needs no leave beside
// that of the source.
func (p *Policy) CheckVariable(name string) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if platform := p.grants.platformOf(name); platform != "" {
		return p.checkSource(platform)
	}
	own := strings.HasPrefix(name, ownPrefix) || slices.Contains(ownVariables, name)
	if !own && !slices.Contains(p.options.AllowVariables, name) {
		return fmt.Errorf("the policy does not allow the variable %s; allow it with wif.Options.AllowVariables", contract.Shown(name))
	}
	return p.grants.checkVariable(name)
}

// VariableWasRead says what the component was told of a variable, "" if it is not set: it may name a file, or a server. It goes before what
// the environment says now.
func (p *Policy) VariableWasRead(name, value string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.grants.told.variables[name] = value
}

// SuppliesIdentityTokens says whether this host itself supplies identity tokens, without a function of the program: the configuration names
// a program as their source. The Workload API of SPIFFE is not spoken.
func (p *Policy) SuppliesIdentityTokens() bool { return p.grants.executable != nil }

// Executable is the program that the configuration names as the source, and the variables of this process that it has beside those of
// Google's convention. It is refused for another audience than the configured one, and where the program does not allow it. It has
// CallableTimeout.
func (p *Policy) Executable(audience string) (command, environment []string, err error) {
	named, err := p.grants.checkExecutable(audience)
	if err != nil {
		return nil, nil, err
	}
	if err := p.checkSource("executable"); err != nil {
		return nil, nil, err
	}
	if program := named.command[0]; !slices.Contains(p.options.AllowExecutables, program) {
		return nil, nil, fmt.Errorf("the policy does not allow the program %s; allow it with wif.Options.AllowExecutables",
			contract.Shown(program))
	}
	return slices.Clone(named.command), slices.Clone(named.environment), nil
}
