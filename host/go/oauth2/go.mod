module wif/oauth2

go 1.25

require (
	golang.org/x/oauth2 v0.30.0
	wif v0.0.0
)

require (
	github.com/tetratelabs/wazero v1.12.0 // indirect
	golang.org/x/sys v0.44.0 // indirect
)

replace wif => ../
