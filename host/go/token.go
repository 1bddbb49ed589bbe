package wif

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unsafe"
)

// Token is an access token for requests to one origin. It is immutable, and shows no secret when it is printed.
type Token struct {
	// ID is 16 hexadecimal digits: safe to log, and what Reject takes.
	ID string
	// Origin is the only one that it may be sent to, such as https://api.anthropic.com.
	Origin string
	// Suspect says that the API has rejected it, and that it is served for want of a better one.
	Suspect bool

	// secret is behind a function: what prints a Token in an unexported field asks none of the methods here, follows pointers, and shows the
	// address of a function.
	secret func() *secret
	// native is the library's own, where there is one.
	native unsafe.Pointer
}

// secret is what a token's header fields are made of.
type secret struct {
	value       string
	set, merged [][2]string
}

// Reveal is the token's value. Every use of this is a place where a secret may leave.
func (t *Token) Reveal() string { return t.secret().value }

// String hides the token.
func (t Token) String() string { return "wif.Token " + t.ID + " for " + t.Origin }

// Format hides the token, whatever the verb.
func (t Token) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, t.String()) }

// MarshalText hides the token from encoders.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// IsFor says whether a request with this URL goes to Origin.
func (t *Token) IsFor(u *url.URL) bool {
	origin, err := url.Parse(t.Origin)
	return err == nil && strings.EqualFold(origin.Scheme, u.Scheme) && strings.EqualFold(origin.Hostname(), u.Hostname()) &&
		port(origin) == port(u)
}

func port(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
}

// Apply puts the token on a request to Origin: it takes off every form of the caller's own credential, sets ours, and merges the rest.
func (t *Token) Apply(header http.Header) {
	strip(header)
	secret := t.secret()
	// Else the next hop would drop ours.
	ours := func(name string) bool {
		for _, pair := range append(append([][2]string{}, secret.set...), secret.merged...) {
			if strings.EqualFold(pair[0], name) {
				return true
			}
		}
		return isCredential(name)
	}
	if names(header, "connection", ours) {
		header.Del("connection")
	}
	for _, pair := range secret.set {
		header.Set(pair[0], pair[1])
	}
	for _, pair := range secret.merged {
		var there []string
		for _, value := range header.Values(pair[0]) {
			for _, part := range strings.Split(value, ",") {
				if part = strings.TrimSpace(part); part != "" && !contains(there, part) {
					there = append(there, part)
				}
			}
		}
		for _, part := range strings.Split(pair[1], ",") {
			if part = strings.TrimSpace(part); part != "" && !contains(there, part) {
				there = append(there, part)
			}
		}
		header.Set(pair[0], strings.Join(there, ","))
	}
}

// strip takes off every form of a caller's own credential.
func strip(header http.Header) {
	for name := range header {
		if isCredential(name) {
			delete(header, name)
		}
	}
}

func contains(list []string, text string) bool {
	for _, one := range list {
		if one == text {
			return true
		}
	}
	return false
}
