//! One request. It decides nothing but what it is: where it goes, and whether it carries a credential at all.

use std::cell::RefCell;
use std::rc::Rc;

use wif_rules::{AnswerHead, is_credential};

use crate::credential::{Credential, Fate, TokenId};
use crate::fields::Fields;
use crate::hostcalls::{self, MapType, Refused};
use crate::reply;

/// The context of one request.
pub(crate) struct Request {
    credential: Rc<RefCell<Credential>>,
    id: u32,
    stage: Stage,
}

enum Stage {
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
    pub(crate) fn new(credential: Rc<RefCell<Credential>>, id: u32) -> Self {
        Self { credential, id, stage: Stage::Elsewhere }
    }
}

/// What the proxy calls: whether the request, or its answer, goes on.
impl Request {
    pub(crate) fn on_http_request_headers(&mut self) -> bool {
        let credential = Rc::clone(&self.credential);
        let mut credential = credential.borrow_mut();
        match self.decide(&mut credential) {
            Ok(goes_on) => goes_on,
            // The proxy does not tell where the request goes or what it is, or does not change it: then it goes nowhere.
            Err(_) => {
                credential.refuse(&reply::denied_by_proxy());
                self.stage = Stage::Without;
                false
            }
        }
    }

    fn decide(&mut self, credential: &mut Credential) -> Result<bool, Refused> {
        if !credential.is_for_api()? {
            return Ok(true);
        }
        let fields = Fields::read(MapType::HttpRequestHeaders)?;
        let head = fields.iter().head();
        head.credentials.iter().try_for_each(|name| hostcalls::remove_map_value(MapType::HttpRequestHeaders, name))?;
        if head.names_user {
            // Whatever stands before the @ may be a credential, too.
            hostcalls::set_map_value(MapType::HttpRequestHeaders, ":authority", credential.authority().as_bytes())?;
        }
        if head.exempt {
            self.stage = Stage::Without;
            return Ok(true);
        }
        // It might name one of ours, for the next hop to drop (RFC 9110 section 7.6.1).
        if head.has_connection {
            hostcalls::remove_map_value(MapType::HttpRequestHeaders, b"connection")?;
        }
        self.stage = match credential.arrive(self.id, &fields) {
            Fate::Carries(token) => Stage::Carrying(token),
            Fate::Waits => Stage::Waiting,
            Fate::Answered => Stage::Without,
        };
        Ok(matches!(self.stage, Stage::Carrying(_)))
    }

    pub(crate) fn on_http_request_trailers(&mut self) -> bool {
        if matches!(self.stage, Stage::Elsewhere) {
            return true;
        }
        // What cannot be taken out of a request that has begun holds it.
        let Ok(trailers) = Fields::read(MapType::HttpRequestTrailers) else { return false };
        let mut names = trailers.iter().map(|(name, _)| name).filter(|name| is_credential(name));
        names.all(|name| hostcalls::remove_map_value(MapType::HttpRequestTrailers, name).is_ok())
    }

    pub(crate) fn on_http_response_headers(&mut self) -> bool {
        let token = match self.stage {
            Stage::Elsewhere | Stage::Without => return true,
            Stage::Waiting => match self.credential.borrow_mut().given(self.id) {
                Some(token) => token,
                None => return true,
            },
            Stage::Carrying(token) => token,
        };
        // Both statuses at once: each question would cost as much as all fields do.
        let Ok(fields) = Fields::read(MapType::HttpResponseHeaders) else { return true };
        let AnswerHead { rejects, redirects } = fields.iter().answer_head();
        if !rejects && !redirects {
            return true;
        }
        let mut credential = self.credential.borrow_mut();
        let stands_upstream = credential.stands_upstream();
        if !rejects && stands_upstream {
            // What an upstream filter sets stays on the request; a route that follows redirects would carry it elsewhere.
            let _ = hostcalls::remove_map_value(MapType::HttpResponseHeaders, b"location");
        }
        if rejects && (stands_upstream || is_from_upstream()) {
            credential.report_rejection(&token);
        }
        true
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Waiting) {
            self.credential.borrow_mut().depart(self.id);
        }
    }
}

/// Whether an upstream answered. A downstream filter also sees what later filters answer, which is no word of the API.
fn is_from_upstream() -> bool {
    let details = hostcalls::get_property("response\0code_details").ok().flatten();
    details.is_some_and(|details| details == b"via_upstream")
}
