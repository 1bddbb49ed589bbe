//! Fetches an issuer's public keys by HTTP, from where the real service would.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde_json::Value;
use url::Url;
use wif_federation::{Issuer, Jwks, Keys, fetched_url, is_loopback, named_url};

use crate::identity::IdentityProvider;

/// Fetches the keys of issuers; those of the emulator's own identity provider are at hand.
pub(crate) struct KeyFetcher {
    provider: Option<IdentityProvider>,
}

impl KeyFetcher {
    pub(crate) fn of(provider: &IdentityProvider) -> Self {
        Self { provider: Some(provider.clone()) }
    }
}

/// Fetches keys as the real service does, from where the issuer's settings say. It knows no keys of [`Jwks::Emulator`].
#[must_use]
pub fn key_fetcher() -> impl Keys {
    KeyFetcher { provider: None }
}

impl Keys for KeyFetcher {
    fn fetch<'a>(&'a self, issuer: &'a Issuer) -> Pin<Box<dyn Future<Output = Result<Vec<Value>, String>> + Send + 'a>> {
        Box::pin(async move {
            let (location, ca_cert_pem) = match &issuer.jwks {
                Jwks::Inline { keys } => return Ok(keys.clone()),
                Jwks::Emulator {} => {
                    return match &self.provider {
                        Some(provider) if provider.is_withheld() => Err("the emulator's keys are withheld, as asked".to_owned()),
                        Some(provider) => Ok(provider.public_keys()),
                        None => Err("there is no emulator here whose keys could be taken".to_owned()),
                    };
                }
                Jwks::ExplicitUrl { url, ca_cert_pem } => (Location::Keys(url.clone()), ca_cert_pem),
                Jwks::Discovery { discovery_base: Some(base), ca_cert_pem } => {
                    (Location::Discovery { base: base.clone(), issuer: None }, ca_cert_pem)
                }
                Jwks::Discovery { discovery_base: None, ca_cert_pem } => {
                    let url = &issuer.issuer_url;
                    (Location::Discovery { base: url.clone(), issuer: Some(url.clone()) }, ca_cert_pem)
                }
            };
            Fetched { location, ca_cert_pem: ca_cert_pem.clone(), client: OnceLock::new() }.keys().await
        })
    }
}

struct Fetched {
    location: Location,
    ca_cert_pem: Option<String>,
    client: OnceLock<Result<reqwest::Client, String>>,
}

enum Location {
    /// The issuer that the discovery document has to name, unless it was looked for elsewhere.
    Discovery {
        base: String,
        issuer: Option<String>,
    },
    Keys(String),
}

const TIMEOUT: Duration = Duration::from_secs(5);

/// Of a discovery document or a key set, in bytes.
const MOST_BODY_BYTES: usize = 256 * 1024;

impl Fetched {
    async fn keys(&self) -> Result<Vec<Value>, String> {
        let url = match &self.location {
            Location::Keys(url) => acceptable(url, fetched_url(url))?,
            Location::Discovery { base, issuer } => {
                let url = format!("{}/.well-known/openid-configuration", base.trim_end_matches('/'));
                let url = acceptable(&url, fetched_url(&url))?;
                let document = self.get(&url).await?;
                if let Some(issuer) = issuer
                    && document["issuer"].as_str() != Some(issuer)
                {
                    return Err(format!("{url} names another issuer: {}", document["issuer"]));
                }
                jwks_uri(&document, &url)?
            }
        };
        match self.get(&url).await?.get_mut("keys").map(Value::take) {
            Some(Value::Array(keys)) => Ok(keys),
            _ => Err(format!("{url} is no JWK set")),
        }
    }

    async fn get(&self, url: &Url) -> Result<Value, String> {
        let client = self.client.get_or_init(|| client(url, self.ca_cert_pem.as_deref())).as_ref().map_err(Clone::clone)?;
        let failed = |error: reqwest::Error| format!("{url}: {}", whole(&error));
        let mut response = client.get(url.clone()).header("accept", "application/json").send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("{url}: status {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BODY_BYTES {
                return Err(format!("{url}: the document is larger than {MOST_BODY_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|_| format!("{url}: the document is not JSON"))
    }
}

/// Where the discovery document at `url` says that the keys are.
fn jwks_uri(document: &Value, url: &Url) -> Result<Url, String> {
    let named = document["jwks_uri"].as_str().ok_or_else(|| format!("{url} has no jwks_uri"))?;
    acceptable(named, named_url(named, url)).map_err(|message| format!("jwks_uri of {url}: {message}"))
}

fn acceptable(text: &str, url: Result<Url, String>) -> Result<Url, String> {
    url.map_err(|message| format!("{text}: {message}"))
}

/// The error with its causes, for an error of the client alone says little.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A client for `url` and what it names; it reaches loopback only from a URL of loopback, and else public addresses.
fn client(url: &Url, ca_cert_pem: Option<&str>) -> Result<reqwest::Client, String> {
    let extra_roots = ca_cert_pem.map_or(Ok(Vec::new()), |pem| wif_tls::certificates(pem.as_bytes()));
    let extra_roots = extra_roots.map_err(|error| format!("ca_cert_pem: {error}"))?;
    let tls = wif_tls::platform(extra_roots).map_err(|error| error.to_string())?;
    let loopback = is_loopback(url);
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(Arc::unwrap_or_clone(tls))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(Resolver { loopback }));
    let builder = if loopback { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| whole(&error))
}

/// The operating system's answers, without those that the real service would not connect to.
struct Resolver {
    loopback: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback = self.loopback;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let wanted: Vec<SocketAddr> =
                found.filter(|address| if loopback { address.ip().is_loopback() } else { is_public(address.ip()) }).collect();
            match wanted.is_empty() {
                true => Err(format!("{} has no {} address", name.as_str(), if loopback { "loopback" } else { "public" }).into()),
                false => Ok(Box::new(wanted.into_iter()) as Addrs),
            }
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b)))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(v4.into()),
            None => {
                let unusual = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast();
                !(unusual || v6.is_unique_local() || v6.is_unicast_link_local())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_the_real_service_cannot_reach_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
        for address in ["8.8.8.8", "100.63.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn a_discovery_document_elsewhere_does_not_lead_to_this_machine() {
        let elsewhere = Url::parse("https://issuer.example/.well-known/openid-configuration").expect("a URL");
        let here = Url::parse("http://127.0.0.1:8787/.well-known/openid-configuration").expect("a URL");
        let document = serde_json::json!({ "jwks_uri": "http://127.0.0.1:9200/keys" });
        let refused = jwks_uri(&document, &elsewhere).expect_err("it is refused");
        assert!(refused.contains("jwks_uri") && refused.contains("127.0.0.1:9200"), "{refused}");
        assert!(jwks_uri(&document, &here).is_ok());
    }

    /// B3 of the emulator's side: a public name that leads to this machine leads nowhere.
    #[tokio::test]
    async fn a_name_that_leads_to_loopback_is_followed_from_loopback_only() {
        let resolve = async |loopback: bool| {
            let name: Name = "localhost".parse().expect("a name");
            Resolver { loopback }.resolve(name).await.map(|addresses| addresses.count())
        };
        assert!(resolve(true).await.is_ok_and(|count| count > 0));
        assert!(resolve(false).await.is_err());
    }
}
