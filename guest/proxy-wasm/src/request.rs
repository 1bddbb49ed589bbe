//! One request. It decides nothing but what it is: where it goes, and whether it carries a credential at all.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use wif_rules::{Head, REJECTED_GRPC_STATUS, is_credential};

use crate::fields::Fields;
use crate::filter::{Fate, Filter, TokenId};
use crate::reply;

/// The context of one request.
pub struct Request {
    filter: Rc<RefCell<Filter>>,
    id: u32,
    state: State,
    /// It is a call of gRPC.
    is_grpc: bool,
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
        Self { filter, id, state: State::Elsewhere, is_grpc: false }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let mut filter = self.filter.borrow_mut();
        // The route's cluster, or, as an upstream filter, the one that the request has reached.
        let Ok(cluster) = hostcalls::get_property(vec!["xds", "cluster_name"]) else {
            return refuse(&filter, &mut self.state);
        };
        // Without a route there is no cluster, and the proxy answers.
        let cluster = cluster.unwrap_or_default();
        if !filter.leads_to_api(&cluster) {
            filter.pass_by(&cluster);
            return Action::Continue;
        }
        let Some(fields) = Fields::read(MapType::HttpRequestHeaders) else {
            return refuse(&filter, &mut self.state);
        };
        let head = Head::read(fields.iter());
        head.credentials.iter().for_each(|name| remove(MapType::HttpRequestHeaders, name));
        if head.names_user {
            // Whatever stands before the @ may be a credential, too.
            let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, ":authority", Some(filter.authority()));
        }
        self.is_grpc = head.is_grpc;
        if head.exempt {
            self.state = State::Without;
            return Action::Continue;
        }
        // It might name one of ours, for the next hop to drop (RFC 9110 section 7.6.1).
        if head.has_connection {
            let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, "connection");
        }
        let (state, action) = match filter.arrive(self.id, &fields) {
            Fate::Carries(token) => (State::Carrying(token), Action::Continue),
            Fate::Waits => (State::Waiting, Action::Pause),
            Fate::Answered => (State::Without, Action::Pause),
        };
        self.state = state;
        action
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if !matches!(self.state, State::Elsewhere) {
            let trailers = Fields::read(MapType::HttpRequestTrailers);
            let names = trailers.iter().flat_map(Fields::iter).map(|(name, _)| name);
            names.filter(|name| is_credential(name)).for_each(|name| remove(MapType::HttpRequestTrailers, name));
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
        let status = status.unwrap_or_default();
        let rejected = status == b"401" || self.is_grpc && is_grpc_rejection();
        if !rejected && status.first() != Some(&b'3') {
            return Action::Continue;
        }
        let mut filter = self.filter.borrow_mut();
        let stands_upstream = filter.stands_upstream();
        if !rejected && stands_upstream {
            // What an upstream filter sets stays on the request; a route that follows redirects would carry it elsewhere.
            let _ = hostcalls::remove_map_value(MapType::HttpResponseHeaders, "location");
        }
        if rejected && (stands_upstream || is_from_upstream()) {
            filter.rejected(&token);
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

fn remove(map: MapType, name: &[u8]) {
    // Names are tokens (RFC 9110 section 5.6.2): the proxy's parsers take nothing else.
    let name = std::str::from_utf8(name).expect("the name of a field is ASCII");
    let _ = hostcalls::remove_map_value(map, name);
}

/// Whether the answer to a call of gRPC is a status alone, and says that the token is not accepted.
fn is_grpc_rejection() -> bool {
    let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, "grpc-status").ok().flatten();
    status.is_some_and(|status| status == REJECTED_GRPC_STATUS.as_bytes())
}

/// Whether an upstream answered. A downstream filter also sees what later filters answer, which is no word of the API.
fn is_from_upstream() -> bool {
    let details = hostcalls::get_property(vec!["response", "code_details"]).ok().flatten();
    details.is_some_and(|details| details == b"via_upstream")
}

/// The proxy does not tell where the request goes, or what it is: then it goes nowhere.
fn refuse(filter: &Filter, state: &mut State) -> Action {
    filter.refuse(&reply::denied_by_proxy());
    *state = State::Without;
    Action::Pause
}
