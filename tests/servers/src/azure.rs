//! The identity endpoints of Azure, and the token endpoint of Entra.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Form, Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json as document;

use crate::{Mint, json, text};

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, &document!({ "error": code, "error_description": message }))
}

fn grant(token: String) -> Response {
    json(
        StatusCode::OK,
        &document!({ "access_token": token, "expires_in": "3599", "expires_on": "4102444800", "token_type": "Bearer" }),
    )
}

fn resource(query: &HashMap<String, String>, version: &str) -> Result<String, Box<Response>> {
    if query.get("api-version").map(String::as_str) != Some(version) {
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "bad_request_102",
            "Required metadata parameter missing: api-version",
        )));
    }
    match query.get("resource") {
        Some(resource) if resource.starts_with("api://") => Ok(resource.clone()),
        Some(resource) => {
            let message = format!("AADSTS500011: The resource principal named {resource} was not found in the tenant.");
            Err(Box::new(refuse(StatusCode::BAD_REQUEST, "invalid_resource", &message)))
        }
        None => {
            let message = "Required query parameter resource is missing";
            Err(Box::new(refuse(StatusCode::BAD_REQUEST, "bad_request_102", message)))
        }
    }
}

/// The metadata service of a machine with one identity.
pub fn instance_metadata(mint: Mint) -> Router {
    let answer = move |headers: HeaderMap, Query(query): Query<HashMap<String, String>>| async move {
        if !text(&headers, "metadata").eq_ignore_ascii_case("true") {
            return refuse(StatusCode::BAD_REQUEST, "bad_request_101", "Required metadata header not specified");
        }
        resource(&query, "2018-02-01").map_or_else(|refused| *refused, |resource| grant(mint(&resource)))
    };
    Router::new().route("/metadata/identity/oauth2/token", get(answer))
}

/// The identity endpoint of App Service and Container Apps, at `/msi/token`.
pub fn app_service(header: &str, mint: Mint) -> Router {
    let header = header.to_owned();
    let answer = move |headers: HeaderMap, Query(query): Query<HashMap<String, String>>| async move {
        if text(&headers, "x-identity-header") != header {
            return json(StatusCode::UNAUTHORIZED, &document!({ "statusCode": 401, "message": "The header is not valid." }));
        }
        resource(&query, "2019-08-01").map_or_else(|refused| *refused, |resource| grant(mint(&resource)))
    };
    Router::new().route("/msi/token", get(answer))
}

/// The token endpoint of one tenant, for one client that has a federated credential for `assertion`.
pub fn entra(tenant: &str, client: &str, assertion: &str, mint: Mint) -> Router {
    let (tenant, client, assertion) = (tenant.to_owned(), client.to_owned(), assertion.to_owned());
    let answer = move |Path(asked): Path<String>, Form(form): Form<HashMap<String, String>>| async move {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        if asked != tenant {
            return refuse(StatusCode::BAD_REQUEST, "invalid_request", "AADSTS90002: Tenant not found.");
        }
        if field("grant_type") != "client_credentials" || field("client_id") != client {
            return refuse(StatusCode::BAD_REQUEST, "unauthorized_client", "AADSTS700016: Application was not found.");
        }
        let kind = field("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if !kind || field("client_assertion") != assertion {
            let message = "AADSTS700213: No matching federated identity record found for presented assertion subject.";
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client", message);
        }
        match field("scope").strip_suffix("/.default") {
            Some(resource) => grant(mint(resource)),
            None => refuse(StatusCode::BAD_REQUEST, "invalid_scope", "AADSTS1002012: The scope is not valid."),
        }
    };
    Router::new().route("/{tenant}/oauth2/v2.0/token", post(answer))
}
