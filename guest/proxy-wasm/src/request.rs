//! One request. It decides nothing but what it is: where it goes, and whether it carries a credential at all.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use wif_engine::headers::is_credential;

use crate::fields::Fields;
use crate::filter::{Fate, Filter, TokenId};
use crate::reply::Reply;

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
        let head = Head::read(&fields);
        head.credentials.iter().for_each(|name| remove(MapType::HttpRequestHeaders, name));
        if head.authority.contains(&b'@') {
            // Whatever stands before the @ may be a credential, too.
            let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, ":authority", Some(filter.authority()));
        }
        if head.is_exempt() {
            self.state = State::Without;
            return Action::Continue;
        }
        // It might name one of ours, for the next hop to drop (RFC 9110 section 7.6.1).
        if head.connection.is_some() {
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
        if status != b"401" && status.first() != Some(&b'3') {
            return Action::Continue;
        }
        let mut filter = self.filter.borrow_mut();
        let stands_upstream = filter.stands_upstream();
        if status != b"401" && stands_upstream {
            // What an upstream filter sets stays on the request; a route that follows redirects would carry it elsewhere.
            let _ = hostcalls::remove_map_value(MapType::HttpResponseHeaders, "location");
        }
        if status == b"401" && (stands_upstream || is_from_upstream()) {
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

/// What decides what becomes of a request.
#[derive(Default)]
struct Head<'a> {
    method: &'a [u8],
    authority: &'a [u8],
    /// A `connection` field names `upgrade`.
    names_upgrade: bool,
    upgrades: bool,
    /// The names of the fields that are a caller's own credential, in whatever form.
    credentials: Vec<&'a [u8]>,
}

impl<'a> Head<'a> {
    fn read(fields: &'a Fields) -> Self {
        let mut head = Self::default();
        for (name, value) in fields.iter() {
            match name {
                b":method" => head.method = value,
                b":authority" => head.authority = value,
                b"connection" => {
                    let mut names = value.split(|byte| *byte == b',');
                    head.names_upgrade |= names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
                }
                b"upgrade" => head.upgrades = true,
                name if is_credential(name) => head.credentials.push(name),
                _ => {}
            }
        }
        head
    }

    /// What is no request to the API as such: tunnels, preflights, what is answered with the request itself, other protocols
    /// (RFC 9110 sections 7.8 and 9.3.8).
    fn is_exempt(&self) -> bool {
        // Names of methods have a case; whoever writes one otherwise means the same, and an upstream may take it so.
        let exempt = [&b"CONNECT"[..], b"OPTIONS", b"TRACE"];
        exempt.iter().any(|name| self.method.eq_ignore_ascii_case(name)) || (self.upgrades && self.names_upgrade)
    }
}

fn remove(map: MapType, name: &[u8]) {
    // Names are tokens (RFC 9110 section 5.6.2): the proxy's parsers take nothing else.
    let name = std::str::from_utf8(name).expect("the name of a field is ASCII");
    let _ = hostcalls::remove_map_value(map, name);
}

/// Whether an upstream answered. A downstream filter also sees what later filters answer, which is no word of the API.
fn is_from_upstream() -> bool {
    let details = hostcalls::get_property(vec!["response", "code_details"]).ok().flatten();
    details.is_some_and(|details| details == b"via_upstream")
}

/// The proxy does not tell where the request goes, or what it is: then it goes nowhere.
fn refuse(filter: &Filter, state: &mut State) -> Action {
    filter.refuse(&Reply::denied_by_proxy());
    *state = State::Without;
    Action::Pause
}
