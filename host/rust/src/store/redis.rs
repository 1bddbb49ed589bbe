//! A store in a server that machines share: Redis, Valkey and their kin.

mod connection;
mod server;

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Value, cmd};

use self::connection::Connection;
pub use self::server::{RedisError, RedisServer};
use super::sealing::{HEAD_BYTES, MORE_BYTES};
use super::{BoxError, Entry, SealingKeys, Store, Swapped};
use crate::clock::BoxFuture;
use crate::limits::JOURNAL_BYTES;
use crate::secret::Secret;

/// An entry that nobody writes any more is forgotten after this time, in milliseconds. No identity token that the service takes lives for
/// longer than 49 hours, and no access token for longer than a day: by then all that the entry tells is over.
const KEPT_FOR_MS: u64 = 50 * 3_600_000;

/// The longest value under a key that can be an entry, in bytes.
const MAX_BYTES: usize = JOURNAL_BYTES + MORE_BYTES;

/// Compares and swaps, as one operation of the server. An entry is told from all others by the first bytes of what is stored. If the
/// new one is there already, an earlier try was done and its answer was lost.
const SWAP: &str = "
local stored = redis.call('GETRANGE', KEYS[1], 0, ARGV[1])
local head = string.sub(stored, 1, ARGV[2])
if head == ARGV[3] then
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
  return 1
end
if head == string.sub(ARGV[4], 1, ARGV[2]) then
  return 1
end
return stored
";

/// A store in a Redis server, for credentials on several machines: they make one exchange between them.
///
/// What is stored is sealed with [`SealingKeys`] before it leaves this process. The server, and whoever reads it, its backups or its
/// wire, learns which entries there are, how long they are and when they change. Whoever can write to it can remove an entry, or put an
/// older one back: that costs exchanges, and gives no token of theirs to anybody. What cannot be opened is ignored, said in the log,
/// and replaced.
///
/// It uses the commands `GETRANGE`, `SET` and `EVAL`, on keys that begin with [a prefix](RedisServer::prefix). The server has to be one
/// that takes writes: the primary, and not in cluster mode. A server that loses what it has taken (a failover, a restart without
/// persistence) costs an exchange that was not needed, or one that is refused.
///
/// There is one connection, made when it is needed and closed when it is not used for half a minute.
///
/// ```no_run
/// # fn example(text: wif::Secret, password: wif::Secret) -> Result<(), Box<dyn std::error::Error>> {
/// let server = wif::RedisServer::at("rediss://wif@redis.example")?.password(password);
/// let store = wif::RedisStore::new(server, wif::SealingKeys::read(&text)?)?;
/// let credential = wif::Credential::builder().store(store).build()?;
/// # Ok(()) }
/// ```
pub struct RedisStore {
    connection: Connection,
    prefix: String,
    keys: SealingKeys,
}

impl RedisStore {
    /// A store in this server. Does not connect: who opens a credential need not wait for it.
    ///
    /// # Errors
    ///
    /// What the server says of itself cannot be used.
    pub fn new(server: RedisServer, keys: SealingKeys) -> Result<Self, RedisError> {
        let prefix = server.prefix.clone();
        Ok(Self { connection: server.connection()?, prefix, keys })
    }

    fn place(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// What cannot be opened is an entry that no session can read: it is said there, too, and replaced at the cost of a round trip.
    fn entry(&self, key: &str, stored: &[u8]) -> Option<Entry> {
        if stored.is_empty() {
            return None;
        }
        let value = self.keys.open(key, stored).unwrap_or_else(|| {
            let place = self.place(key);
            tracing::warn!(
                target: "wif", code = "entry-not-opened",
                "{place} in {} was altered, or sealed with a key that is not given here: it is ignored", self.connection
            );
            Secret::from("")
        });
        Some(Entry { version: version_of(stored), value })
    }

    async fn load_entry(&self, key: &str) -> Result<Option<Entry>, BoxError> {
        let stored = self.connection.ask(cmd("GETRANGE").arg(self.place(key)).arg(0).arg(MAX_BYTES)).await?;
        match stored {
            Value::BulkString(stored) => Ok(self.entry(key, &stored)),
            _ => Err(self.connection.unintelligible().into()),
        }
    }

    async fn swap_entry(&self, key: &str, expected: Option<&str>, value: &Secret) -> Result<Swapped, BoxError> {
        let expected = BASE64_STANDARD.decode(expected.unwrap_or_default()).map_err(|_| "the version is of another store")?;
        let sealed = self.keys.seal(key, value)?;
        let mut swap = cmd("EVAL");
        swap.arg(SWAP).arg(1).arg(self.place(key)).arg(MAX_BYTES).arg(HEAD_BYTES).arg(expected).arg(&sealed).arg(KEPT_FOR_MS);
        match self.connection.ask(&swap).await? {
            Value::Int(1) => Ok(Swapped::Done(version_of(&sealed))),
            Value::BulkString(stored) => Ok(Swapped::Conflict(self.entry(key, &stored))),
            _ => Err(self.connection.unintelligible().into()),
        }
    }
}

fn version_of(stored: &[u8]) -> String {
    BASE64_STANDARD.encode(&stored[..stored.len().min(HEAD_BYTES)])
}

impl Store for RedisStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>> {
        Box::pin(self.load_entry(key))
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>> {
        Box::pin(async move { self.swap_entry(key, expected, &value).await })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RedisStore({}, {}*)", self.connection, self.prefix)
    }
}
