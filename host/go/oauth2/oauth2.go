// Package oauth2 gives a wif.Credential to libraries that take an oauth2.TokenSource. It is a module of its own, so that wif does not
// need golang.org/x/oauth2.
//
// Where a library takes an *http.Client or an http.RoundTripper, give it (*wif.Credential).Transport instead. A TokenSource is only asked
// for tokens. It does not learn where a token is sent, so it cannot keep the token to its origin; and it cannot set anthropic-beta, which the
// API asks for beside an access token. Nor does it see a 401: whoever sees one calls (*wif.Credential).Reject with the token's id.
package oauth2

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"wif"
)

// ID is the name under which (*oauth2.Token).Extra has the token's id, for logs and for (*wif.Credential).Reject.
const ID = "wif_id"

// TokenSource gives the credential's token of the moment. Where there is none it waits for one; the error is an *wif.Error, or the context's.
//
// Give it a context that lives as long as the source. A request's own context and timeout do not end the wait: oauth2.Transport does not
// pass them on.
//
// Every token has expired when it is given, by its Expiry, so that nobody keeps one that the credential has replaced: the credential is the
// cache. Ask for each request, as &oauth2.Transport{Source: source} does. oauth2.NewClient and oauth2.ReuseTokenSource do so, too, but let
// only one request at a time ask. (*oauth2.Token).Valid is always false.
//
// An oauth2.Token hides nothing when it is printed or encoded.
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
		return nil, &wif.Error{
			Code:    "configuration",
			Field:   "discover.api_key_in",
			Message: "puts the API key into x-api-key, and a token of OAuth 2.0 goes into authorization.",
			Action:  "Leave it out, or use (*wif.Credential).Transport.",
		}
	}
	given := &oauth2.Token{AccessToken: value, TokenType: "Bearer", Expiry: time.Now()}
	return given.WithExtra(map[string]any{ID: token.ID}), nil
}
