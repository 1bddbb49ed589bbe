//! Where a Redis server is, and who we are to it.

use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};
use url::{Host, Url};
use wif_tls::ClientConfig;

use super::connection::Connection;
use crate::secret::Secret;

/// What keys begin with, unless the program says otherwise.
const PREFIX: &str = "wif:";

/// A Redis server, and who this program is to it.
#[derive(Debug, Clone)]
pub struct RedisServer {
    host: String,
    port: u16,
    is_encrypted: bool,
    is_this_machine: bool,
    database: i64,
    user: Option<String>,
    password: Option<Secret>,
    extra_roots: Vec<String>,
    pub(super) prefix: String,
}

/// Why a Redis server cannot be used as a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// This is no such URL. It is not shown, for it may hold a password.
    #[error("this is no URL of a Redis server: write rediss://HOST, with :PORT, /DATABASE or USER@ where they are needed")]
    NotAUrl,
    /// The URL has a password in it.
    #[error("the URL holds a password, and URLs are shown in many places: take it out, and give it apart")]
    PasswordInUrl,
    /// The password would go over the network in the clear.
    #[error("the password would go to {host} in the clear: write rediss://, which is TLS")]
    PlainPassword {
        /// Where it would go.
        host: String,
    },
    /// A root certificate cannot be used, or the machine has none.
    #[error("{0}")]
    Roots(String),
}

impl RedisServer {
    /// The server of this URL: `rediss://HOST` by TLS, or `redis://HOST`. It may have a port (6379 otherwise), a database, and the name
    /// of a user. `valkeys` and `valkey` are the same.
    ///
    /// Nothing of a [`Policy`](crate::Policy) is asked: the program names the server, and no component can. No proxy leads to it.
    ///
    /// # Errors
    ///
    /// It is something else, or has a password in it.
    pub fn at(url: &str) -> Result<Self, RedisError> {
        let url = Url::parse(url.trim()).map_err(|_| RedisError::NotAUrl)?;
        let is_encrypted = match url.scheme() {
            "rediss" | "valkeys" => true,
            "redis" | "valkey" => false,
            _ => return Err(RedisError::NotAUrl),
        };
        if url.password().is_some() {
            return Err(RedisError::PasswordInUrl);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RedisError::NotAUrl);
        }
        // The client reads the rest. It is built without TLS, for connections are made here.
        let plain = url.as_str().replacen(url.scheme(), "redis", 1);
        let read = plain.into_connection_info().map_err(|_| RedisError::NotAUrl)?;
        let ConnectionAddr::Tcp(host, port) = read.addr() else { return Err(RedisError::NotAUrl) };
        let is_this_machine = match Host::parse(host) {
            Ok(Host::Domain(name)) => name == "localhost",
            Ok(Host::Ipv4(address)) => address.is_loopback(),
            _ => host == "::1",
        };
        Ok(Self {
            host: host.clone(),
            port: *port,
            is_encrypted,
            is_this_machine,
            database: read.redis_settings().db(),
            user: read.redis_settings().username().map(str::to_owned),
            password: None,
            extra_roots: Vec::new(),
            prefix: PREFIX.to_owned(),
        })
    }

    /// The password of the user, or of the server where there is no user.
    #[must_use]
    pub fn password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// Certificates, as PEM, to trust beside the platform's own.
    #[must_use]
    pub fn extra_root_certificate(mut self, pem: impl Into<String>) -> Self {
        self.extra_roots.push(pem.into());
        self
    }

    /// What the keys of entries begin with, for servers that others use, too. `wif:` by default.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    pub(super) fn connection(self) -> Result<Connection, RedisError> {
        if self.password.is_some() && !self.is_encrypted && !self.is_this_machine {
            return Err(RedisError::PlainPassword { host: self.host });
        }
        let tls = self.is_encrypted.then(|| trusting(&self.extra_roots)).transpose()?;
        // Not even the client's name is told: that is a command more that a user has to be allowed.
        let mut settings = RedisConnectionInfo::default().set_db(self.database).set_skip_set_lib_name();
        if let Some(user) = self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = self.password {
            settings = settings.set_password(password.reveal());
        }
        Ok(Connection::new(self.host, self.port, tls, settings))
    }
}

/// The platform's certificates, and these.
fn trusting(pems: &[String]) -> Result<Arc<ClientConfig>, RedisError> {
    let roots = |error: wif_tls::Error| RedisError::Roots(error.to_string());
    let extra = pems.iter().map(|pem| wif_tls::certificates(pem.as_bytes())).collect::<Result<Vec<_>, _>>().map_err(roots)?;
    wif_tls::platform(extra.concat()).map_err(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_server_is_and_who_asks() {
        let server = RedisServer::at("rediss://wif%2Dapp@redis.example:7000/3").unwrap();
        assert_eq!((server.host.as_str(), server.port, server.database), ("redis.example", 7000, 3));
        assert_eq!((server.user.as_deref(), server.is_encrypted), (Some("wif-app"), true));
        let server = RedisServer::at("redis://[::1]").unwrap();
        assert_eq!((server.host.as_str(), server.port, server.is_this_machine), ("::1", 6379, true));
        assert!(!RedisServer::at("valkey://10.0.0.1").unwrap().is_this_machine);
    }

    #[test]
    fn what_is_no_such_url_is_refused_and_not_shown() {
        for (url, error) in [
            ("https://canary.example", RedisError::NotAUrl),
            ("canary.example:6379", RedisError::NotAUrl),
            ("redis://", RedisError::NotAUrl),
            ("redis:///run/canary.sock", RedisError::NotAUrl),
            ("redis://canary.example/x", RedisError::NotAUrl),
            ("rediss://canary.example/#insecure", RedisError::NotAUrl),
            ("rediss://user:canary@redis.example", RedisError::PasswordInUrl),
            ("rediss://:canary@redis.example", RedisError::PasswordInUrl),
        ] {
            let refused = RedisServer::at(url).unwrap_err();
            assert_eq!(refused, error, "{url}");
            assert!(!refused.to_string().contains("canary"));
        }
    }

    #[test]
    fn a_password_goes_over_the_network_by_tls_alone() {
        let connection = |url: &str| RedisServer::at(url).unwrap().password(Secret::from("canary")).connection();
        let refused = connection("redis://redis.example").map(|_| ()).unwrap_err();
        assert_eq!(refused, RedisError::PlainPassword { host: "redis.example".to_owned() });
        for url in ["rediss://redis.example", "redis://localhost", "redis://127.0.0.1", "redis://[::1]"] {
            assert!(connection(url).is_ok(), "{url}");
        }
        assert!(RedisServer::at("redis://redis.example").unwrap().connection().is_ok());
        let shown = format!("{:?}", RedisServer::at("redis://localhost").unwrap().password(Secret::from("canary")));
        assert!(!shown.contains("canary"), "{shown}");
    }
}
