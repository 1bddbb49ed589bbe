//! A command that runs against the emulator, and with which the emulator ends.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use wif_emulator::Emulator;

use crate::child::Running;
use crate::emulate::line_of;
use crate::output::say_error;

/// Runs the command until it ends, and gives its exit code.
pub(crate) async fn run(
    emulator: &Emulator,
    program: &OsStr,
    arguments: &[OsString],
    variables: &[(&'static str, String)],
    unset: &[&'static str],
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let mut running = match Running::start(program, arguments, variables, unset)? {
        Ok(running) => running,
        Err(code) => return Ok(code),
    };
    let mut history = emulator.subscribe();
    let mut shown = 0;
    let mut tell = || {
        for entry in emulator.history_since(shown) {
            shown = entry.sequence + 1;
            if !quiet {
                say_error(&format!("wif emulate: {}", line_of(&entry)));
            }
        }
    };
    let code = loop {
        tokio::select! {
            code = running.ended() => break code?,
            Ok(()) = history.changed() => tell(),
        }
    };
    tell();
    Ok(code)
}
