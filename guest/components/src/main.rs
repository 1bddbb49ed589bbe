//! The command `wif-components`: writes the components for those who compose, sign or publish them.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use sha2::{Digest, Sha256};

/// Each is told in its own documentation: what it imports, and what it exports.
const COMPONENTS: [(&str, &[u8]); 5] = [
    ("wif_plugin.wasm", include_bytes!(env!("WIF_PLUGIN"))),
    ("wif_standalone.wasm", include_bytes!(env!("WIF_STANDALONE"))),
    ("wif_standalone_async.wasm", include_bytes!(env!("WIF_STANDALONE_ASYNC"))),
    ("wif_interposer.wasm", include_bytes!(env!("WIF_INTERPOSER"))),
    // A core module: the component `wif_plugin.wasm` for runtimes that know no components.
    ("wif_flat.wasm", include_bytes!(env!("WIF_FLAT"))),
];

/// Writes the components and prints their SHA-256 digests, as `sha256sum` does. The same sources and the same toolchain give the
/// same bytes.
#[derive(Debug, Parser)]
#[command(name = "wif-components", version)]
struct Arguments {
    /// Write the files into this directory, which is made if it is not there. Without it, only the digests are printed.
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { directory } = Arguments::parse();
    if let Some(directory) = &directory {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        for (name, component) in COMPONENTS {
            let path = directory.join(name);
            fs::write(&path, component).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    let mut out = io::stdout().lock();
    for (name, component) in COMPONENTS {
        for byte in Sha256::digest(component) {
            write!(out, "{byte:02x}")?;
        }
        writeln!(out, "  {name}")?;
    }
    Ok(())
}
