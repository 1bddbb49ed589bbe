module wif/oauth2

go 1.23

require (
	golang.org/x/oauth2 v0.30.0
	wif v0.0.0
)

replace wif => ../
