//! The world `plugin`, as wasmtime sees it. Private: the types that programs see are written by hand, because these would
//! print secrets.

#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in wit/")]

wasmtime::component::bindgen!({ path: "../../wit", world: "plugin" });

pub(crate) use exports::wif::credential::types;
