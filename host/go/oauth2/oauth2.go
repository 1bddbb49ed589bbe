// Package oauth2 gives a wif.Credential to libraries that take an oauth2.TokenSource. It is a module of its own, so that wif needs nothing
// but Go's standard library.
//
// Where a library takes an *http.Client or an http.RoundTripper, give it (*wif.Credential).Transport instead. A TokenSource is only asked
// for tokens. It does not learn where a token is sent, so it cannot keep the token to its origin; it does not see a 401; and it cannot set
// anthropic-beta, which the API asks for beside an access token.
package oauth2

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"wif"
)

// TokenSource gives the credential's token of the moment. Where there is none it waits for one until ctx is done; the error is an
// *wif.Error, or the context's.
//
// Every oauth2.Token has expired when it is given, by its Expiry: the credential is the cache, so ask for each request.
// oauth2.ReuseTokenSource and oauth2.NewClient do so then, and never keep a token that the credential has replaced.
func TokenSource(ctx context.Context, credential *wif.Credential) oauth2.TokenSource {
	return source{ctx, credential}
}

type source struct {
	ctx        context.Context
	credential *wif.Credential
}

func (s source) Token() (*oauth2.Token, error) {
	token, err := s.credential.Token(s.ctx)
	if err != nil {
		return nil, err
	}
	fields := http.Header{}
	token.Apply(fields)
	value, isBearer := strings.CutPrefix(fields.Get("authorization"), "Bearer ")
	if !isBearer {
		return nil, errNoBearer
	}
	return &oauth2.Token{AccessToken: value, TokenType: "Bearer", Expiry: time.Now()}, nil
}

var errNoBearer = errors.New("wif: the credential is an API key for x-api-key, which is no OAuth 2.0 token: use (*wif.Credential).Transport")
