package executable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a program prints is one of three things: a bare token, the JSON of Google's executable-sourced credentials, or the JSON that
// `aws sts get-web-identity-token` prints, with or without the `Version` of AWS's `credential_process`.

// The kinds of token of RFC 8693 that are JWTs.
var tokenTypes = []string{"urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"}

// refusal is what the program says itself of why it gives no token.
type refusal string

func (r refusal) Error() string { return string(r) }

// tokenIn is the token in what a program printed. The error says what is wrong with it, and not what it is.
func tokenIn(output []byte) (string, error) {
	if !utf8.Valid(output) {
		return "", errors.New("printed something that is no text")
	}
	text := strings.TrimSpace(string(output))
	switch {
	case text == "":
		return "", errors.New("printed nothing to its standard output")
	case strings.HasPrefix(text, "{"):
		return tokenInJSON(text)
	case strings.ContainsFunc(text, unicode.IsSpace):
		// Whether it is a token shows when it is looked at. Several lines are none.
		return "", errors.New("printed more than one word, and a token is one")
	}
	return text, nil
}

func tokenInJSON(text string) (string, error) {
	var answer map[string]any
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	err := decoder.Decode(&answer)
	if err == nil {
		_, err = decoder.Token()
	}
	if err != io.EOF {
		return "", errors.New("printed something that is no whole JSON")
	}
	_, hasSuccess := answer["success"]
	_, hasToken := answer["id_token"]
	if hasSuccess || hasToken {
		return ofGoogle(answer)
	}
	return ofAWS(answer)
}

// ofGoogle is Google's convention, version 1. When the token ends it says itself.
func ofGoogle(answer map[string]any) (string, error) {
	number, _ := answer["version"].(json.Number)
	version, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return "", errors.New("printed JSON without `version`")
	}
	if version != 1 {
		return "", fmt.Errorf("printed JSON of version %d, and 1 is known", version)
	}
	success, known := answer["success"].(bool)
	if !known {
		return "", errors.New("printed JSON without `success`")
	}
	if !success {
		code, _ := answer["code"].(string)
		message, _ := answer["message"].(string)
		return "", refusal(fmt.Sprintf("says that it failed: %s %s", code, message))
	}
	if kind, _ := answer["token_type"].(string); !slices.Contains(tokenTypes, kind) {
		known := strings.Join(tokenTypes, " or ")
		return "", fmt.Errorf("printed JSON whose `token_type` is not %s: only a JWT can be exchanged", known)
	}
	token, ok := answer["id_token"].(string)
	if !ok {
		return "", errors.New("printed JSON without `id_token`")
	}
	return token, nil
}

// ofAWS is AWS's convention: what `aws sts get-web-identity-token` prints, and perhaps the `Version` of a `credential_process`.
func ofAWS(answer map[string]any) (string, error) {
	if version, there := answer["Version"]; there && version != json.Number("1") {
		return "", errors.New("printed JSON whose `Version` is not 1")
	}
	if token, ok := answer["WebIdentityToken"].(string); ok {
		return token, nil
	}
	if _, there := answer["AccessKeyId"]; there {
		const cure = "let it run `aws sts get-web-identity-token`, or use the source `aws`"
		return "", errors.New("printed keys of AWS, which are no identity token: " + cure)
	}
	return "", errors.New("printed JSON with neither `id_token` nor `WebIdentityToken`")
}
