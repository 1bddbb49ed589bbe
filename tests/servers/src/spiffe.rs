//! The SPIFFE Workload API on a Unix socket, as far as JWT-SVIDs go: `FetchJWTSVID` of the standard's `workload.proto`.
//!
//! It checks what an agent checks: the header field `workload.spiffe.io: true`, without which the call is none of a workload's and may
//! have been smuggled in; that there is an audience; that the identity that is asked for is one of this workload's. It answers by the
//! standard's codes. The messages are written here by hand, so that no test needs `protoc`.

use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use tokio::net::UnixListener;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::Mint;

/// The method, as clients call it.
const FETCH: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";

/// Field numbers are those of the standard.
#[derive(Clone, PartialEq, prost::Message)]
struct JwtSvidRequest {
    #[prost(string, repeated, tag = "1")]
    audience: Vec<String>,
    #[prost(string, tag = "2")]
    spiffe_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JwtSvidResponse {
    #[prost(message, repeated, tag = "1")]
    svids: Vec<JwtSvid>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct JwtSvid {
    #[prost(string, tag = "1")]
    spiffe_id: String,
    #[prost(string, tag = "2")]
    svid: String,
    #[prost(string, tag = "3")]
    hint: String,
}

/// What an agent knows of the workload that calls.
#[derive(Clone)]
struct Agent {
    /// Its SPIFFE IDs, the default first. Without one it has no registration entry.
    identities: Arc<[String]>,
    mint: SvidMint,
    seen: Arc<Mutex<Vec<String>>>,
}

/// Makes a JWT-SVID for an audience and a SPIFFE ID.
pub type SvidMint = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// An agent's Workload API, until it is dropped.
pub struct WorkloadApi {
    socket: PathBuf,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl WorkloadApi {
    /// Serves a workload that has these identities, at a socket of this path.
    ///
    /// # Panics
    ///
    /// There can be no socket.
    #[must_use]
    pub fn start(socket: &Path, identities: &[&str], mint: SvidMint) -> Self {
        // Who starts again takes the place of the one before.
        if socket.exists() {
            std::fs::remove_file(socket).expect("it is a socket of ours");
        }
        let listener = UnixListener::bind(socket).expect("a socket");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let identities = identities.iter().map(|id| (*id).to_owned()).collect();
        let agent = Agent { identities, mint, seen: Arc::clone(&seen) };
        let method = move |request: Request<Body>| {
            let agent = agent.clone();
            async move {
                let headers = request.headers().clone();
                Grpc::new(ProstCodec::default()).unary(Fetch { agent, headers }, request).await
            }
        };
        let unimplemented = || async { Status::new(Code::Unimplemented, "").into_http::<Body>() };
        let router = Router::new().route(FETCH, axum::routing::post(method)).fallback(unimplemented);
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { socket: socket.to_owned(), seen, task }
    }

    /// Where it is, as `SPIFFE_ENDPOINT_SOCKET` says it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What was asked, and the code of the answer: `audience spiffe-id Ok`.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for WorkloadApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One call.
struct Fetch {
    agent: Agent,
    headers: HeaderMap,
}

impl UnaryService<JwtSvidRequest> for Fetch {
    type Response = JwtSvidResponse;
    type Future = Ready<Result<tonic::Response<JwtSvidResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<JwtSvidRequest>) -> Self::Future {
        let request = request.into_inner();
        let answer = self.agent.answer(&self.headers, &request);
        let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
        let line = format!("{} {} {code:?}", request.audience.join(","), request.spiffe_id);
        self.agent.seen.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        ready(answer.map(tonic::Response::new))
    }
}

impl Agent {
    fn answer(&self, headers: &HeaderMap, request: &JwtSvidRequest) -> Result<JwtSvidResponse, Status> {
        if crate::text(headers, "workload.spiffe.io") != "true" {
            return Err(Status::invalid_argument("security header missing from request"));
        }
        if request.audience.is_empty() || request.audience.iter().any(String::is_empty) {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        if !request.spiffe_id.is_empty() && !request.spiffe_id.starts_with("spiffe://") {
            return Err(Status::invalid_argument("invalid requested SPIFFE ID: scheme is missing or invalid"));
        }
        let asked_for = |id: &&String| request.spiffe_id.is_empty() || **id == request.spiffe_id;
        let svid =
            |id: &String| JwtSvid { spiffe_id: id.clone(), svid: (self.mint)(&request.audience[0], id), hint: String::new() };
        let svids: Vec<JwtSvid> = self.identities.iter().filter(asked_for).map(svid).collect();
        if svids.is_empty() { Err(Status::permission_denied("no identity issued")) } else { Ok(JwtSvidResponse { svids }) }
    }
}

/// JWT-SVIDs that an identity provider mints, whatever the SPIFFE ID is: for hosts whose exchange is of more interest than the subject.
#[must_use]
pub fn minted_by(mint: &Mint) -> SvidMint {
    let mint = Mint::clone(mint);
    Arc::new(move |audience, _| mint(audience))
}
