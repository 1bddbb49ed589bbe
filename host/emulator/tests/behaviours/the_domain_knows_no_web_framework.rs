//! What is decided stands below HTTP, which only translates: another front, or none, can stand on it.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates that know what a request of HTTP is, as they are named in a source.
const FRAMEWORKS: [&str; 5] = ["axum", "hyper", "hyper_util", "tower", "http"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn only_the_folder_http_names_the_web_framework() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("src/http");
    let (front, domain): (Vec<_>, Vec<_>) = sources(&here.join("src"))
        .into_iter()
        .chain(sources(&here.join("../federation/src")))
        .partition(|path| path.starts_with(&folder));
    let names = |path: &PathBuf| {
        let source = fs::read_to_string(path).expect("text").replace("crate::http::", "");
        FRAMEWORKS.into_iter().find(|name| source.contains(&format!("{name}::")))
    };
    assert!(front.iter().any(|path| names(path).is_some()), "the folder is where it was");
    for path in domain {
        assert_eq!(names(&path), None, "{}", path.display());
    }
}
