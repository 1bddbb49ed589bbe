//! What a desktop's session has for its programs, without the desktop: Debian's session bus, and GNOME's keychain on it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::{Missing, runs};

/// How often something is asked whether it is there, each after a pause.
const TRIES: u32 = 500;

const PAUSE: Duration = Duration::from_millis(20);

/// The bus starts nothing by itself: what is not started here is not there.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>"#;

/// A session bus, and a keychain on it that is open. They end with this.
pub struct Desktop {
    directory: TempDir,
    bus: Option<Child>,
    keychain: Option<Child>,
}

impl Desktop {
    /// Starts both, in a home of their own.
    ///
    /// # Errors
    ///
    /// [`Missing`], if a package is.
    ///
    /// # Panics
    ///
    /// They do not start.
    pub fn start() -> Result<Self, Missing> {
        for (program, package) in
            [("dbus-daemon", "dbus"), ("gnome-keyring-daemon", "gnome-keyring"), ("secret-tool", "libsecret-tools")]
        {
            // The last one knows no `--version`, and ends with an error where it is.
            if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
                return Err(Missing::DebianPackage(package));
            }
        }
        let mut desktop = Self { directory: tempfile::tempdir().expect("a directory"), bus: None, keychain: None };
        let (socket, settings) = (desktop.socket(), desktop.directory.path().join("bus.conf"));
        std::fs::write(&settings, BUS.replace("SOCKET", &socket.display().to_string())).expect("the directory is writable");
        let mut bus = desktop.program("dbus-daemon");
        bus.arg("--config-file").arg(&settings).args(["--nofork", "--nosyslog"]);
        desktop.bus = Some(bus.spawn().expect("dbus-daemon starts"));
        until("the bus is there", || socket.exists());
        desktop.open_keychain();
        Ok(desktop)
    }

    /// The variable by which programs find the bus.
    #[must_use]
    pub fn variable(&self) -> (&'static str, String) {
        ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", self.socket().display()))
    }

    /// Starts the keychain, from what it keeps in its files, and opens it.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn open_keychain(&mut self) {
        self.end_keychain();
        let mut keychain = self.program("gnome-keyring-daemon");
        keychain.args(["--foreground", "--components=secrets", "--unlock"]).stdin(Stdio::piped());
        let mut keychain = keychain.spawn().expect("gnome-keyring-daemon starts");
        // The password: an empty line. Nobody else has these files.
        keychain.stdin.take().expect("it is piped").write_all(b"\n").expect("it reads");
        self.keychain = Some(keychain);
        until("the keychain is open", || runs(self.program("secret-tool").args(["search", "--all", "none", "none"])));
    }

    /// Starts the keychain anew, and leaves it locked. There is nobody who would ask a person for the password.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn lock_keychain(&mut self) {
        self.end_keychain();
        let mut keychain = self.program("gnome-keyring-daemon");
        self.keychain =
            Some(keychain.args(["--foreground", "--components=secrets"]).spawn().expect("gnome-keyring-daemon starts"));
        until("the keychain is there", || runs(self.program("secret-tool").args(["search", "--all", "none", "none"])));
    }

    /// Ends the keychain. The bus stays.
    pub fn end_keychain(&mut self) {
        end(&mut self.keychain);
    }

    /// The secret with these attributes, if there is one.
    ///
    /// # Panics
    ///
    /// The keychain cannot be asked.
    #[must_use]
    pub fn secret(&self, attributes: &[&str]) -> Option<String> {
        let output = self.program("secret-tool").arg("lookup").args(attributes).stdout(Stdio::piped()).output();
        let output = output.expect("secret-tool starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Puts another secret in the place of that with these attributes.
    ///
    /// # Panics
    ///
    /// The keychain does not take it.
    pub fn replace_secret(&self, attributes: &[&str], secret: &str) {
        assert!(runs(self.program("secret-tool").arg("clear").args(attributes)), "it is removed");
        let mut store = self.program("secret-tool");
        let mut store =
            store.args(["store", "--label", "tests"]).args(attributes).stdin(Stdio::piped()).spawn().expect("it starts");
        store.stdin.take().expect("it is piped").write_all(secret.as_bytes()).expect("it reads");
        assert!(store.wait().expect("it ends").success(), "it is stored");
    }

    /// The files of the keychain.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("bus")
    }

    fn program(&self, name: &str) -> Command {
        let home = self.directory.path();
        let (variable, address) = self.variable();
        let mut program = Command::new(name);
        program.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env(variable, address);
        program.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("XDG_DATA_HOME", home.join("data"));
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        program
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.end_keychain();
        end(&mut self.bus);
    }
}

fn end(program: &mut Option<Child>) {
    if let Some(mut program) = program.take() {
        let _ended = program.kill();
        let _ended = program.wait();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..TRIES {
        if is_so() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("not so in time: {what}");
}
