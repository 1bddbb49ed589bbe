//! Files, from the directories that the host has opened.

use wasi::filesystem::preopens;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags};
use wif_engine::Secret;
use wif_engine::contract::{FileProtection, FileRequest, Outcome};
use zeroize::Zeroizing;

/// So often a mount may swap its files under one read.
const SWAPS: u32 = 3;

/// Reads a file. Its protection is not checked, for WASI shows no permissions.
pub(crate) fn read(request: &FileRequest) -> Outcome {
    let directories = preopens::get_directories();
    let paths: Vec<&str> = directories.iter().map(|(_, path)| path.as_str()).collect();
    let Some((position, path)) = locate(&paths, &request.path) else { return out_of_reach(request.protection) };
    let directory = &directories[position].0;
    let mut result = read_at(directory, &path, request.max_bytes);
    // What a mount swaps is removed at once: the file that the path led to may be gone before it is opened. To ask whether there is
    // one would meet the same.
    for _ in 0..SWAPS {
        if !matches!(result, Err(ErrorCode::NoEntry)) {
            break;
        }
        result = read_at(directory, &path, request.max_bytes);
    }
    result.unwrap_or_else(outcome_of)
}

/// What a file is that no opened directory holds. Profiles may be anywhere, and most programs have none; but who names the file of the
/// identity token means it to be read.
fn out_of_reach(protection: FileProtection) -> Outcome {
    match protection {
        FileProtection::Any => Outcome::Denied("the host has opened no directory that holds it (wasmtime: --dir)".to_owned()),
        FileProtection::UnwritableByOthers => Outcome::Absent,
    }
}

/// The directory with the longest path that is a prefix of `path`, and the rest of `path`. As in WASI's C library, all paths begin
/// at the root: a directory opened as `.` is the root, too.
pub(crate) fn locate(directories: &[&str], path: &str) -> Option<(usize, String)> {
    let path = segments(path);
    let holding = directories.iter().enumerate().filter_map(|(position, directory)| {
        let directory = segments(directory);
        path.starts_with(&directory).then_some((directory.len(), position))
    });
    let (length, position) = holding.max()?;
    let rest = path[length..].join("/");
    Some((position, if rest.is_empty() { ".".to_owned() } else { rest }))
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect()
}

fn read_at(directory: &Descriptor, path: &str, max_bytes: u32) -> Result<Outcome, ErrorCode> {
    // Links are followed: a kubelet publishes tokens behind two of them. Looked at before it is opened, for to open a pipe may
    // wait for a writer, and once more when it cannot be swapped any longer.
    if let Some(refused) = refuse_irregular(directory.stat_at(PathFlags::SYMLINK_FOLLOW, path)?.type_) {
        return Ok(refused);
    }
    let file = directory.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)?;
    if let Some(refused) = refuse_irregular(file.stat()?.type_) {
        return Ok(refused);
    }
    let limit = u64::from(max_bytes);
    Ok(match content(&file, limit)? {
        Some(content) => Outcome::Content(Secret::from(String::from_utf8_lossy(&content).into_owned())),
        None => Outcome::Failed(format!("the file is longer than {limit} bytes")),
    })
}

/// All that is in a file, if it is no longer than `limit` bytes.
pub(crate) fn content(file: &Descriptor, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, ErrorCode> {
    let mut content = Zeroizing::new(Vec::new());
    loop {
        let offset = content.len() as u64;
        if offset > limit {
            return Ok(None);
        }
        let (bytes, end) = file.read(limit + 1 - offset, offset)?;
        let bytes = Zeroizing::new(bytes);
        content.extend_from_slice(&bytes);
        if end || bytes.is_empty() {
            return Ok(Some(content));
        }
    }
}

fn refuse_irregular(kind: DescriptorType) -> Option<Outcome> {
    match kind {
        DescriptorType::RegularFile => None,
        DescriptorType::Directory => Some(Outcome::Failed("it is a directory".to_owned())),
        _ => Some(Outcome::Denied("only regular files are read".to_owned())),
    }
}

fn outcome_of(error: ErrorCode) -> Outcome {
    match error {
        // A part of the path that is a file is as good as none: a mount that is not there yet.
        ErrorCode::NoEntry | ErrorCode::NotDirectory => Outcome::Absent,
        ErrorCode::Access => Outcome::Denied("the file's permissions do not let the host read it".to_owned()),
        ErrorCode::NotPermitted => {
            Outcome::Denied("the host does not permit it, or it leads out of the directories that the host has opened".to_owned())
        }
        other => Outcome::Failed(format!("the file could not be read ({})", other.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(directories: &[&'static str], path: &str) -> Option<(&'static str, String)> {
        locate(directories, path).map(|(position, rest)| (directories[position], rest))
    }

    #[test]
    fn the_longest_prefix_wins() {
        let directories = ["/", "/var/run/secrets", "/var"];
        let found = |directory, rest: &str| Some((directory, rest.to_owned()));
        assert_eq!(located(&directories, "/var/run/secrets/token"), found("/var/run/secrets", "token"));
        assert_eq!(located(&directories, "/var/run//./secrets/a/token"), found("/var/run/secrets", "a/token"));
        assert_eq!(located(&directories, "/var/run/secretsandmore"), found("/var", "run/secretsandmore"));
        assert_eq!(located(&directories, "/etc/token"), found("/", "etc/token"));
        assert_eq!(located(&directories, "/var"), found("/var", "."));
    }

    #[test]
    fn a_path_under_no_directory_is_nowhere() {
        assert_eq!(located(&["/var/run"], "/var/token"), None);
        assert_eq!(located(&[], "/token"), None);
    }

    #[test]
    fn an_identity_token_out_of_reach_is_not_taken_for_one_that_is_not_there_yet() {
        assert!(matches!(out_of_reach(FileProtection::Any), Outcome::Denied(why) if why.contains("--dir")));
        assert_eq!(out_of_reach(FileProtection::UnwritableByOthers), Outcome::Absent);
    }

    #[test]
    fn a_relative_path_begins_at_the_root() {
        assert_eq!(located(&["."], "token"), Some((".", "token".to_owned())));
        assert_eq!(located(&["/data"], "./data/token"), Some(("/data", "token".to_owned())));
    }

    #[test]
    fn errors_are_told_apart_by_what_mends_them() {
        assert_eq!(outcome_of(ErrorCode::NoEntry), Outcome::Absent);
        assert_eq!(outcome_of(ErrorCode::NotDirectory), Outcome::Absent);
        assert!(matches!(outcome_of(ErrorCode::Access), Outcome::Denied(_)));
        assert!(matches!(outcome_of(ErrorCode::NotPermitted), Outcome::Denied(_)));
        assert_eq!(outcome_of(ErrorCode::Loop), Outcome::Failed("the file could not be read (loop)".to_owned()));
    }
}
