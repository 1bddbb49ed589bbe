module wif

go 1.22
