//! The types of the world `plugin` alone, for a build without a sandbox. Private for the same reason as the others.

#![allow(missing_docs, unreachable_pub, dead_code, clippy::all, reason = "generated; documented in wit/")]

wit_bindgen::generate!({ path: "../../wit", world: "plugin" });

pub(crate) use exports::wif::credential::types;
