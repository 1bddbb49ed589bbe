// Only keeps these tests out of `./...`: what they import is not in the module `wif`. They are compiled without modules, as Debian compiles Go.
module wif/tests/clients

go 1.23
