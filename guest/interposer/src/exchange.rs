//! One request to the credential's origin, and its answer.

use std::ops::Deref;

use wif_rules::Reply;
use wit_bindgen::{FutureReader, StreamReader};
use zeroize::Zeroize;

use crate::answer;
use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, HeaderError, Method, Request, RequestOptions, Response};
use crate::bindings::wif::credential::types::{Failure, Usable};
use crate::bindings::wif::interposer::shared_token as token;
use crate::bindings::wit_future;
use crate::body::{self, Content, Tape, TrailersReader};
use crate::fields::{self, Secrets};
use crate::target;

/// The status of a gRPC answer that is nothing but a status.
const GRPC_STATUS: &str = "grpc-status";
const GRPC_UNAUTHENTICATED: &[u8] = wif_rules::REJECTED_GRPC_STATUS.as_bytes();

/// What a request is beside its body.
struct Head {
    method: Method,
    authority: Option<String>,
    path: Option<String>,
    options: Option<RequestOptions>,
    /// Without the application's own credential.
    fields: Fields,
}

/// Sends a request with the credential.
pub(crate) async fn send(request: Request, origin: &str) -> Result<Response, ErrorCode> {
    let head = Head::of(&request)?;
    let tape = Tape::default();
    let (done, result) = wit_future::new(|| Ok(()));
    let (content, trailers) = Request::consume_body(request, result);
    let content = if head.may_have_no_body() { Content::if_any(content).await } else { Content::of(content) };

    // Asked for last: the token that is good now is the one to send.
    let credential = if head.is_exempt() {
        None
    } else {
        match a_token().await {
            // The configuration tells the origin, and the token has the same.
            Ok(credential) if credential.origin == origin => Some(credential),
            Ok(_) => return Ok(answer::with(&Reply::other_origin())),
            Err(failure) => return Ok(answer::without_token(&failure)),
        }
    };
    let again = head.clone();
    let content = content.hand_on(&tape);
    let trailers = body::hand_on_trailers(trailers, &tape);
    let (request, transmitted) = head.request(origin, credential.as_deref(), content, trailers)?;
    wit_bindgen::spawn_local(async move {
        let _ = done.write(transmitted.await).await;
    });
    let first = client::send(request).await?;
    let Some(credential) = credential else { return Ok(first) };
    let mut secrets = Secrets::of(&credential);
    if !is_rejection(&first) {
        return answered(first, secrets);
    }

    token::reject_token(credential.id.clone()).await;
    let Some(whole) = tape.whole() else { return answered(first, secrets) };
    let other = match a_token().await {
        Ok(other) if other.id != credential.id && other.origin == origin => other,
        _ => return answered(first, secrets),
    };
    drop(first);
    let (content, trailers) = whole.again();
    let (request, _) = again.request(origin, Some(&other), content, trailers)?;
    let second = client::send(request).await?;
    if is_rejection(&second) {
        token::reject_token(other.id.clone()).await;
    }
    secrets.and(Secrets::of(&other));
    answered(second, secrets)
}

/// A token. What is begun for it runs on if the application gives its call up: others wait for the same.
async fn a_token() -> Result<Carried, Failure> {
    let credential = match token::begin().await? {
        Some(credential) => credential,
        None => token::get_token().await?,
    };
    Ok(Carried(credential))
}

/// A token that is wiped when it was sent.
struct Carried(Usable);

impl Deref for Carried {
    type Target = Usable;

    fn deref(&self) -> &Usable {
        &self.0
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.set.iter_mut().for_each(|header| header.value.zeroize());
    }
}

impl Head {
    fn of(request: &Request) -> Result<Self, ErrorCode> {
        let fields = request.get_headers().clone();
        fields::strip(&fields).map_err(unfit)?;
        Ok(Self {
            method: request.get_method(),
            authority: request.get_authority(),
            path: request.get_path_with_query(),
            options: request.get_options().map(|options| options.clone()),
            fields,
        })
    }

    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            authority: self.authority.clone(),
            path: self.path.clone(),
            options: self.options.as_ref().map(RequestOptions::clone),
            fields: self.fields.clone(),
        }
    }

    /// Whether it is worth waiting for the first piece of a body. The methods are those in which content has no meaning of its own
    /// (RFC 9110 section 9.3); with one of unknown length, empty as it is, some servers refuse them. Any other request is sent at
    /// once, for an application may wait for its answer before it writes.
    fn may_have_no_body(&self) -> bool {
        let method = matches!(self.method, Method::Get | Method::Head | Method::Delete | Method::Options | Method::Trace);
        method && !self.fields.has("content-length")
    }

    /// What is no request to the API as such: tunnels, preflights, other protocols, and `TRACE`, whose answer is the request (RFC
    /// 9110 section 9.3.8). An upgrade is one only if `connection` says so (section 7.8).
    fn is_exempt(&self) -> bool {
        let exempt = match &self.method {
            Method::Connect | Method::Options | Method::Trace => true,
            Method::Other(name) => wif_rules::is_exempt_method(name.as_bytes()),
            _ => false,
        };
        exempt || self.fields.has("upgrade") && self.fields.get("connection").iter().any(|value| wif_rules::names_upgrade(value))
    }

    fn request(
        self,
        origin: &str,
        credential: Option<&Usable>,
        content: Option<StreamReader<u8>>,
        trailers: TrailersReader,
    ) -> Result<(Request, FutureReader<Result<(), ErrorCode>>), ErrorCode> {
        if let Some(credential) = credential {
            fields::apply(&self.fields, credential).map_err(unfit)?;
        }
        let (request, transmitted) = Request::new(self.fields, content, trailers, self.options);
        let authority = self.authority.as_deref().map(target::without_user);
        request
            .set_method(&self.method)
            .and_then(|()| request.set_scheme(Some(&target::scheme_of(origin))))
            .and_then(|()| request.set_authority(authority))
            .and_then(|()| request.set_path_with_query(self.path.as_deref()))
            .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        Ok((request, transmitted))
    }
}

/// Nothing is sent rather than with another credential or with none.
fn unfit(error: HeaderError) -> ErrorCode {
    match error {
        HeaderError::SizeExceeded => ErrorCode::HttpRequestHeaderSectionSize(None),
        _ => ErrorCode::InternalError(Some("the host does not let the credential's headers be set".to_owned())),
    }
}

/// Whether this is the API's word that it does not accept the token.
fn is_rejection(response: &Response) -> bool {
    response.get_status_code() == 401
        || response.get_headers().get(GRPC_STATUS).first().is_some_and(|status| status == GRPC_UNAUTHENTICATED)
}

/// The answer without the token, wherever it stands in fields and trailers.
fn answered(response: Response, secrets: Secrets) -> Result<Response, ErrorCode> {
    let status = response.get_status_code();
    let fields = response.get_headers().clone();
    secrets.take_out_of(&fields).map_err(|_| echoed())?;
    let (done, result) = wit_future::new(|| Ok(()));
    let (content, trailers) = Response::consume_body(response, result);
    let (kept, cleaned) = wit_future::new(|| Ok(None));
    let (response, transmitted) = Response::new(fields, Some(body::hand_back(content)), cleaned);
    response.set_status_code(status).map_err(|()| ErrorCode::HttpProtocolError)?;
    wit_bindgen::spawn_local(async move {
        let trailers = match trailers.await {
            Ok(Some(trailers)) if secrets.are_among(&trailers) => {
                let trailers = trailers.clone();
                secrets.take_out_of(&trailers).map(|()| Some(trailers)).map_err(|_| echoed())
            }
            other => other,
        };
        let _ = kept.write(trailers).await;
    });
    wit_bindgen::spawn_local(async move {
        let _ = done.write(transmitted.await).await;
    });
    Ok(response)
}

/// The host does not let a field be removed that holds the token.
fn echoed() -> ErrorCode {
    ErrorCode::InternalError(Some("the answer repeats the credential".to_owned()))
}
