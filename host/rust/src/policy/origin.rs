//! Origins, compared as parsed: scheme, host and port, and never as text.

use url::{Host, Url};

use crate::error::PolicyError;

/// An origin that requests may go to.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    origin: url::Origin,
    host: Host<String>,
    text: String,
    reach: Reach,
}

/// Where a host's name may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To addresses of the public internet.
    Public,
    /// Also to those of private networks.
    Private,
    /// To this machine, and nowhere else.
    Loopback,
    /// To the metadata service of this machine, and nowhere else.
    Metadata,
}

impl Origin {
    pub(crate) fn parse(text: &str, reach: Reach) -> Result<Self, PolicyError> {
        let invalid = || PolicyError::NotAnOrigin(text.to_owned());
        let url = Url::parse(text).map_err(|_| invalid())?;
        if !is_bare(&url) || url.path() != "/" || url.query().is_some() {
            return Err(invalid());
        }
        let host = url.host().ok_or_else(invalid)?.to_owned();
        let reach = if is_loopback(&host) { Reach::Loopback } else { reach };
        match url.scheme() {
            "https" => {}
            "http" if reach == Reach::Loopback => {}
            "http" => return Err(PolicyError::PlainHttp(text.to_owned())),
            _ => return Err(invalid()),
        }
        let origin = url.origin();
        Ok(Self { text: origin.ascii_serialization(), origin, host, reach })
    }

    /// Whether the text is this origin and nothing more.
    pub(crate) fn is(&self, text: &str) -> bool {
        Origin::parse(text, Reach::Public).is_ok_and(|other| other.origin == self.origin)
    }

    /// Whether the URL is of this origin, without user information or a fragment.
    pub(crate) fn contains(&self, url: &Url) -> bool {
        is_bare(url) && url.origin() == self.origin
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    pub(crate) fn has_host(&self, name: &str) -> bool {
        matches!(&self.host, Host::Domain(domain) if domain.eq_ignore_ascii_case(name))
    }
}

fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}
