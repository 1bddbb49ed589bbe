package policy

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// MetadataHost is the one name behind which a metadata service answers by plain HTTP.
const MetadataHost = "metadata.google.internal"

// origin is a scheme, a host and a port, in their one form.
type origin struct {
	scheme, host string
	// address is the host's, where it is one.
	address netip.Addr
	// text is scheme://host, and the port where it is not the scheme's own.
	text string
	// loopback: the host is this machine. private: its name may lead to private addresses.
	loopback, private bool
}

var (
	errNoOrigin  = errors.New("is no origin: write a scheme, a host and perhaps a port, such as https://api.anthropic.com")
	errPlainHTTP = errors.New("is plain HTTP to another machine; use https, or a loopback host")
	errAmbiguous = errors.New("the URL is ambiguous: two readers may take it for two")
)

// parseOrigin takes a subset of RFC 3986 about which no two parsers disagree. Capitals and the scheme's own port are the only other
// spellings that it takes.
func parseOrigin(text string) (origin, error) {
	parsed, err := parsePlace(text)
	if err == nil && parsed.scheme == "http" && !parsed.loopback {
		return origin{}, errPlainHTTP
	}
	return parsed, err
}

// parsePlace is the same, where plain HTTP may lead elsewhere.
func parsePlace(text string) (origin, error) {
	before, authority, there := strings.Cut(text, "://")
	scheme, authority := strings.ToLower(before), strings.ToLower(authority)
	if !there || !isVisible(text) || scheme != "https" && scheme != "http" || strings.ContainsAny(authority, `/?#\@%`) {
		return origin{}, errNoOrigin
	}
	host, port, ok := splitPort(authority)
	if !ok {
		return origin{}, errNoOrigin
	}
	address, ok := checkHost(host)
	if !ok {
		return origin{}, errNoOrigin
	}
	parsed := origin{scheme: scheme, host: host, address: address, text: scheme + "://" + host}
	if ownPort := map[string]string{"https": "443", "http": "80"}[scheme]; port != "" && port != ownPort {
		parsed.text += ":" + port
	}
	parsed.loopback = host == "localhost" || isThisMachine(address)
	return parsed, nil
}

// splitPort gives the host and the port, which is empty where there is none.
func splitPort(authority string) (host, port string, ok bool) {
	end := strings.IndexByte(authority, ':')
	if strings.HasPrefix(authority, "[") {
		end = strings.IndexByte(authority, ']') + 1
		if end == 0 {
			return "", "", false
		}
		if end == len(authority) {
			end = -1
		}
	}
	if end < 0 {
		return authority, "", true
	}
	host, port = authority[:end], authority[end:]
	digits, found := strings.CutPrefix(port, ":")
	number, err := strconv.ParseUint(digits, 10, 16)
	// One spelling of each number.
	if !found || err != nil || number == 0 || strconv.FormatUint(number, 10) != digits {
		return "", "", false
	}
	return host, digits, true
}

// checkHost takes a name, or an address in its one form.
func checkHost(host string) (address netip.Addr, ok bool) {
	if inside, bracketed := strings.CutPrefix(host, "["); bracketed {
		inside, closed := strings.CutSuffix(inside, "]")
		address, err := netip.ParseAddr(inside)
		return address, closed && err == nil && address.Is6() && address.Zone() == "" && address.String() == inside
	}
	if host == "" || len(host) > 253 {
		return netip.Addr{}, false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return netip.Addr{}, false
		}
	}
	// What ends in a number is an IPv4 address to URL parsers, whatever it looks like.
	if !isNumber(labels[len(labels)-1]) {
		return netip.Addr{}, true
	}
	address, err := netip.ParseAddr(host)
	return address, err == nil && address.Is4()
}

func isLabel(label string) bool {
	return label != "" && len(label) <= 63 && only(label, func(c byte) bool { return isLowerOrDigit(c) || c == '-' || c == '_' })
}

func isNumber(label string) bool {
	if digits, hexadecimal := strings.CutPrefix(label, "0x"); hexadecimal {
		return only(digits, isHexadecimal)
	}
	return only(label, isDigit)
}

// address is a URL that all readers take apart alike.
type address struct {
	origin      origin
	path, query string
}

// parseURL refuses what is not in the form in which it is sent: net/http parses the text again.
func parseURL(text string) (address, error) {
	end := strings.Index(text, "://")
	if end < 0 || !isVisible(text) || strings.ContainsAny(text, `\#`) {
		return address{}, errAmbiguous
	}
	rest := len(text)
	if at := strings.IndexAny(text[end+3:], "/?"); at >= 0 {
		rest = end + 3 + at
	}
	place, err := parsePlace(text[:rest])
	if err != nil {
		return address{}, errAmbiguous
	}
	path, query, _ := strings.Cut(text[rest:], "?")
	parsed, err := url.Parse(text)
	alike := err == nil && parsed.String() == text && parsed.Scheme+"://"+parsed.Host == text[:rest] && parsed.User == nil &&
		parsed.Opaque == "" && parsed.Fragment == "" && parsed.EscapedPath() == path && parsed.RawQuery == query
	if !alike || climbs(parsed.Path) {
		return address{}, errAmbiguous
	}
	return address{origin: place, path: path, query: query}, nil
}

// climbs says whether a path has a dot segment, escaped or not, or what ends a text or a line. The path is unescaped.
func climbs(path string) bool {
	for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// parseBase takes a base_url as the component does. The path has no slash at its end.
func parseBase(text string) (place origin, path string, err error) {
	end := len(text)
	if _, rest, there := strings.Cut(text, "://"); there {
		if at := strings.IndexByte(rest, '/'); at >= 0 {
			end = len(text) - len(rest) + at
		}
	}
	if place, err = parseOrigin(text[:end]); err != nil {
		return origin{}, "", err
	}
	path = strings.TrimRight(text[end:], "/")
	if !isVisible(path) || strings.ContainsAny(path, `?#\@%`) || strings.Contains(path, "//") || climbs(path) {
		return origin{}, "", errAmbiguous
	}
	return place, path, nil
}

// isNear says whether plain HTTP of a source may lead there: this machine, and its metadata service.
func isNear(place origin) bool {
	return place.loopback || place.host == MetadataHost || place.address.IsValid() && IsMetadata(place.address)
}

// isThisMachine does not take an IPv4 address in the form of IPv6 for one: readers disagree about it.
func isThisMachine(address netip.Addr) bool {
	return !address.Is4In6() && address.IsLoopback()
}

// IsMetadata says whether a metadata service answers there: link-local addresses, and those that AWS has for the same in IPv6.
func IsMetadata(address netip.Addr) bool {
	address = address.Unmap()
	if address.Is4() {
		return address.IsLinkLocalUnicast()
	}
	bytes := address.As16()
	return [4]byte(bytes[:4]) == [4]byte{0xfd, 0x00, 0x0e, 0xc2}
}

// isVisible says whether all of it is visible ASCII.
func isVisible(text string) bool {
	return only(text, func(c byte) bool { return c > ' ' && c < 0x7f })
}

func only(text string, allowed func(byte) bool) bool {
	for i := range len(text) {
		if !allowed(text[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLowerOrDigit(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'z' }

func isHexadecimal(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
