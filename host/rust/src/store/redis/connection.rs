//! The connection to a Redis server: one, made when it is needed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use wif_tls::{ClientConfig, ServerName};

/// A connection that takes longer is not made, with all that is said first. Sessions take a lease over after four seconds.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// An answer that takes longer is not waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A connection that is not used for so long is closed: servers bound their number, and what stands between forgets those that are still.
const IDLE: Duration = Duration::from_secs(30);

/// The way to a server.
pub(super) struct Connection {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    settings: RedisConnectionInfo,
    open: Mutex<Option<Open>>,
}

/// A connection that was made.
struct Open {
    client: MultiplexedConnection,
    used: Arc<Notify>,
    /// Moves its bytes.
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why there is no answer. It never shows what was sent or what came: servers repeat both.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the Redis server {server} cannot be reached: {why}")]
    Unreachable { server: String, why: String },
    #[error("the Redis server {server} refuses: {why}")]
    Refused { server: String, why: String },
}

impl Connection {
    pub(super) fn new(host: String, port: u16, tls: Option<Arc<ClientConfig>>, settings: RedisConnectionInfo) -> Self {
        Self { host, port, tls, settings, open: Mutex::default() }
    }

    /// Sends this command, and once more by another connection if the first one was lost: it has to be one that may be done twice.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Trouble> {
        let mut was_lost = false;
        loop {
            let mut client = self.client().await?;
            let error = match command.query_async(&mut client).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if is_of_server(&error) {
                return Err(self.trouble(&error));
            }
            // Whatever is still to come by this one is for nobody.
            self.open.lock().await.take();
            if error.is_timeout() || std::mem::replace(&mut was_lost, true) {
                return Err(self.trouble(&error));
            }
        }
    }

    pub(super) fn unintelligible(&self) -> Trouble {
        self.refused("it answers as no Redis server does")
    }

    /// The connection that is there, or another one.
    async fn client(&self) -> Result<MultiplexedConnection, Trouble> {
        let mut open = self.open.lock().await;
        if let Some(there) = open.as_ref().filter(|open| !open.task.is_finished()) {
            there.used.notify_one();
            return Ok(there.client.clone());
        }
        // Who waits for the lock needs none of its own.
        let made = tokio::time::timeout(CONNECT_WITHIN, self.connect()).await;
        let made =
            made.unwrap_or_else(|_| Err(self.unreachable(format!("no connection within {} s", CONNECT_WITHIN.as_secs()))))?;
        Ok(open.insert(made).client.clone())
    }

    async fn connect(&self) -> Result<Open, Trouble> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(|error| self.unreachable(error.to_string()))?;
        // A command is smaller than a packet, and is waited for.
        tcp.set_nodelay(true).map_err(|error| self.unreachable(error.to_string()))?;
        let Some(tls) = &self.tls else { return self.greet(tcp).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| self.unreachable(error.to_string()))?;
        let encrypted = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await;
        self.greet(encrypted.map_err(|error| self.unreachable(error.to_string()))?).await
    }

    /// Says who we are, and which database is meant.
    async fn greet(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Open, Trouble> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
        let greeted = MultiplexedConnection::new_with_config(&self.settings, stream, config).await;
        let (client, moving) = greeted.map_err(|error| self.trouble(&error))?;
        let used = Arc::new(Notify::new());
        let task = tokio::spawn({
            let used = Arc::clone(&used);
            async move {
                let idle = async { while tokio::time::timeout(IDLE, used.notified()).await.is_ok() {} };
                tokio::select! {
                    () = moving => {}
                    () = idle => {}
                }
            }
        });
        Ok(Open { client, used, task })
    }

    /// What an error means for whoever set the server up.
    fn trouble(&self, error: &redis::RedisError) -> Trouble {
        if error.is_timeout() {
            return self.unreachable(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return self.refused("the user or the password is wrong, or is missing: correct them");
        }
        if !is_of_server(error) {
            return self.unreachable(if error.is_io_error() { error.to_string() } else { "the connection was lost".to_owned() });
        }
        let code = error.code().unwrap_or_default();
        self.refused(match code {
            "WRONGPASS" | "NOAUTH" => "the user or the password is wrong, or is missing: correct them",
            "NOPERM" => "the user may not do this: allow it EVAL, GETRANGE and SET on the keys of the store",
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => "it is in cluster mode: name one that is not",
            "READONLY" => "it is a replica, which takes no writes: name the primary",
            "LOADING" | "MASTERDOWN" | "MISCONF" | "OOM" => "it takes no commands, or no writes, now: see its own log",
            "WRONGTYPE" => "something else is in the place of an entry: remove it, or take another prefix or database",
            _ => "see its own log",
        })
    }

    fn unreachable(&self, why: String) -> Trouble {
        Trouble::Unreachable { server: self.to_string(), why }
    }

    fn refused(&self, why: &str) -> Trouble {
        Trouble::Refused { server: self.to_string(), why: why.to_owned() }
    }
}

/// Whether it is the server's own answer, and not the connection's trouble.
fn is_of_server(error: &redis::RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::AuthenticationFailed)
}

impl fmt::Display for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_it_is_not_used_any_more() {
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let connection = Connection::new("::1".to_owned(), 6379, None, settings);
        assert_eq!(connection.to_string(), "[::1]:6379");
        let (ours, _theirs) = tokio::io::duplex(1024);
        let Ok(open) = connection.greet(ours).await else { panic!("nothing is asked of it") };
        for _ in 0..3 {
            tokio::time::sleep(IDLE * 2 / 3).await;
            assert!(!open.task.is_finished());
            open.used.notify_one();
        }
        tokio::time::sleep(IDLE * 2).await;
        assert!(open.task.is_finished());
    }
}
