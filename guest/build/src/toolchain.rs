//! The compiler's own sources.

use std::path::{Path, PathBuf};

use crate::target::rustc;

/// Where the standard library's sources are if they are installed, and the path that stands for them in its own binaries.
pub(crate) fn library_sources() -> Result<(PathBuf, String), String> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    let version = rustc(&["--version", "--verbose"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    Ok((Path::new(&sysroot).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")))
}
