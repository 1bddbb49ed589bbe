//! AWS: the places where keys come from, and the token service, which verifies signatures by AWS's own library.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::json as document;

use crate::{Mint, json, text, xml};

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The session's token, for keys that live for a while.
    pub session: Option<String>,
}

impl Keys {
    fn document(&self) -> serde_json::Value {
        document!({
            "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": self.id, "SecretAccessKey": self.secret, "Token": self.session,
            "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
        })
    }
}

/// The metadata service of an instance with one role, version 2 only: without a session of it nothing is told.
pub fn instance_metadata(role: &str, keys: Keys) -> Router {
    const SESSION: &str = "AQAAAlocal==";
    let session = |headers: HeaderMap| async move {
        let seconds: u32 = text(&headers, "x-aws-ec2-metadata-token-ttl-seconds").parse().unwrap_or_default();
        if !(1..=21_600).contains(&seconds) || headers.contains_key("x-forwarded-for") {
            return StatusCode::BAD_REQUEST.into_response();
        }
        SESSION.into_response()
    };
    let known = |headers: &HeaderMap| text(headers, "x-aws-ec2-metadata-token") == SESSION;
    let name = role.to_owned();
    let list = move |headers: HeaderMap| async move {
        if known(&headers) { name.into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    let role = role.to_owned();
    let credentials = move |Path(asked): Path<String>, headers: HeaderMap| async move {
        match known(&headers) {
            false => StatusCode::UNAUTHORIZED.into_response(),
            true if asked != role => StatusCode::NOT_FOUND.into_response(),
            true => json(StatusCode::OK, &keys.document()),
        }
    };
    Router::new()
        .route("/latest/api/token", put(session))
        .route("/latest/meta-data/iam/security-credentials/", get(list))
        .route("/latest/meta-data/iam/security-credentials/{role}", get(credentials))
}

/// The agent of EKS Pod Identity or ECS, at `/v1/credentials`.
pub fn container_credentials(authorization: &str, keys: Keys) -> Router {
    let authorization = authorization.to_owned();
    let answer = move |headers: HeaderMap| async move {
        if text(&headers, "authorization") != authorization {
            return json(StatusCode::UNAUTHORIZED, &document!({ "code": "AccessDenied", "message": "Unauthorized" }));
        }
        json(StatusCode::OK, &keys.document())
    };
    Router::new().route("/v1/credentials", get(answer))
}

/// STS of one region, for these keys. A web identity that is `web_identity` gets them.
pub fn security_token_service(region: &str, keys: Keys, web_identity: &str, mint: Mint) -> Router {
    let service = Arc::new(Service { region: region.to_owned(), keys, web_identity: web_identity.to_owned(), mint });
    Router::new().route(
        "/",
        post(move |headers: HeaderMap, body: String| {
            let service = Arc::clone(&service);
            async move { service.answer(&headers, &body) }
        }),
    )
}

struct Service {
    region: String,
    keys: Keys,
    web_identity: String,
    mint: Mint,
}

impl Service {
    fn answer(&self, headers: &HeaderMap, body: &str) -> Response {
        let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if field("Version") != "2011-06-15" {
            return refuse(StatusCode::BAD_REQUEST, "InvalidAction", "The version is not known.");
        }
        match field("Action") {
            "AssumeRoleWithWebIdentity" => {
                if !field("RoleArn").starts_with("arn:aws:iam::") || field("RoleSessionName").is_empty() {
                    return refuse(StatusCode::BAD_REQUEST, "ValidationError", "RoleArn or RoleSessionName is not valid.");
                }
                if field("WebIdentityToken") != self.web_identity {
                    return refuse(StatusCode::BAD_REQUEST, "InvalidIdentityToken", "No OpenIDConnect provider found.");
                }
                let session = self.keys.session.as_deref().unwrap_or_default();
                let keys = format!(
                    "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{session}\
                     </SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>",
                    self.keys.id, self.keys.secret,
                );
                xml(StatusCode::OK, result("AssumeRoleWithWebIdentity", &keys))
            }
            "GetWebIdentityToken" => {
                if let Err(why) = self.verify(headers, body) {
                    return refuse(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", &why);
                }
                let seconds: u32 = field("DurationSeconds").parse().unwrap_or(300);
                let algorithm = ["RS256", "ES384"].contains(&field("SigningAlgorithm"));
                if !algorithm || !(60..=3_600).contains(&seconds) || field("Audience.member.1").is_empty() {
                    return refuse(StatusCode::BAD_REQUEST, "ValidationError", "A parameter is not valid.");
                }
                let token = (self.mint)(field("Audience.member.1"));
                let token = format!("<WebIdentityToken>{token}</WebIdentityToken><Expiration>2099-01-01T00:00:00Z</Expiration>");
                xml(StatusCode::OK, result("GetWebIdentityToken", &token))
            }
            _ => refuse(StatusCode::BAD_REQUEST, "InvalidAction", "Could not find operation."),
        }
    }

    /// Signs the same once more and compares.
    fn verify(&self, headers: &HeaderMap, body: &str) -> Result<(), String> {
        let authorization = text(headers, "authorization");
        let part = |name: &str| {
            let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap_or_default();
            rest.split(',').next().unwrap_or_default().to_owned()
        };
        let time = parse_time(text(headers, "x-amz-date")).ok_or("x-amz-date is not a time.")?;
        let apart = SystemTime::now().duration_since(time).unwrap_or_else(|ahead| ahead.duration());
        if apart > Duration::from_secs(300) {
            return Err("Signature expired.".to_owned());
        }
        if self.keys.session.is_some() && self.keys.session.as_deref() != Some(text(headers, "x-amz-security-token")) {
            return Err("The security token included in the request is invalid.".to_owned());
        }
        let names = part("SignedHeaders");
        let own = ["host", "x-amz-date", "x-amz-security-token"];
        let signed: Vec<(&str, &str)> =
            names.split(';').filter(|name| !own.contains(name)).map(|name| (name, text(headers, name))).collect();
        if !names.split(';').any(|name| name == "host") {
            return Err("'Host' must be a 'SignedHeader' in the AWS Authorization.".to_owned());
        }
        let keys = &self.keys;
        let identity = Credentials::new(&keys.id, &keys.secret, keys.session.clone(), None, "test").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sts")
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let uri = format!("http://{}/", text(headers, "host"));
        let request = SignableRequest::new("POST", uri, signed.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let (_, signature) =
            sign(request.map_err(|error| error.to_string())?, &parameters).map_err(|error| error.to_string())?.into_parts();
        if part("Credential").starts_with(&format!("{}/", keys.id)) && part("Signature") == signature {
            return Ok(());
        }
        Err("The request signature we calculated does not match the signature you provided.".to_owned())
    }
}

/// A moment as AWS writes it: `20260921T141320Z`.
#[must_use]
pub fn parse_time(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum::<u64>()
        + lengths.iter().take(usize::try_from(month).ok()?.checked_sub(1)?).sum::<u64>()
        + day.checked_sub(1)?;
    let seconds = days * 86_400 + number(9, 11)? * 3_600 + number(11, 13)? * 60 + number(13, 15)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn result(action: &str, content: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{content}</{action}Result>\
         <ResponseMetadata><RequestId>local</RequestId></ResponseMetadata></{action}Response>"
    )
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>local</RequestId></ErrorResponse>"
    );
    xml(status, body)
}
