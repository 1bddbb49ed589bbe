module wif/tests/clients

go 1.23

require (
	github.com/anthropics/anthropic-sdk-go v1.27.1
	golang.org/x/oauth2 v0.30.0
	wif v0.0.0
	wif/oauth2 v0.0.0
)

replace (
	wif => ../../
	wif/oauth2 => ../../oauth2
)
