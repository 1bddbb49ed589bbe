//! Two endpoints that inference alone does not open: the files of a workspace, and the organization.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::json;

use super::Request;
use super::authentication::Need;
use crate::emulator::Services;
use crate::history::Kind;
use crate::http::envelope::RequestId;

/// `GET /v1/files`: there are none.
pub(super) async fn files(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
) -> Response {
    let mut request = Request::new(&state, &request_id, Kind::Other);
    match request.admit(&headers, Need::Developer).await {
        Ok(caller) => {
            let answer = json!({ "data": [], "first_id": null, "last_id": null, "has_more": false });
            request.grant(Json(answer), &caller)
        }
        Err(refusal) => refusal,
    }
}

/// `GET /v1/organizations/me`, of the Admin API.
pub(super) async fn organization(
    State(state): State<Arc<Services>>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
) -> Response {
    let mut request = Request::new(&state, &request_id, Kind::Other);
    match request.admit(&headers, Need::Admin).await {
        Ok(caller) => {
            let id = &caller.holder.organization_id;
            let federation = state.federation();
            let name = federation.organization(id).map(|organization| organization.name.as_str());
            request.grant(Json(json!({ "type": "organization", "id": id, "name": name })), &caller)
        }
        Err(refusal) => refusal,
    }
}
