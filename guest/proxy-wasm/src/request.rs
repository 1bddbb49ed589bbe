//! One request. It decides nothing but what it is: where it goes, and whether it carries a credential at all.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, Bytes, MapType};
use wif_engine::headers::is_credential;

use crate::filter::{Fate, Filter, TokenId};

/// The context of one request.
pub struct Request {
    filter: Rc<RefCell<Filter>>,
    id: u32,
    state: State,
}

enum State {
    /// It goes elsewhere, or has not begun.
    Elsewhere,
    /// It goes to the API without a credential, or was answered here.
    Without,
    /// It waits; afterwards the filter knows what it carries.
    Waiting,
    /// It carries this token.
    Carrying(TokenId),
}

impl Request {
    pub(crate) fn new(filter: Rc<RefCell<Filter>>, id: u32) -> Self {
        Self { filter, id, state: State::Elsewhere }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let mut filter = self.filter.borrow_mut();
        // The route's cluster, or, as an upstream filter, the one that the request has reached.
        let cluster = hostcalls::get_property(vec!["xds", "cluster_name"]).ok().flatten().unwrap_or_default();
        if !filter.leads_to_api(&cluster) {
            return Action::Continue;
        }
        let head = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default();
        strip(MapType::HttpRequestHeaders, &head);
        if find(&head, ":authority").is_some_and(|authority| authority.contains(&b'@')) {
            // Whatever stands before the @ may be a credential, too.
            let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, ":authority", Some(filter.authority()));
        }
        if is_exempt(&head) {
            self.state = State::Without;
            return Action::Continue;
        }
        // It might name one of ours, for the next hop to drop (RFC 9110 section 7.6.1).
        if find(&head, "connection").is_some() {
            let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, "connection");
        }
        let (state, action) = match filter.arrive(self.id) {
            Fate::Carries(token) => (State::Carrying(token), Action::Continue),
            Fate::Waits => (State::Waiting, Action::Pause),
            Fate::Answered => (State::Without, Action::Pause),
        };
        self.state = state;
        action
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if !matches!(self.state, State::Elsewhere) {
            let trailers = hostcalls::get_map_bytes(MapType::HttpRequestTrailers).unwrap_or_default();
            strip(MapType::HttpRequestTrailers, &trailers);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let token = match self.state {
            State::Elsewhere | State::Without => return Action::Continue,
            State::Waiting => match self.filter.borrow_mut().given(self.id) {
                Some(token) => token,
                None => return Action::Continue,
            },
            State::Carrying(token) => token,
        };
        let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status").ok().flatten();
        if status.is_some_and(|status| status == b"401") && is_from_upstream() {
            self.filter.borrow_mut().rejected(&token);
        }
        Action::Continue
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if matches!(self.state, State::Waiting) {
            self.filter.borrow_mut().depart(self.id);
        }
    }
}

/// Takes off every form of a caller's credential.
fn strip(map: MapType, fields: &[(String, Bytes)]) {
    for (name, _) in fields.iter().filter(|(name, _)| is_credential(name.as_bytes())) {
        let _ = hostcalls::remove_map_value(map, name);
    }
}

/// What is no request to the API as such: tunnels, preflights, other protocols (RFC 9110 section 7.8).
fn is_exempt(head: &[(String, Bytes)]) -> bool {
    let upgrade = || {
        let connection = find(head, "connection").unwrap_or_default().to_ascii_lowercase();
        find(head, "upgrade").is_some() && connection.split(|byte| *byte == b',').any(|name| name.trim_ascii() == b"upgrade")
    };
    matches!(find(head, ":method"), Some(b"CONNECT" | b"OPTIONS")) || upgrade()
}

fn find<'a>(fields: &'a [(String, Bytes)], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
}

/// Whether an upstream answered. A downstream filter also sees what later filters answer, which is no word of the API. An
/// upstream filter is told nothing, and sees only upstreams.
fn is_from_upstream() -> bool {
    let details = hostcalls::get_property(vec!["response", "code_details"]).ok().flatten();
    details.is_none_or(|details| details.is_empty() || details == b"via_upstream")
}
