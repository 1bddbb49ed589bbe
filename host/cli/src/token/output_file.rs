//! A file that holds a token for programs that can only read files.

use std::path::{Path, PathBuf};

use wif::{Secret, private};

use crate::exit::Wrong;

/// The place of the file.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
}

impl OutputFile {
    /// Refuses a place where no file can be, before anything is spent.
    pub(crate) fn at(path: &Path) -> Result<Self, Wrong> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let refuse = |what: &str| Err(Wrong(format!("--output: {} {what}", path.display())));
        if path.file_name().is_none() || path.is_dir() {
            return refuse("is a directory: name a file in it");
        }
        if std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return refuse("is no regular file: a link is not followed");
        }
        if !directory.is_dir() {
            return refuse("is in a directory that does not exist: make it");
        }
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Puts another file in its place, so that no reader ever sees half of one.
    pub(crate) fn replace(&self, content: &str) -> anyhow::Result<()> {
        let content = Secret::from(format!("{content}\n"));
        private::replace_unlocked(&self.path, &content).map_err(|error| anyhow::anyhow!("cannot write {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        std::fs::write(&path, "old").expect("it is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode changes");
        let mut reader = std::fs::File::open(&path).expect("it opens");
        OutputFile::at(&path).expect("a place").replace("new").expect("it is replaced");
        let mut seen = String::new();
        std::io::Read::read_to_string(&mut reader, &mut seen).expect("it is read");
        assert_eq!(seen, "old", "who has it open keeps what was there");
        assert_eq!(std::fs::read_to_string(&path).expect("it is read"), "new\n");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is read").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn where_no_file_can_be_is_refused_before_anything_is_spent() {
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        symlink(directory.path().join("elsewhere"), &link).expect("a link");
        for path in [directory.path().to_owned(), link, directory.path().join("none/token")] {
            assert!(OutputFile::at(&path).is_err(), "{}", path.display());
        }
    }
}
