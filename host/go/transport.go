package wif

import (
	"io"
	"net/http"
	"strings"
)

// Transport puts the credential on every request of a client. A request to another origin than the token's is not sent; so a redirect to
// elsewhere ends in an error. A preflight, an echo, a tunnel and an upgrade carry no credential at all. A request whose token is rejected is
// sent once more with another one, if there is one and its body can be had again (http.Request.GetBody). base is http.DefaultTransport where it is nil.
func (c *Credential) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{credential: c, base: base}
}

type transport struct {
	credential *Credential
	base       http.RoundTripper
}

// RoundTrip sends a request.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := t.credential.Token(request.Context())
	if err == nil && !token.IsFor(request.URL) {
		err = errOtherOrigin(request.URL.Scheme+"://"+request.URL.Host, token.Origin)
	}
	if err != nil {
		// The contract of http.RoundTripper.
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}
	if isExempt(request) {
		bare := copied(request, request.Body)
		strip(bare.Header)
		return t.base.RoundTrip(bare)
	}
	response, err := t.base.RoundTrip(carrying(token, request, request.Body))
	if err != nil || !rejects(response) {
		return response, err
	}
	if request.Body != nil && request.Body != http.NoBody && request.GetBody == nil {
		t.credential.Reject(token.ID)
		return response, nil
	}
	other := t.credential.Replacement(token.ID)
	if other == nil || !other.IsFor(request.URL) {
		return response, nil
	}
	body := request.Body
	if request.GetBody != nil {
		if body, err = request.GetBody(); err != nil {
			return response, nil
		}
	}
	// So that its connection serves again.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	response.Body.Close()
	return t.base.RoundTrip(carrying(other, request, body))
}

func carrying(token *Token, request *http.Request, body io.ReadCloser) *http.Request {
	copied := copied(request, body)
	token.Apply(copied.Header)
	return copied
}

func copied(request *http.Request, body io.ReadCloser) *http.Request {
	copied := request.Clone(request.Context())
	copied.Body = body
	return copied
}

// isExempt says whether it is no request to the API as such: a tunnel, a preflight, an echo, another protocol. Then it carries no
// credential, neither ours nor the caller's.
func isExempt(request *http.Request) bool {
	switch strings.ToUpper(request.Method) {
	case http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return true
	}
	return request.Header.Get("upgrade") != "" && names(request.Header, "connection", func(name string) bool { return name == "upgrade" })
}

// rejects says whether an answer from the token's origin, to a request that carried the token, rejects it.
func rejects(response *http.Response) bool {
	return response.StatusCode == http.StatusUnauthorized || response.Header.Get("grpc-status") == "16"
}

// names says whether a list in this field has such an element.
func names(header http.Header, field string, is func(string) bool) bool {
	for _, value := range header.Values(field) {
		for _, name := range strings.Split(value, ",") {
			if is(strings.ToLower(strings.TrimSpace(name))) {
				return true
			}
		}
	}
	return false
}
