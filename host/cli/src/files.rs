//! Files that the command line names.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::exit::Wrong;

/// No document of this command is larger, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The content of a regular file. A pipe would hold the command up until somebody writes into it, and a device for ever.
pub(crate) fn read(path: &Path) -> Result<String, Wrong> {
    let shown = path.display();
    let wrong = |error: std::io::Error| Wrong(format!("cannot read {shown}: {error}"));
    let check = |metadata: &fs::Metadata| match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_dir() => Err(Wrong(format!("cannot read {shown}: it is a directory"))),
        _ => Err(Wrong(format!("cannot read {shown}: it is a pipe or a device; write the document into a file"))),
    };
    // Before it is opened, for to open a device may do something; and after, for it may have been replaced meanwhile.
    check(&fs::metadata(path).map_err(wrong)?)?;
    let file = open(path).map_err(wrong)?;
    check(&file.metadata().map_err(wrong)?)?;
    let mut content = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut content).map_err(wrong)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(Wrong(format!("cannot read {shown}: it is longer than {MAX_BYTES} bytes")));
    }
    Ok(content)
}

#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}
