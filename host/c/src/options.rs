//! What stands beside the configuration: `options` of `wif_open`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use wif::{Builder, Credential, DirectoryStore, Policy};

use crate::words::Problem;

/// The document.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    policy: PolicyOptions,
    store_directory: Option<PathBuf>,
    root_certificates: Vec<String>,
    max_waiters: Option<usize>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PolicyOptions {
    allow_origins: Vec<String>,
    allow_private_origins: Vec<String>,
    allow_loopback: bool,
    allow_directories: Vec<PathBuf>,
    allow_variables: Vec<String>,
    allow_sources: Vec<String>,
    allow_executables: Vec<String>,
    /// A URL, or `environment`.
    proxy: Option<String>,
    request_timeout_ms: Option<u64>,
    callable_timeout_ms: Option<u64>,
}

impl Options {
    pub(crate) fn read(document: &str) -> Result<Self, Problem> {
        let options: Self = serde_json::from_str(document)
            .map_err(|error| Problem::configuration("options", &format!("The options cannot be read: {error}.")))?;
        // What can be found wrong at once.
        options.policy()?;
        Ok(options)
    }

    /// What is set in the HTTP client has no meaning without ours.
    pub(crate) fn without_a_client(&self) -> Result<(), Problem> {
        let set = [("policy.proxy", self.policy.proxy.is_some()), ("root_certificates", !self.root_certificates.is_empty())];
        match set.into_iter().find(|(_, set)| *set) {
            None => Ok(()),
            Some((field, _)) => Err(Problem::configuration(
                field,
                "The program sends requests itself, so this option has no effect: set it in the program's own HTTP client.",
            )),
        }
    }

    /// A builder that follows them.
    pub(crate) fn builder(&self) -> Result<Builder, Problem> {
        let mut builder = Credential::builder().policy(self.policy()?);
        if !cfg!(feature = "sandbox") {
            builder = builder.native();
        }
        if let Some(directory) = &self.store_directory {
            let refused = |error: std::io::Error| {
                Problem::configuration("store_directory", &format!("The store cannot be used: {}: {error}.", directory.display()))
            };
            builder = builder.store(DirectoryStore::new(directory).map_err(refused)?);
        }
        for pem in &self.root_certificates {
            builder = builder.extra_root_certificate(pem);
        }
        if let Some(at_most) = self.max_waiters {
            builder = builder.max_waiters(at_most);
        }
        Ok(builder)
    }

    fn policy(&self) -> Result<Policy, Problem> {
        let options = &self.policy;
        let mut policy = Policy::default();
        for origin in &options.allow_origins {
            policy = policy.allow_origin(origin)?;
        }
        for origin in &options.allow_private_origins {
            policy = policy.allow_private_origin(origin)?;
        }
        if options.allow_loopback {
            policy = policy.allow_loopback();
        }
        for directory in &options.allow_directories {
            policy = policy.allow_directory(directory);
        }
        for name in &options.allow_variables {
            policy = policy.allow_variable(name);
        }
        for name in &options.allow_sources {
            policy = policy.allow_source(name);
        }
        for program in &options.allow_executables {
            policy = policy.allow_executable(program);
        }
        policy = match options.proxy.as_deref() {
            None => policy,
            Some("environment") => policy.proxy_from_environment()?,
            Some(url) => policy.proxy(url)?,
        };
        if let Some(at_most) = options.request_timeout_ms {
            policy = policy.request_timeout(Duration::from_millis(at_most));
        }
        if let Some(at_most) = options.callable_timeout_ms {
            policy = policy.callable_timeout(Duration::from_millis(at_most));
        }
        Ok(policy)
    }
}
