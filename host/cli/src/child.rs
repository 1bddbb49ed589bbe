//! A command that runs in this one's place: its exit code, and the signals that are meant for it.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::options::say_error;

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
    for (number, kind) in PASSED_ON {
        let mut arrivals = signal(kind).context("cannot listen for signals")?;
        let sender = sender.clone();
        tokio::spawn(async move { while arrivals.recv().await.is_some() && sender.send(number).is_ok() {} });
    }
    Ok(signals)
}

fn pass_on(signal: Signal, child: &Child) {
    // Ctrl-C and Ctrl-\ reach every process in the foreground of the terminal: the command has it already.
    let of_the_terminal = matches!(signal, Signal::INT | Signal::QUIT);
    if of_the_terminal && tcgetpgrp(std::io::stdin()).is_ok_and(|group| group == getpgrp()) {
        return;
    }
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // It may have ended meanwhile, which `wait` will tell.
        let _ = kill_process(pid, signal);
    }
}
