//! The files of an OCI image layout, and ways to write them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Digest;
use crate::manifest::{self, Descriptor, Index, json};

/// Why a layout was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is there already: name another directory, or remove it first. Blobs of two versions would lie side by side.
    #[error("{} is not empty: name a new directory, or remove it first", .0.display())]
    NotEmpty(PathBuf),
    /// The file or directory cannot be made: look at its rights and the free space.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// A layout in memory: contents by path, sorted.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    files: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let version = json(&manifest::Layout { image_layout_version: "1.0.0" });
        Self { files: BTreeMap::from([("oci-layout".to_owned(), version)]) }
    }

    /// Adds content, under the name that it gives itself.
    pub(crate) fn blob(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::of(media_type, &bytes);
        self.files.insert(format!("blobs/sha256/{}", Digest::of(&bytes).hex()), bytes);
        descriptor
    }

    pub(crate) fn index(&mut self, index: &Index) {
        self.files.insert("index.json".to_owned(), json(index));
    }

    pub(crate) fn write_directory(&self, directory: &Path) -> Result<(), Error> {
        let failed = |path: &Path, error| Error::Write(path.to_owned(), error);
        let blobs = directory.join("blobs/sha256");
        match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(Error::NotEmpty(directory.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(directory, error)),
        }
        fs::create_dir_all(&blobs).map_err(|error| failed(&blobs, error))?;
        for (path, bytes) in &self.files {
            let path = directory.join(path);
            fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    pub(crate) fn write_archive(&self, writer: impl Write) -> io::Result<()> {
        pack(self.files.iter().map(|(path, bytes)| (&**path, &**bytes)), writer)
    }
}

/// Writes files into a tar archive: in the order given, readable by all, owned by root, and as old as time itself.
pub(crate) fn pack<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>, writer: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(writer);
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes)?;
    }
    archive.into_inner()?.flush()
}
