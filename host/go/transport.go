package wif

import (
	"errors"
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
	response, err := t.send(request)
	if response != nil {
		// The one that was sent has the credential, and answers are logged.
		response.Request = request
	}
	return response, err
}

// CloseIdleConnections is for (*http.Client).CloseIdleConnections.
func (t *transport) CloseIdleConnections() {
	if base, closes := t.base.(interface{ CloseIdleConnections() }); closes {
		base.CloseIdleConnections()
	}
}

func (t *transport) send(request *http.Request) (*http.Response, error) {
	token, err := t.tokenFor(request)
	if err != nil {
		// The contract of http.RoundTripper.
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}
	if isExempt(request) {
		return t.base.RoundTrip(bare(request, request.Body))
	}
	response, err := t.base.RoundTrip(carrying(token, request, request.Body))
	if err != nil || !rejects(response) {
		return response, err
	}
	if request.Body != nil && request.Body != http.NoBody && request.GetBody == nil {
		t.credential.Reject(token.ID)
		return response, nil
	}
	other := t.credential.backend.replacement(request.Context(), token.ID)
	if other == nil || !other.IsFor(request.URL) {
		return response, nil
	}
	body := request.Body
	if request.GetBody != nil {
		if body, err = request.GetBody(); err != nil {
			return response, nil
		}
	}
	// So that its connection serves again. What may be long, or never come, is not waited for.
	if 0 <= response.ContentLength && response.ContentLength <= mostDrained {
		_, _ = io.Copy(io.Discard, response.Body)
	}
	response.Body.Close()
	response, err = t.base.RoundTrip(carrying(other, request, body))
	if err == nil && rejects(response) {
		t.credential.Reject(other.ID)
	}
	return response, err
}

// mostDrained is in bytes. An error of the API has fewer.
const mostDrained = 4 << 10

func (t *transport) tokenFor(request *http.Request) (*Token, error) {
	if request.URL == nil {
		return nil, errors.New("wif: the request has no URL")
	}
	token, err := t.credential.Token(request.Context())
	if err == nil && !token.IsFor(request.URL) {
		err = errOtherOrigin(request.URL.Scheme+"://"+request.URL.Host, token.Origin)
	}
	return token, err
}

func carrying(token *Token, request *http.Request, body io.ReadCloser) *http.Request {
	carrying := bare(request, body)
	token.Apply(carrying.Header)
	return carrying
}

// bare is a copy without any form of a caller's own credential, for the host that the URL names: another one in the field Host may lead
// elsewhere behind a proxy.
func bare(request *http.Request, body io.ReadCloser) *http.Request {
	bare := request.WithContext(request.Context())
	bare.Host, bare.Body = "", body
	if bare.Header = request.Header.Clone(); bare.Header == nil {
		bare.Header = http.Header{}
	}
	strip(bare.Header)
	if len(request.Trailer) > 0 {
		bare.Trailer = http.Header{}
		for name := range request.Trailer {
			if !isCredential(name) {
				bare.Trailer[name] = nil
			}
		}
		if body != nil {
			bare.Body = &trailing{body, request.Trailer, bare.Trailer}
		}
	}
	return bare
}

// trailing is a body with trailers: a caller fills them in until its body has ended.
type trailing struct {
	io.ReadCloser
	theirs, ours http.Header
}

// Read reads the body.
func (t *trailing) Read(into []byte) (int, error) {
	read, err := t.ReadCloser.Read(into)
	if err == io.EOF {
		for name := range t.ours {
			t.ours[name] = t.theirs[name]
		}
	}
	return read, err
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
