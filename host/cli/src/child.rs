//! A command that runs in this one's place: its exit code, and the signals that are meant for it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::output::say_error;

/// There is no such command, as shells say it.
const NOT_FOUND: u8 = 127;
/// It is there and cannot be run.
const NOT_RUN: u8 = 126;

/// The signals that are passed on.
const PASSED_ON: [(Signal, SignalKind); 6] = [
    (Signal::INT, SignalKind::interrupt()),
    (Signal::TERM, SignalKind::terminate()),
    (Signal::HUP, SignalKind::hangup()),
    (Signal::QUIT, SignalKind::quit()),
    (Signal::USR1, SignalKind::user_defined1()),
    (Signal::USR2, SignalKind::user_defined2()),
];

/// A command that is under way.
pub(crate) struct Running {
    child: Child,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Running {
    /// Starts it with these variables and without those; the exit code where that cannot be done.
    pub(crate) fn start(
        program: &OsStr,
        arguments: &[OsString],
        variables: &[(&str, String)],
        unset: &[&str],
    ) -> anyhow::Result<Result<Self, ExitCode>> {
        // Before there is anything that a signal could leave behind.
        let signals = signals()?;
        let mut command = Command::new(program);
        unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        Ok(match command.spawn() {
            Ok(child) => Ok(Self { child, signals }),
            Err(error) => {
                say_error(&format!("wif: cannot run {}: {error}", program.display()));
                Err(ExitCode::from(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN }))
            }
        })
    }

    /// Waits for its end, and passes signals on meanwhile. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status.context("the command cannot be waited for").map(code_of),
                Some(signal) = self.signals.recv() => pass_on(signal, &self.child),
            }
        }
    }
}

/// As a shell tells it: the code of the command, or 128 and the number of the signal that ended it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn signals() -> anyhow::Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, signals) = mpsc::unbounded_channel();
    let ignored = ignored();
    // With a handler here the command would begin with the usual effect of such a signal: `nohup` means it to be ignored.
    for (number, kind) in PASSED_ON.into_iter().filter(|(number, _)| !is_among(ignored, *number)) {
        let mut arrivals = signal(kind).context("cannot listen for signals")?;
        let sender = sender.clone();
        tokio::spawn(async move { while arrivals.recv().await.is_some() && sender.send(number).is_ok() {} });
    }
    Ok(signals)
}

/// The signals that whoever started this process has it ignore, a bit for each from the lowest on.
#[cfg(target_os = "linux")]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Nothing here tells it without `unsafe`.
#[cfg(not(target_os = "linux"))]
fn ignored() -> u64 {
    0
}

fn is_among(mask: u64, signal: Signal) -> bool {
    // Signal 1 has bit 0.
    u32::try_from(signal.as_raw() - 1).ok().and_then(|bit| mask.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
}

/// Whether this process is in the foreground of its terminal, wherever its standard input comes from.
fn in_the_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

fn pass_on(signal: Signal, child: &Child) {
    // Ctrl-C and Ctrl-\ reach every process in the foreground of the terminal: the command has it already.
    if matches!(signal, Signal::INT | Signal::QUIT) && in_the_foreground() {
        return;
    }
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // It may have ended meanwhile, which `wait` will tell.
        let _ = kill_process(pid, signal);
    }
}
