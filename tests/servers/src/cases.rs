//! Each way to an identity token, with its stand-ins: what a host is configured with, and what it finds around it. The tests of
//! every host go through them, and the table in `guest/recipes/README.md` says which host runs which.

use std::path::Path;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::{Cluster, Keys, Mint, Server, WorkloadApi, scripted};

/// A way to an identity token, with the stand-ins that it leads to.
pub struct Case {
    /// The source, as a configuration names it, and the way, where it has several.
    pub name: &'static str,
    /// `identity_token` of the configuration.
    pub identity_token: Value,
    /// What the host's environment holds.
    pub variables: Vec<(&'static str, String)>,
    /// The files that the source reads, with their content. They are there.
    pub files: Vec<(String, String)>,
    /// What no log may hold.
    pub secrets: Vec<&'static str>,
    /// The stand-ins that speak plain HTTP. They go away with this.
    pub servers: Vec<Server>,
    /// The cluster, where there is one.
    pub cluster: Option<Cluster>,
    /// The Workload API, where there is one.
    pub workload_api: Option<WorkloadApi>,
    /// The program that the host has to be allowed to run, where there is one.
    pub executable: Option<&'static str>,
    /// The key that the host signs with, where it has to: PKCS #8 in PEM, for ES256.
    pub key: Option<String>,
}

/// A host that runs recipes, as the table calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The command `wif`, and with it the Rust library.
    Command,
    /// The package for JavaScript, in Node.
    Node,
    /// The proxy-wasm filter in Envoy.
    Filter,
    /// The component in Envoy's dynamic module.
    Module,
    /// The WASI component.
    Standalone,
    /// Its asynchronous form, which the interposer uses as well.
    Async,
}

impl Host {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [Self::Command, Self::Node, Self::Filter, Self::Module, Self::Standalone, Self::Async];

    /// What it is called.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Command => "`wif`",
            Self::Node => "Node",
            Self::Filter => "Envoy: filter",
            Self::Module => "Envoy: module",
            Self::Standalone => "WASI 0.2",
            Self::Async => "WASI 0.3",
        }
    }

    /// Why it does not run a case; none where it does, and its tests show it.
    #[must_use]
    pub fn lacks(self, case: &str) -> Option<&'static str> {
        let proxy = matches!(self, Self::Filter);
        let wasi = matches!(self, Self::Standalone | Self::Async);
        match case {
            "private-key-jwt" if !matches!(self, Self::Node) => {
                Some("cannot sign: in Rust and JavaScript give the library a `signer`")
            }
            "executable" if !matches!(self, Self::Command) => {
                Some("runs no programs: let one write the token into a file, or give a callable")
            }
            "spiffe (workload api)" if !matches!(self, Self::Command) => {
                Some("does not ask the Workload API: let spiffe-helper write a file, or give a callable")
            }
            "kubernetes" if proxy => Some("needs a cluster with the certificates of the Kubernetes cluster"),
            "kubernetes" if wasi => Some("trusts what its runtime trusts: let that know the cluster's certificates"),
            _ => None,
        }
    }
}

/// The cases of platforms whose servers need code. The others are files, see [`scripted`].
const CODED: [&str; 16] = [
    "aws (environment)",
    "aws (instance)",
    "aws (container)",
    "aws (web identity)",
    "azure (app service)",
    "azure (machine)",
    "azure-workload",
    "client-credentials",
    "executable",
    "github-actions",
    "google",
    "google-iam",
    "kubernetes",
    "private-key-jwt",
    "spiffe (workload api)",
    "vault",
];

/// Every case, in the order of the table.
#[must_use]
pub fn all() -> Vec<&'static str> {
    let scripted = scripted::names();
    let mut all: Vec<&str> = CODED.into_iter().chain(scripted.iter().map(|name| scripted::kept(name))).collect();
    // By source; the ways of one source in the order above.
    all.sort_by_key(|case| source_of(case));
    all
}

/// Those that are recipes: the others are for the host itself.
#[must_use]
pub fn of_recipes() -> Vec<&'static str> {
    all().into_iter().filter(|case| !["executable", "spiffe (workload api)"].contains(case)).collect()
}

/// The source of a case.
#[must_use]
pub fn source_of(case: &str) -> &str {
    case.split(' ').next().unwrap_or_default()
}

/// The audience of the federation rule, unless a source is told another.
pub(crate) const AUDIENCE: &str = "https://api.anthropic.com";

const REGION: &str = "eu-central-1";

/// The key of AWS that the stand-ins know.
#[must_use]
pub fn keys() -> Keys {
    Keys {
        id: "AKIDEXAMPLE".to_owned(),
        secret: "canary/secret+access-key".to_owned(),
        session: Some("canary-session-token==".to_owned()),
    }
}

impl Case {
    fn new(name: &'static str, identity_token: Value) -> Self {
        Self {
            name,
            identity_token,
            variables: Vec::new(),
            files: Vec::new(),
            secrets: Vec::new(),
            servers: Vec::new(),
            cluster: None,
            workload_api: None,
            executable: None,
            key: None,
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn beside(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    fn hiding(mut self, secrets: &[&'static str]) -> Self {
        self.secrets.extend(secrets);
        self
    }

    pub(crate) fn file(mut self, directory: &Path, name: &str, content: &str) -> (Self, String) {
        let path = directory.join(name);
        std::fs::write(&path, content).expect("it is writable");
        let path = path.to_str().expect("a path").to_owned();
        self.files.push((path.clone(), content.to_owned()));
        (self, path)
    }
}

/// Starts the stand-ins of one case. Its files are written into `directory`.
///
/// # Panics
///
/// There is no such case, no port, or the directory is not writable.
pub async fn start(name: &str, directory: &Path, mint: &Mint) -> Case {
    let known = all().into_iter().find(|known| *known == name).unwrap_or_else(|| panic!("there is no case {name}"));
    let source = source_of(known);
    let case = Case::new(known, json!({ "source": source }));
    let mint = Mint::clone(mint);
    match known {
        "github-actions" => {
            let server = Server::start(crate::github_actions("canary-request-token", mint)).await;
            let url = format!("{}/token?api-version=2.0", server.url());
            case.with("ACTIONS_ID_TOKEN_REQUEST_URL", url)
                .with("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary-request-token")
                .hiding(&["canary-request-token"])
                .beside(server)
        }
        aws if source == "aws" => amazon(aws, case, directory, mint).await,
        "google" => {
            let server = Server::start(crate::google_metadata("app@project.example", mint)).await;
            case.with("GCE_METADATA_HOST", server.authority()).beside(server)
        }
        "google-iam" => {
            let metadata = Server::start(crate::google_metadata("app@project.example", mint.clone())).await;
            let iam = Server::start(crate::google_iam_credentials("ya29.local", "app@project.example", mint)).await;
            Case { identity_token: json!({ "source": source, "service_account": "app@project.example" }), ..case }
                .with("GCE_METADATA_HOST", metadata.authority())
                .with("GOOGLE_IAM_CREDENTIALS_ENDPOINT", iam.url())
                .hiding(&["ya29.local"])
                .beside(metadata)
                .beside(iam)
        }
        azure if source.starts_with("azure") => microsoft(azure, case, directory, mint).await,
        "vault" => {
            let server = Server::start(crate::vault("app", "canary-pod", "claude", AUDIENCE, mint)).await;
            let (case, path) = case.with("VAULT_ADDR", server.url()).file(directory, "pod", "canary-pod");
            let identity_token = json!({ "source": source, "role": "claude", "login_role": "app", "login_file": path });
            Case { identity_token, ..case }.hiding(&["canary-pod", "hvs."]).beside(server)
        }
        "client-credentials" => {
            // What is no letter, digit or `-._~` is encoded before it becomes base64 (RFC 6749 section 2.3.1).
            let server = Server::start(crate::authorization_server("me:1", "canary client+secret%", false, mint)).await;
            let identity_token = json!({
                "source": source, "client_id": "me:1", "token_url": format!("{}/token", server.url()),
                "client_secret_variable": "SECRET", "scope": "claude",
            });
            Case { identity_token, ..case }
                .with("SECRET", "canary client+secret%")
                .hiding(&["canary client", "canary%20client"])
                .beside(server)
        }
        "private-key-jwt" => {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
            let router = crate::authorization_server_by_key("me", "key-1", &pair.public_key_pem(), mint);
            let server = Server::start(router).await;
            let identity_token = json!({
                "source": source, "client_id": "me", "key_id": "key-1", "algorithm": "ES256", "scope": "claude",
                "token_url": format!("{}/token", server.url()),
            });
            Case { identity_token, key: Some(pair.serialize_pem()), ..case }.beside(server)
        }
        "executable" => {
            // As Google's documentation describes what a program prints.
            let answer = json!({
                "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:id_token", "id_token": mint(AUDIENCE),
                "expiration_time": 4_000_000_000_u64,
            });
            let (case, path) = case.file(directory, "answer", &answer.to_string());
            let identity_token = json!({ "source": source, "command": ["/bin/cat", path] });
            Case { identity_token, executable: Some("/bin/cat"), ..case }
        }
        "spiffe (workload api)" => {
            let identities = ["spiffe://acme.example/payments/web", "spiffe://acme.example/other"];
            let api = WorkloadApi::start(&directory.join("agent.sock"), &identities, crate::minted_by(&mint));
            let endpoint = api.endpoint();
            Case { workload_api: Some(api), ..case }.with("SPIFFE_ENDPOINT_SOCKET", endpoint)
        }
        "kubernetes" => {
            let cluster = crate::api_server("apps", "web", "canary-pod", mint).await;
            let (case, _) = case.file(directory, "namespace", "apps");
            let (case, _) = case.file(directory, "token", "canary-pod");
            let (case, _) = case.file(directory, "ca.crt", &cluster.ca);
            let identity_token = json!({ "source": source, "service_account": "web", "directory": directory });
            let port = cluster.address.port().to_string();
            Case { identity_token, cluster: Some(cluster), ..case }
                .with("KUBERNETES_SERVICE_HOST", "127.0.0.1")
                .with("KUBERNETES_SERVICE_PORT", port)
                .hiding(&["canary-pod"])
        }
        _ => scripted::start(case, directory, &mint).await,
    }
}

async fn amazon(way: &str, case: Case, directory: &Path, mint: Mint) -> Case {
    let sts = Server::start(crate::security_token_service(REGION, keys(), "canary-web-identity", mint)).await;
    let case = case.with("AWS_REGION", REGION).with("AWS_ENDPOINT_URL_STS", sts.url()).beside(sts);
    let case = case.hiding(&["canary/secret+access-key", "canary-session-token", "canary-container", "canary-web-identity"]);
    // Each says another part of its configuration: hosts that go from one to the next see another identity.
    let mut case = case;
    if ["aws (instance)", "aws (web identity)"].contains(&way) {
        case.identity_token["audience"] = AUDIENCE.into();
    }
    if ["aws (container)", "aws (web identity)"].contains(&way) {
        case.identity_token["region"] = REGION.into();
    }
    match way {
        "aws (environment)" => case
            .with("AWS_ACCESS_KEY_ID", keys().id)
            .with("AWS_SECRET_ACCESS_KEY", keys().secret)
            .with("AWS_SESSION_TOKEN", keys().session.unwrap_or_default()),
        "aws (instance)" => {
            let metadata = Server::start(crate::instance_metadata("role-1", keys())).await;
            case.with("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url()).beside(metadata)
        }
        "aws (container)" => {
            let agent = Server::start(crate::container_credentials("canary-container", keys())).await;
            let (case, path) = case.file(directory, "agent", "canary-container");
            case.with("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v1/credentials", agent.url()))
                .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path)
                .beside(agent)
        }
        _ => {
            let (case, path) = case.file(directory, "irsa", "canary-web-identity");
            case.with("AWS_WEB_IDENTITY_TOKEN_FILE", path).with("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app")
        }
    }
}

async fn microsoft(way: &str, case: Case, directory: &Path, mint: Mint) -> Case {
    let mut case = case;
    case.identity_token["resource"] = "api://app".into();
    match way {
        "azure (app service)" => {
            let app = Server::start(crate::app_service("canary-header", mint)).await;
            case.with("IDENTITY_ENDPOINT", format!("{}/msi/token", app.url()))
                .with("IDENTITY_HEADER", "canary-header")
                .hiding(&["canary-header"])
                .beside(app)
        }
        "azure (machine)" => {
            case.identity_token["client_id"] = "client-1".into();
            let machine = Server::start(crate::azure_instance_metadata(mint)).await;
            case.with("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url()).beside(machine)
        }
        _ => {
            let entra = Server::start(crate::entra("tenant-1", "client-1", "canary-projected", mint)).await;
            let (case, path) = case.file(directory, "projected", "canary-projected");
            case.with("AZURE_TENANT_ID", "tenant-1")
                .with("AZURE_CLIENT_ID", "client-1")
                .with("AZURE_AUTHORITY_HOST", entra.url())
                .with("AZURE_FEDERATED_TOKEN_FILE", path)
                .hiding(&["canary-projected"])
                .beside(entra)
        }
    }
}

/// The table of the README: which host runs which case.
#[must_use]
pub fn table() -> String {
    let titles: Vec<&str> = Host::ALL.iter().map(|host| host.title()).collect();
    let mut table = format!("| Source | {} |\n| --- |{}\n", titles.join(" | "), " --- |".repeat(titles.len()));
    let mut reasons: Vec<&str> = Vec::new();
    for case in all() {
        let cells: Vec<String> = Host::ALL
            .iter()
            .map(|host| match host.lacks(case) {
                None => "run".to_owned(),
                Some(reason) => {
                    let at = reasons.iter().position(|known| *known == reason).unwrap_or_else(|| {
                        reasons.push(reason);
                        reasons.len() - 1
                    });
                    format!("no ({})", at + 1)
                }
            })
            .collect();
        table += &format!("| {case} | {} |\n", cells.join(" | "));
    }
    for (at, reason) in reasons.iter().enumerate() {
        table += &format!("\n({}) It {reason}.", at + 1);
    }
    table + "\n"
}
