//! What a shell completes and what `man` shows, made from the definition of the command itself.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::output::{answer, say};

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// For which shell.
    shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Where to write the pages, such as /usr/local/share/man/man1. It is made if it is not there.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Prints the script that a shell reads.
pub(crate) fn completions(options: &Completions, mut command: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "wif", &mut script);
    answer(String::from_utf8_lossy(&script).trim_end())
}

/// Writes a page for the command, and one for each of its commands.
pub(crate) fn man(options: &Man, command: clap::Command) -> anyhow::Result<()> {
    let directory = &options.directory;
    let failed = || format!("cannot write to {}", directory.display());
    std::fs::create_dir_all(directory).with_context(failed)?;
    clap_mangen::generate_to(command, directory).with_context(failed)?;
    say(&format!("The pages are in {}: man {}/wif.1", directory.display(), directory.display()));
    Ok(())
}
