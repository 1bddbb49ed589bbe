//! One stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wif::{Error, Token};
use wif_document::Clusters;
use wif_rules::{Head, REJECTED_GRPC_STATUS, Reply, is_credential, merge};

use crate::abi::{Fields, Stream};
use crate::module::Module;
use crate::reply;
use crate::waiting::{Place, wait};

/// What becomes of a request.
pub(crate) enum Next {
    /// It goes on.
    Go,
    /// It waits, and [`Filter::waited`] is called.
    Wait,
    /// It is answered, and not sent.
    Answer(Reply),
}

/// What is known of one stream. Its hooks may be nested, so no lock is held while Envoy is asked for anything.
pub(crate) struct Filter {
    module: Arc<Module>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// It goes to the API, so no credential of the caller's goes with it.
    strips: bool,
    /// What it carries.
    token: Option<Token>,
    /// Where it waits.
    place: Option<Place>,
    /// The answer is Envoy's own and not the API's.
    answered_here: bool,
}

impl Filter {
    pub(crate) fn new(module: Arc<Module>) -> Self {
        Self { module, known: Mutex::default() }
    }

    /// The request's header.
    pub(crate) fn request(&self, stream: &mut Stream<'_>) -> Next {
        let clusters = self.module.clusters();
        if *clusters != Clusters::All && !stream.cluster().is_some_and(|cluster| clusters.lead_to_api(cluster)) {
            self.module.metrics().elsewhere();
            // A redirect of the API's that Envoy itself follows has ours on it still.
            let ours = self.module.ours(|name| stream.field(Fields::Request, name.as_str()));
            let clean = ours.iter().all(|name| stream.remove(Fields::Request, name.as_str().as_bytes()));
            return if clean { Next::Go } else { self.refuse(reply::stopped()) };
        }
        self.known().strips = true;
        // Read once, and changed afterwards: every word with Envoy costs as much as all that is decided here.
        let Some(fields) = stream.fields(Fields::Request) else { return self.refuse(reply::stopped()) };
        let (head, again) = (Head::read(fields.iter().copied()), was_sent(&fields));
        if !clean(stream, &head, self.module.authority()) {
            return self.refuse(reply::stopped());
        }
        if head.exempt {
            return Next::Go;
        }
        match self.module.token_at_once(again) {
            Ok(known) => self.carry(stream, known),
            Err(reason) => {
                let Some(scheduler) = stream.scheduler() else { return self.refuse(reply::stopped()) };
                let (place, promise) = wait(scheduler);
                self.module.metrics().begins_to_wait();
                self.known().place = Some(place.held_by(self.module.wait(reason, promise)));
                Next::Wait
            }
        }
    }

    /// What it waited for is there.
    pub(crate) fn waited(&self, stream: &mut Stream<'_>) -> Next {
        let Some(place) = self.known().place.take() else { return Next::Wait };
        self.module.metrics().ends_to_wait();
        // Nobody wakes a stream without a word.
        let known = place.take().unwrap_or(Err(Error::Closed));
        self.carry(stream, known)
    }

    /// The request's trailers. A reply if they cannot be cleaned.
    pub(crate) fn request_trailers(&self, stream: &mut Stream<'_>) -> Option<Reply> {
        let strips = self.known().strips;
        (strips && !strip_trailers(stream)).then(reply::stopped)
    }

    /// The answer's header. What the request carried is sent by now.
    pub(crate) fn response(&self, stream: &mut Stream<'_>) {
        let answered_here = self.known().answered_here;
        let Some(token) = self.uncover(stream) else { return };
        if !answered_here && is_rejection(stream) {
            self.module.reject(&token);
        }
    }

    /// Envoy, or one of its filters, answers instead of the API.
    pub(crate) fn answered_here(&self) {
        self.known().answered_here = true;
    }

    /// The stream has ended, perhaps without an answer.
    pub(crate) fn complete(&self, stream: &mut Stream<'_>) {
        self.uncover(stream);
    }

    /// The stream is gone.
    pub(crate) fn end(&self) {
        let place = self.known().place.take();
        if place.is_some() {
            self.module.metrics().ends_to_wait();
        }
    }

    fn carry(&self, stream: &mut Stream<'_>, known: Result<Token, Error>) -> Next {
        let token = match known {
            Ok(token) if self.module.is_for_the_clusters(&token) => token,
            Ok(_) => return self.refuse(Reply::other_origin()),
            Err(error) => return self.refuse(Reply::from(&error)),
        };
        if !put(stream, &token) {
            return self.refuse(reply::stopped());
        }
        self.module.carries(&token);
        self.known().token = Some(token);
        Next::Go
    }

    /// Takes our credential off a request that was sent: what writes about it from here on, an access log or a tap, must not have
    /// it. A retry runs through an upstream filter of its own, which puts it on again.
    fn uncover(&self, stream: &mut Stream<'_>) -> Option<Token> {
        let token = self.known().token.take()?;
        for (name, _) in token.headers() {
            // What Envoy does not let go of it has shown before.
            let _ = stream.remove(Fields::Request, name.as_str().as_bytes());
        }
        Some(token)
    }

    fn refuse(&self, reply: Reply) -> Next {
        self.module.metrics().refused();
        Next::Answer(reply)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is one assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes off every form of the caller's credential. Says whether none is left.
fn clean(stream: &mut Stream<'_>, head: &Head, authority: &str) -> bool {
    if head.names_user && !stream.set(Fields::Request, ":authority", authority.as_bytes()) {
        return false;
    }
    if head.has_connection && !head.exempt && !stream.remove(Fields::Request, b"connection") {
        return false;
    }
    head.credentials.iter().all(|name| stream.remove(Fields::Request, name))
}

/// Whether the router has sent this request before.
fn was_sent(fields: &[(&[u8], &[u8])]) -> bool {
    fields.iter().any(|(name, value)| *name == b"x-envoy-attempt-count" && *value != b"1")
}

/// Puts the token on a request that has no other credential. Says whether that was done.
fn put(stream: &mut Stream<'_>, token: &Token) -> bool {
    let set = token.headers().iter().all(|(name, value)| stream.set(Fields::Request, name.as_str(), value.as_bytes()));
    set && token.merged_headers().iter().all(|(name, ours)| {
        let ours = ours.as_bytes();
        if stream.field(Fields::Request, name.as_str()).is_none() {
            return stream.set(Fields::Request, name.as_str(), ours);
        }
        let Some(all) = stream.fields(Fields::Request) else { return false };
        let theirs = all.iter().filter(|(field, _)| *field == name.as_str().as_bytes());
        let merged = merge(theirs.map(|(_, value)| *value).chain([ours]));
        stream.set(Fields::Request, name.as_str(), &merged)
    })
}

/// Takes every form of a caller's credential off trailers. Says whether none is left.
fn strip_trailers(stream: &mut Stream<'_>) -> bool {
    let Some(trailers) = stream.fields(Fields::RequestTrailers) else { return false };
    let found: Vec<Vec<u8>> = trailers.iter().filter(|(name, _)| is_credential(name)).map(|(name, _)| name.to_vec()).collect();
    found.iter().all(|name| stream.remove(Fields::RequestTrailers, name))
}

/// Whether this is the API's word that it does not accept the token.
fn is_rejection(stream: &Stream<'_>) -> bool {
    stream.field(Fields::Response, ":status") == Some(b"401")
        || stream.field(Fields::Response, "grpc-status") == Some(REJECTED_GRPC_STATUS.as_bytes())
}
