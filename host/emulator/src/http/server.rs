//! Sockets: accepting, serving, closing.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::http::header::DATE;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::emulator::Services;
use crate::http::envelope::{self, RequestId};
use crate::http::{api, keys, login, token_endpoint};
use crate::random;

/// A listening server. It stops when dropped.
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A mark on a response: close the connection and send nothing of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CloseUnanswered;

impl Server {
    /// Binds before it returns, so that a client may connect at once.
    pub(crate) async fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    pub(crate) fn serve(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, router, stopped));
        Self { stop, task }
    }

    /// Takes no more connections, and gives requests that are being answered a moment to end.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // A panic in the accepting task has been reported by its hook; there is nothing left to stop.
        let _ = self.task.await;
    }
}

/// How long a request may take to end after [`Server::stop`].
const GRACE: Duration = Duration::from_secs(1);

/// The routes of the services that are emulated.
pub(crate) fn router(state: Arc<Services>) -> Router {
    Router::new()
        .route("/v1/oauth/token", post(token_endpoint::handle).layer(DefaultBodyLimit::max(token_endpoint::MOST_BODY_BYTES)))
        .merge(login::routes())
        .merge(api::routes())
        .merge(keys::routes())
        .route("/api/hello", get(|| async { Json(json!({ "message": "hello" })) }))
        .fallback(envelope::not_found)
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), identify))
        .with_state(state)
}

/// Gives every request its id and every answer its date, by the emulator's clock.
pub(crate) async fn identify(State(state): State<Arc<Services>>, mut request: Request, next: Next) -> Response {
    let id = format!("req_01{}", random::alphanumeric(22));
    let header = HeaderValue::from_str(&id).expect("letters, digits and an underscore are a header value");
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.run(request).await;
    response.headers_mut().insert("request-id", header);
    if let Some(date) = http_date(state.clocks.service()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// `None` for a time whose year the format cannot hold: before 1970, which the library does not write, and after 9999.
fn http_date(time: SystemTime) -> Option<HeaderValue> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    if since >= YEAR_10000 {
        return None;
    }
    HeaderValue::from_str(&httpdate::fmt_http_date(time)).ok()
}

/// Since the epoch.
const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, router.clone(), stopped.clone()));
                }
                // Out of file descriptors, most likely: the next connection may find one.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            () = until_stopped(&mut stopped) => break,
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, ended).await;
    connections.shutdown().await;
}

async fn serve(socket: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    // Small events of a stream would otherwise wait for the acknowledgement of the one before.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = TowerToHyperService::new(router.clone()).call(request);
        async move {
            let response: hyper::Response<Body> = answer.await.unwrap_or_else(|never| match never {});
            match response.extensions().get::<CloseUnanswered>() {
                Some(_) => Err(ClosedUnanswered),
                None => Ok(response),
            }
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    // The date of an answer is the emulator's, or none.
    http.auto_date_header(false);
    let connection = http.serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    // What ends a connection early is the client's doing or a fault that was asked for.
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = until_stopped(&mut stopped) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped, which stops it too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What makes hyper close a connection: a service that fails.
#[derive(Debug)]
struct ClosedUnanswered;

impl fmt::Display for ClosedUnanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was closed unanswered, as asked")
    }
}

impl std::error::Error for ClosedUnanswered {}
