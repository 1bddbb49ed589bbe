package wif

import (
	"io"
	"net/http"
)

// Transport puts the credential on every request of a client. A request to another origin than the token's is not sent; so a redirect to
// elsewhere ends in an error. One that is answered with 401 is sent once more with another token, if there is one and its body can be had
// again (http.Request.GetBody). base is http.DefaultTransport where it is nil.
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
	response, err := t.base.RoundTrip(carrying(token, request, request.Body))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
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
	copied := request.Clone(request.Context())
	copied.Body = body
	token.Apply(copied.Header)
	return copied
}
