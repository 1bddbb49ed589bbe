//! The command `wif-proxy-wasm-image`: writes the filter for those who publish it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use wif_proxy_wasm_image::{ARTIFACT, COMPAT, Images, MODULE_FILE, module};

/// Writes the proxy-wasm filter as OCI images and as a file, and prints the digests of the module, of the compat image and of the
/// artifact. Without options it prints them only.
#[derive(Debug, Parser)]
#[command(name = "wif-proxy-wasm-image", version)]
struct Arguments {
    /// Write an OCI image layout into this directory, which must be empty or new.
    #[arg(long, value_name = "DIRECTORY")]
    layout: Option<PathBuf>,
    /// Write the same layout as a tar archive.
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// Write the module itself.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let images = Images::of(module());
    if let Some(directory) = &arguments.layout {
        images.write_directory(directory)?;
    }
    if let Some(path) = &arguments.archive {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        images.write_archive(BufWriter::new(file)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.module {
        fs::write(path, module()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let digests = [(images.module_digest(), MODULE_FILE), (images.compat_digest(), COMPAT), (images.artifact_digest(), ARTIFACT)];
    let mut out = io::stdout().lock();
    for (digest, name) in digests {
        writeln!(out, "{}  {name}", digest.hex())?;
    }
    Ok(())
}
