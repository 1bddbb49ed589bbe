//! Debian's Redis server, for tests of what stands on one.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::{Missing, runs};

/// How often a server is asked whether it is there, each after a pause.
const TRIES: u32 = 500;

const PAUSE: Duration = Duration::from_millis(20);

/// A Redis server on a port of this machine. It ends with this.
pub struct Redis {
    directory: TempDir,
    port: u16,
    more: Vec<String>,
    running: Option<Child>,
}

impl Redis {
    /// Starts one, with these lines of its settings beside ours.
    ///
    /// # Errors
    ///
    /// [`Missing`], if there is none.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn start(more: &[&str]) -> Result<Self, Missing> {
        for program in ["redis-server", "redis-cli"] {
            if !runs(Command::new(program).arg("--version")) {
                return Err(Missing::DebianPackage("redis-server"));
            }
        }
        let directory = tempfile::tempdir().expect("a directory");
        let more = more.iter().map(|text| (*text).to_owned()).collect();
        let mut redis = Self { directory, port: 0, more, running: None };
        // Somebody may take a port that was free.
        for _ in 0..8 {
            redis.port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
            if redis.try_again() {
                return Ok(redis);
            }
        }
        panic!("the Redis server does not start: {}", redis.log());
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it, and keeps nothing of what it knew.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ended = running.kill();
            let _ended = running.wait();
        }
    }

    /// Starts it again, at the same port.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn start_again(&mut self) {
        assert!(self.try_again(), "the Redis server does not start: {}", self.log());
    }

    /// What it answers to this command, as bytes.
    ///
    /// # Panics
    ///
    /// It does not answer.
    #[must_use]
    pub fn ask<I: AsRef<OsStr>>(&self, command: impl IntoIterator<Item = I>) -> Vec<u8> {
        let output = self.client().args(command).output().expect("redis-cli starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// All that it holds, as it would be written to a disk.
    ///
    /// # Panics
    ///
    /// It cannot be written.
    #[must_use]
    pub fn dump(&self) -> Vec<u8> {
        let _saved = self.ask(["SAVE"]);
        std::fs::read(self.directory.path().join("dump.rdb")).expect("it was written")
    }

    /// The tests' own client, which talks to it by its socket whatever its port asks for.
    fn client(&self) -> Command {
        let mut client = Command::new("redis-cli");
        client.arg("-s").arg(self.socket()).args(["--user", "tests", "--pass", "tests", "--no-auth-warning"]);
        client
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Writes the file of its settings.
    fn settings(&self) -> PathBuf {
        let (directory, port, more) = (self.directory.path().display(), self.port, self.more.join("\n"));
        // The port is by TLS where the settings say so.
        let ports = if more.contains("tls-") { format!("port 0\ntls-port {port}") } else { format!("port {port}") };
        let settings = format!(
            "bind 127.0.0.1\n{ports}\nunixsocket {directory}/socket\ndir {directory}\nlogfile {directory}/log\nsave \"\"\n\
             user tests on >tests ~* &* +@all\n{more}\n"
        );
        let path = self.directory.path().join("redis.conf");
        std::fs::write(&path, settings).expect("the directory is writable");
        path
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn try_again(&mut self) -> bool {
        self.stop();
        let mut running = Command::new("redis-server");
        running.arg(self.settings()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = running.spawn().expect("redis-server starts");
        for _ in 0..TRIES {
            if !matches!(running.try_wait(), Ok(None)) {
                return false;
            }
            if self.client().arg("PING").output().is_ok_and(is_pong) {
                self.running = Some(running);
                return true;
            }
            thread::sleep(PAUSE);
        }
        let _ended = running.kill().and_then(|()| running.wait());
        false
    }
}

fn is_pong(output: Output) -> bool {
    output.stdout.starts_with(b"PONG")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
