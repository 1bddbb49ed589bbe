// Package embedded holds what the build lays beside it: the state machine as a core module, and the contract's own lists. They are in the
// project's wit and guest folders, and `make -C host/go` copies them.
package embedded

import "embed"

// Module is guest/flat, built: the state machine behind a flat interface.
//
//go:embed wif_flat.wasm
var Module []byte

// Authority is wit/authority.json, and Rules is wit/rules.json.
var (
	//go:embed authority.json
	Authority []byte
	//go:embed rules.json
	Rules []byte
)

// Platforms has the recipes of guest/recipes/documents, a file for each.
//
//go:embed platforms/*.json
var Platforms embed.FS
