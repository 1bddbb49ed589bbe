//! What the component asks for, done. A task ends in one outcome, whatever happens.

mod executable;
mod files;
mod running;
mod workload_api;

pub use files::distrusted;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;

use crate::bindings::types::{self, Capability, Outcome, Task};
use crate::callables::{AssertionRequest, Callables, SignRequest, TokenRequest};
use crate::clock::{BoxFuture, Clock, millis};
use crate::environment;
use crate::limits::{CONTENT_BYTES, JOURNAL_BYTES};
use crate::policy::{Grants, Policy};
use crate::secret::Secret;
use crate::status::shown;
use crate::store::{BoxError, CredentialsFile, Entry, Store, Swapped};
use crate::transport::Transport;

pub(crate) use executable::Executable;
pub(crate) use running::{Ended, Kind, Running};
pub(crate) use workload_api::WorkloadApi;

/// Everything that tasks need.
pub(crate) struct Host {
    pub(crate) policy: Arc<Policy>,
    pub(crate) grants: Grants,
    pub(crate) transport: Transport,
    pub(crate) callables: Callables,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where the program keeps journals.
    pub(crate) journals: Option<Keep>,
    /// A place for each file that is being read. Who reads from a file system that does not answer keeps the place.
    pub(crate) readers: Arc<Semaphore>,
}

/// The program's function that keeps a journal.
pub(crate) type Keep = Arc<dyn Fn(&Secret) -> Result<(), BoxError> + Send + Sync>;

/// The audience of identity tokens, unless the configuration says another.
const DEFAULT_AUDIENCE: &str = "https://api.anthropic.com";

/// So many files may be read at once.
pub(crate) const READERS: usize = 4;

impl Host {
    /// What a session may ask for. Nothing is promised that would only be refused later.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let mut can = vec![Capability::ReadFile, Capability::ReadVariable];
        let Callables { identity_tokens, access_tokens, signers } = &self.callables;
        let supplies = !identity_tokens.is_empty() || self.grants.supplies_identity_tokens();
        can.extend(supplies.then_some(Capability::SupplyAssertion));
        can.extend((!access_tokens.is_empty()).then_some(Capability::SupplyToken));
        can.extend((!signers.is_empty()).then_some(Capability::Sign));
        can.extend(self.store.as_ref().map(|store| match store.compares() {
            true => Capability::Store,
            false => Capability::Cache,
        }));
        can
    }

    pub(crate) async fn perform(&self, task: Task) -> Outcome {
        match task {
            Task::SendRequest(request) => self.transport.send(request, &self.grants, &*self.clock).await,
            Task::ReadFile(request) => self.read_file(request).await,
            Task::ReadVariable(name) => self.read_variable(&name),
            Task::SupplyAssertion(request) => self.supply_assertion(request).await,
            Task::SupplyToken(request) => self.supply_token(request).await,
            Task::Sign(request) => self.sign(request).await,
            Task::LoadEntry(key) => self.load(&key).await,
            Task::SwapEntry(swap) => self.swap(swap).await,
        }
    }

    /// Hands a journal to the program, before anything that it tells of is begun.
    pub(crate) fn keep(&self, journal: &Secret) -> Result<(), String> {
        let Some(keep) = &self.journals else { return Ok(()) };
        let why = match catch_unwind(AssertUnwindSafe(|| keep(journal))) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => shown(error.to_string()),
            Err(_) => "the program's function panicked".to_owned(),
        };
        tracing::error!(target: "wif", code = "journal-not-kept", "the journal could not be kept: {why}");
        Err(format!("the journal could not be kept: {why}"))
    }

    async fn read_file(&self, mut request: types::FileRequest) -> Outcome {
        let source = self.grants.source_of_file(&request.path);
        let allowed = source.map_or(Ok(()), |source| self.policy.check_source(source));
        if let Err(rule) = self.grants.check_file(&request.path).and(allowed) {
            return Outcome::Denied(rule);
        }
        let path = self.grants.absolute(&request.path);
        if self.grants.is_credentials(&request.path) {
            // What others could read is no secret any more.
            let file = match self.credentials_at(path).await {
                Ok(file) => file,
                Err(rule) => return Outcome::Denied(rule),
            };
            return match self.limited(Box::pin(file.load())).await {
                Ok(Some(entry)) => Outcome::Content(entry.value.into_revealed()),
                Ok(None) => Outcome::Absent,
                Err(reason) => Outcome::Denied(reason),
            };
        }
        let within = self.grants.directory_of_profile(&request.path);
        let profile = within.is_some();
        if profile {
            // A profile opens other files: what it is held to is not for the component to say.
            request.protection = types::FileProtection::UnwritableByOthers;
        }
        let outcome = files::read(path, request, within, Arc::clone(&self.policy), &self.readers).await;
        if let (true, Outcome::Content(content)) = (profile, &outcome) {
            self.grants.profile_was_read(content);
        }
        outcome
    }

    fn read_variable(&self, name: &str) -> Outcome {
        if let Err(rule) = self.may_read(name) {
            return Outcome::Denied(rule);
        }
        environment::variable(name).map_or(Outcome::Absent, Outcome::Content)
    }

    async fn supply_assertion(&self, request: types::AssertionRequest) -> Outcome {
        // What the program gives under one of our own names goes before ours.
        let answer = match (self.callables.identity_tokens.get(&request.name), request.name.as_str()) {
            (Some(callable), _) => self.limited(callable(AssertionRequest { audience: request.audience })).await,
            (None, executable::NAME) => match self.grants.executable(&request.audience) {
                Some(executable) => match self.policy.check_executable(executable.program()) {
                    Ok(()) => self.limited(Box::pin(async { executable.run().await.map_err(BoxError::from) })).await,
                    Err(rule) => return Outcome::Denied(rule),
                },
                None => return unnamed(&request.name),
            },
            (None, workload_api::NAME) => match self.grants.workload_api(&request.audience) {
                Some(api) => match api.socket() {
                    Ok(socket) => match self.may_ask(&socket) {
                        Ok(()) => self.limited(Box::pin(async { api.ask(&socket).await.map_err(BoxError::from) })).await,
                        Err(rule) => return Outcome::Denied(rule),
                    },
                    Err(reason) => Err(reason),
                },
                None => return unnamed(&request.name),
            },
            (None, name) => return unknown("identity_token", name),
        };
        answer.and_then(bounded).map_or_else(Outcome::Failed, |token| Outcome::Content(token.into_revealed()))
    }

    /// Whether the Workload API may be asked by this socket.
    fn may_ask(&self, socket: &Path) -> Result<(), String> {
        self.policy.check_source_sends(workload_api::NAME)?;
        self.policy.check_file(&socket.canonicalize().unwrap_or_else(|_| socket.to_owned()))
    }

    async fn supply_token(&self, request: types::TokenRequest) -> Outcome {
        let Some(callable) = self.callables.access_tokens.get(&request.name) else {
            return unknown("access_token", &request.name);
        };
        let answer = self.limited(callable(TokenRequest { rejected: request.rejected })).await;
        match answer.and_then(|token| Ok((bounded(token.value)?, token.expires_at))) {
            Ok((value, expires_at)) => Outcome::Token(types::SuppliedToken {
                value: value.into_revealed(),
                expires_at_ms: expires_at.map(|at| millis(at.duration_since(UNIX_EPOCH).unwrap_or_default())),
            }),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    /// What a platform's recipe reads needs no leave beside that of the source.
    fn may_read(&self, variable: &str) -> Result<(), String> {
        match self.grants.platform_of(variable) {
            Some(source) => self.policy.check_source(source),
            None => self.policy.check_variable(variable).and_then(|()| self.grants.check_variable(variable)),
        }
    }

    async fn sign(&self, request: types::SignRequest) -> Outcome {
        let Some(signer) = self.callables.signers.get(&request.key) else { return unknown("signer", &request.key) };
        let answer = self.limited(signer(SignRequest { algorithm: request.algorithm, input: request.input })).await;
        let encoded = answer.and_then(|signature| bounded(Secret::from(BASE64_URL_SAFE_NO_PAD.encode(signature))));
        encoded.map_or_else(Outcome::Failed, |signature| Outcome::Content(signature.into_revealed()))
    }

    /// The credentials file at this path, if the policy allows it.
    async fn credentials_at(&self, path: PathBuf) -> Result<CredentialsFile, String> {
        // The file itself is no link, or it is refused when it is read.
        let directory = match path.parent() {
            Some(directory) => tokio::fs::canonicalize(directory).await.ok(),
            None => None,
        };
        let resolved = directory.zip(path.file_name()).map_or_else(|| path.clone(), |(directory, name)| directory.join(name));
        self.policy.check_file(&resolved)?;
        // Whoever may write there could put another login in its place.
        if let Some(directory) = path.parent().map(Path::to_owned)
            && let Ok(Ok(Some(why))) = tokio::task::spawn_blocking(move || files::distrusted(&directory)).await
        {
            return Err(why);
        }
        Ok(CredentialsFile::new(path))
    }

    /// The credentials file that this key of an entry stands for.
    async fn credentials_of(&self, key: &str) -> Result<CredentialsFile, Outcome> {
        let path = self.grants.credentials_file(key).ok_or_else(|| not_credentials(key))?;
        self.credentials_at(path).await.map_err(Outcome::Denied)
    }

    async fn load(&self, key: &str) -> Outcome {
        if key.starts_with("file:") {
            let file = match self.credentials_of(key).await {
                Ok(file) => file,
                Err(outcome) => return outcome,
            };
            return match self.limited(Box::pin(file.load())).await {
                Ok(Some(entry)) => entry.try_into().map_or_else(Outcome::Failed, Outcome::Entry),
                Ok(None) => Outcome::Absent,
                Err(reason) => Outcome::Failed(reason),
            };
        }
        let Some(store) = &self.store else { return Outcome::Unsupported };
        if !is_entry_key(key) {
            return Outcome::Denied(NOT_A_KEY.to_owned());
        }
        match self.limited(store.load(key)).await {
            Ok(Some(entry)) => entry.try_into().map_or_else(Outcome::Failed, Outcome::Entry),
            Ok(None) => Outcome::Absent,
            Err(reason) => Outcome::Failed(reason),
        }
    }

    async fn swap(&self, swap: types::Swap) -> Outcome {
        let value = Secret::from(swap.value);
        if value.reveal().len() > JOURNAL_BYTES {
            return Outcome::Denied(format!("an entry has no more than {JOURNAL_BYTES} bytes"));
        }
        let swapped = if swap.key.starts_with("file:") {
            if let Err(rule) = self.policy.check_refresh() {
                return Outcome::Denied(rule);
            }
            let file = match self.credentials_of(&swap.key).await {
                Ok(file) => file,
                Err(outcome) => return outcome,
            };
            if swap.expected.is_none() {
                return Outcome::Denied("a credentials file is replaced, and never made".to_owned());
            }
            self.limited(Box::pin(file.swap(swap.expected, value))).await
        } else {
            let Some(store) = &self.store else { return Outcome::Unsupported };
            if !is_entry_key(&swap.key) {
                return Outcome::Denied(NOT_A_KEY.to_owned());
            }
            self.limited(store.swap(&swap.key, swap.expected.as_deref(), value)).await
        };
        match swapped {
            Ok(Swapped::Done(version)) => Outcome::Swapped(version),
            Ok(Swapped::Conflict(entry)) => {
                entry.map(TryInto::try_into).transpose().map_or_else(Outcome::Failed, Outcome::Conflict)
            }
            Err(reason) => Outcome::Failed(reason),
        }
    }

    /// What the program supplies may take its time, but not for ever.
    async fn limited<T>(&self, work: BoxFuture<'_, Result<T, BoxError>>) -> Result<T, String> {
        let at_most: Duration = self.policy.callables_may_take();
        tokio::select! {
            answer = work => answer.map_err(|error| error.to_string()),
            () = self.clock.sleep(at_most) => Err(format!("no answer within {} ms", at_most.as_millis())),
        }
    }
}

const NOT_A_KEY: &str = "the key of an entry is a hash, in hexadecimal digits";

/// Whether it is what `entry-key` gives. A program's store may take other keys for paths, patterns or commands.
fn is_entry_key(key: &str) -> bool {
    (1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn not_credentials(key: &str) -> Outcome {
    Outcome::Denied(format!(
        "{} is not the credentials file of a profile that the configuration leads to",
        key.trim_start_matches("file:")
    ))
}

fn unnamed(source: &str) -> Outcome {
    Outcome::Denied(format!("the configuration does not name the source {source}, or it names another audience"))
}

fn unknown(what: &str, name: &str) -> Outcome {
    Outcome::Failed(format!("no callable of this name was given: Credential::builder().{what}({name:?}, ...)"))
}

/// What is larger than anything that is meant here would stop the component each time that it is handed over.
fn bounded(value: Secret) -> Result<Secret, String> {
    let length = value.reveal().len();
    if length > CONTENT_BYTES {
        return Err(format!("it is {length} bytes long, and no more than {CONTENT_BYTES} are taken"));
    }
    Ok(value)
}

impl TryFrom<Entry> for types::Entry {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        Ok(Self { version: entry.version, value: bounded(entry.value)?.into_revealed() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;
    use crate::bindings::types::NumberedTask;
    use crate::callables::callable;
    use crate::clock::SystemClock;
    use crate::transport::By;

    fn host(policy: Policy, configuration: &str) -> Host {
        let policy = Arc::new(policy);
        Host {
            transport: Transport::new(Arc::clone(&policy), By::Nobody, None),
            policy,
            grants: Grants::new(&Secret::from(configuration)),
            callables: Callables::default(),
            store: None,
            clock: Arc::new(SystemClock::default()),
            journals: None,
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// F10: the credentials file of a profile is read and replaced where the policy allows its directory, and replaced where it allows
    /// requests: a refresh is one. It is never made.
    #[tokio::test]
    async fn the_credentials_file_of_a_profile_is_where_the_policy_allows_it() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(directory.path().join("credentials")).unwrap();
        let path = directory.path().join("credentials/me.json").display().to_string();
        let configuration = format!(r#"{{"discover": {{"config_dir": "{}"}}}}"#, directory.path().display());
        let swap = |expected: Option<String>| types::Swap { key: format!("file:{path}"), expected, value: "new".to_owned() };
        let read = || types::FileRequest { path: path.clone(), max_bytes: 1_000, protection: types::FileProtection::Any };
        for (policy, reads, swaps) in [
            (Policy::default().without_origins(), true, false),
            (Policy::default().allow_directory(elsewhere.path()), false, false),
            (Policy::default().allow_directory(directory.path()), true, true),
        ] {
            let host = host(policy, &configuration);
            let made = host.perform(Task::SwapEntry(swap(None))).await;
            assert!(matches!(made, Outcome::Denied(_)) && !fs::exists(&path).unwrap(), "{:?}: {made:?}", host.policy);
            CredentialsFile::new(&path).swap(None, Secret::from("old")).await.unwrap();
            let there = CredentialsFile::new(&path).load().await.unwrap().unwrap();
            let (swapped, loaded, content) = (
                host.perform(Task::SwapEntry(swap(Some(there.version)))).await,
                host.perform(Task::LoadEntry(format!("file:{path}"))).await,
                host.perform(Task::ReadFile(read())).await,
            );
            assert_eq!(!matches!(swapped, Outcome::Denied(_)), swaps, "{:?}", host.policy);
            for outcome in [loaded, content] {
                assert_eq!(!matches!(outcome, Outcome::Denied(_)), reads, "{:?}", host.policy);
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), if swaps { "new" } else { "old" }, "{:?}", host.policy);
            fs::remove_file(&path).unwrap();
        }
    }

    /// A12: whoever may write to its directory could put another login in its place.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_credentials_file_in_a_directory_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let credentials = directory.path().join("credentials");
        fs::create_dir(&credentials).unwrap();
        let path = credentials.join("me.json");
        CredentialsFile::new(&path).swap(None, Secret::from("old")).await.unwrap();
        let there = CredentialsFile::new(&path).load().await.unwrap().unwrap();
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o777)).unwrap();
        let host = host(Policy::default(), &format!(r#"{{"discover": {{"config_dir": "{}"}}}}"#, directory.path().display()));
        let key = format!("file:{}", path.display());
        let swap = types::Swap { key: key.clone(), expected: Some(there.version), value: "new".to_owned() };
        let read =
            types::FileRequest { path: path.display().to_string(), max_bytes: 1_000, protection: types::FileProtection::Any };
        for task in [Task::LoadEntry(key), Task::SwapEntry(swap), Task::ReadFile(read)] {
            let outcome = host.perform(task).await;
            assert!(matches!(&outcome, Outcome::Denied(why) if why.contains("chmod go-w")), "{outcome:?}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    /// F10: whatever a component asks for, what runs is the program that the configuration names, if the policy allows it, for the audience
    /// that the configuration names.
    #[tokio::test]
    async fn a_program_runs_where_the_configuration_and_the_policy_name_it() {
        const NAMED: &str =
            r#"{"federation": {"identity_token": {"source": "executable", "command": ["/bin/echo", "token"], "audience": "a"}}}"#;
        let allowed = || Policy::default().allow_executable("/bin/echo");
        let asks = |name: &str, audience: &str| {
            Task::SupplyAssertion(types::AssertionRequest { name: name.to_owned(), audience: audience.to_owned() })
        };
        let run = async |policy: Policy, configuration: &str, task: Task| host(policy, configuration).perform(task).await;
        let given = run(allowed(), NAMED, asks("executable", "a")).await;
        assert!(matches!(&given, Outcome::Content(token) if token == "token"), "{given:?}");
        for (policy, configuration, task, why) in [
            (Policy::default(), NAMED, asks("executable", "a"), "Policy::allow_executable(\"/bin/echo\")"),
            (allowed().allow_source("aws"), NAMED, asks("executable", "a"), "Policy::allow_source(\"executable\")"),
            (allowed().without_origins(), NAMED, asks("executable", "a"), "the policy allows no request"),
            (allowed(), NAMED, asks("executable", "b"), "or it names another audience"),
            (allowed(), NAMED, asks("spiffe", "a"), "does not name the source spiffe"),
            (allowed(), "{}", asks("executable", "a"), "does not name the source executable"),
            (
                allowed(),
                r#"{"federation": {"identity_token": {"source": "spiffe", "socket": "/s"}}}"#,
                asks("spiffe", "b"),
                "audience",
            ),
        ] {
            let outcome = run(policy, configuration, task).await;
            assert!(matches!(&outcome, Outcome::Denied(rule) if rule.contains(why)), "{why}: {outcome:?}");
        }
        // What the program supplies by that name goes first.
        let mut host = host(Policy::default(), NAMED);
        let ours = callable(|_: AssertionRequest| async { Ok(Secret::from("of the program".to_owned())) });
        host.callables.identity_tokens.insert("executable".to_owned(), ours);
        let outcome = host.perform(asks("executable", "a")).await;
        assert!(matches!(&outcome, Outcome::Content(token) if token == "of the program"), "{outcome:?}");
    }

    #[test]
    fn only_what_is_named_is_promised() {
        let supplies = |identity_token: &str| {
            let configuration = format!(r#"{{"federation": {{"identity_token": {identity_token}}}}}"#);
            host(Policy::default(), &configuration).capabilities().contains(&Capability::SupplyAssertion)
        };
        assert!(supplies(r#"{"source": "executable", "command": ["/bin/echo"]}"#));
        assert_eq!(supplies(r#"{"source": "spiffe"}"#), cfg!(feature = "spiffe"));
        for source in [r#"{"source": "spiffe", "file": "/f"}"#, r#"{"source": "callable"}"#, r#"{"source": "executable"}"#] {
            assert!(!supplies(source), "{source}");
        }
    }

    /// A7: a function of the program that panics has kept no journal.
    #[test]
    fn a_journal_is_not_kept_by_a_function_that_panics() {
        let mut host = host(Policy::default(), "{}");
        assert_eq!(host.keep(&Secret::from("a journal")), Ok(()), "nobody wants it");
        host.journals = Some(Arc::new(|_| panic!("of the program's own")));
        let refused = host.keep(&Secret::from("a journal")).unwrap_err();
        assert!(refused.contains("panicked") && !refused.contains("own"), "{refused}");
    }

    /// A call that panics ends at once, and says nothing of why.
    #[tokio::test]
    async fn a_callable_that_panics_is_lost() {
        let mut host = host(Policy::default(), "{}");
        let panics = callable(|_| async { panic!("of the program's own") });
        host.callables.identity_tokens.insert("a".to_owned(), panics);
        let request = types::AssertionRequest { name: "a".to_owned(), audience: String::new() };
        let mut running = Running::default();
        running.start(NumberedTask { number: 7, task: Task::SupplyAssertion(request) }, &Arc::new(host));
        let ended = timeout(Duration::from_secs(10), running.next()).await.expect("it ends");
        assert!(ended.number == 7 && matches!(ended.outcome, Outcome::Lost));
    }
}
