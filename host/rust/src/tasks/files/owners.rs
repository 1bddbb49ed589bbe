//! Whether others could have written a file, or put another in its place: what ssh asks of the files that it goes by.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const WRITABLE_BY_GROUP_OR_OTHERS: u32 = 0o022;
/// In such a directory nobody moves or removes what belongs to another, like `/tmp`.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Who this process runs as, and where this user is at home.
pub(super) struct Reader {
    pub(super) user: u32,
    pub(super) home: Option<PathBuf>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let home = crate::environment::variable("HOME").filter(|home| home.starts_with('/'));
        Self { user: rustix::process::geteuid().as_raw(), home: home.and_then(|home| fs::canonicalize(home).ok()) }
    }

    /// Why this file, at its path without links, is not to be trusted, with the command that mends it. Looks at the directories
    /// up to the home of this user, or to the root.
    pub(super) fn distrusts(&self, path: &Path, file: &Metadata) -> io::Result<Option<String>> {
        if let Some(why) = self.distrusts_one(path, file) {
            return Ok(Some(why));
        }
        for directory in path.ancestors().skip(1) {
            if let Some(why) = self.distrusts_one(directory, &fs::metadata(directory)?) {
                return Ok(Some(why));
            }
            if self.home.as_deref() == Some(directory) {
                break;
            }
        }
        Ok(None)
    }

    fn distrusts_one(&self, path: &Path, metadata: &Metadata) -> Option<String> {
        let (user, owner, mode) = (self.user, metadata.uid(), metadata.mode() & 0o7777);
        let (shown, word) = (path.display(), word(path));
        if owner != ROOT && owner != user {
            let why = format!("{shown} belongs to the user {owner}, and not to root or to the user {user} that this runs as");
            return Some(format!("{why}: chown {user} {word} mends it"));
        }
        let guarded = metadata.is_dir() && mode & STICKY != 0;
        (mode & WRITABLE_BY_GROUP_OR_OTHERS != 0 && !guarded)
            .then(|| format!("its group or others may write {shown} (mode {mode:04o}): chmod go-w {word} mends it"))
    }
}

/// The word that a shell reads as this path.
fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,".contains(letter);
    if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    /// A user that is neither root nor whoever runs the tests.
    const SOMEBODY: u32 = 54_321;

    struct Scene {
        _directory: tempfile::TempDir,
        folder: PathBuf,
        file: PathBuf,
        reader: Reader,
    }

    /// A profile two folders deep, in a directory that is nobody's home.
    fn scene() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().canonicalize().unwrap().join("con fig");
        fs::create_dir_all(folder.join("configs")).unwrap();
        let file = folder.join("configs/default.json");
        fs::write(&file, "{}").unwrap();
        for path in [&folder, &folder.join("configs"), &file] {
            set_mode(path, 0o700);
        }
        let reader = Reader { user: rustix::process::geteuid().as_raw(), home: None };
        Scene { _directory: directory, folder, file, reader }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    impl Scene {
        fn why(&self) -> Option<String> {
            self.reader.distrusts(&self.file, &fs::metadata(&self.file).unwrap()).unwrap()
        }
    }

    #[test]
    fn what_this_user_alone_may_write_is_trusted() {
        let scene = scene();
        assert_eq!(scene.why(), None);
        set_mode(&scene.file, 0o644);
        set_mode(&scene.folder, 0o755);
        assert_eq!(scene.why(), None, "others may read it");
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_the_command_that_mends_it() {
        let scene = scene();
        for mode in [0o602, 0o620, 0o666, 0o1666] {
            set_mode(&scene.file, mode);
            let why = scene.why().unwrap();
            assert!(why.contains(&format!("mode {mode:04o}")), "{why}");
            assert!(why.ends_with(&format!("chmod go-w '{}' mends it", scene.file.display())), "{why}");
        }
    }

    #[test]
    fn a_directory_that_others_may_write_is_refused_unless_each_may_move_only_what_is_theirs() {
        let scene = scene();
        for mode in [0o777, 0o770, 0o702] {
            set_mode(&scene.folder, mode);
            let why = scene.why().unwrap();
            assert!(why.ends_with(&format!("chmod go-w '{}' mends it", scene.folder.display())), "{why}");
        }
        set_mode(&scene.folder, 0o1777);
        assert_eq!(scene.why(), None);
    }

    #[test]
    fn what_is_above_the_home_of_this_user_is_not_looked_at() {
        let mut scene = scene();
        set_mode(&scene.folder, 0o777);
        scene.reader.home = Some(scene.folder.join("configs"));
        assert_eq!(scene.why(), None);
        scene.reader.home = Some(scene.folder.clone());
        assert!(scene.why().is_some(), "the home itself is");
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        let mut scene = scene();
        // Root can give a file away; others look at their own with the eyes of somebody else.
        if scene.reader.user == ROOT {
            for path in [&scene.file, &scene.folder] {
                chown(path, Some(SOMEBODY), None).unwrap();
                let why = scene.why().unwrap();
                assert!(why.ends_with(&format!("chown 0 '{}' mends it", path.display())), "{why}");
                chown(path, Some(ROOT), None).unwrap();
            }
            assert_eq!(scene.why(), None);
        } else {
            scene.reader.user = SOMEBODY;
            let why = scene.why().unwrap();
            assert!(why.ends_with(&format!("chown {SOMEBODY} '{}' mends it", scene.file.display())), "{why}");
        }
    }
}
