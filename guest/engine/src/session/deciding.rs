//! Whether an identity token is exchanged: now, later, or never again.

use super::attempt::{Trouble, Work};
use super::outgoing::Role;
use super::{POLL_MS, Plan, Session, field, only};
use crate::LOGINS;
use crate::Secret;
use crate::answer::Pause;
use crate::configuration::{Bearer, IdentityTokenSource, Reuse};
use crate::contract::{Disposition, FailureCode, NoteCode, NoteLevel, Task, TokenRequest};
use crate::identity_token::{About, IdentityToken, Untimely};
use crate::lint;
use crate::schedule::Windows;
use crate::timeline::Moment;

impl Session {
    /// Begins what will end in a token.
    pub(super) fn begin(&mut self) {
        match &self.plan {
            Plan::Bearer(Bearer::Callable(name)) => {
                let rejected = self.tokens.id_of_rejected(self.known.rejections()).cloned();
                let request = TokenRequest { name: name.clone(), rejected };
                self.attempt.begin(Work::Asking);
                self.emit(Role::Ask, Task::SupplyToken(request));
            }
            Plan::Federation(_) => {
                self.share_beside();
                if self.share.is_some() && self.identity.key().is_some() {
                    self.load(None);
                } else {
                    self.read_source();
                }
            }
            Plan::Bearer(Bearer::Login(_)) if LOGINS => self.look_at_login(),
            _ => {}
        }
    }

    /// Takes an identity token from the source.
    pub(super) fn take_identity_token(&mut self, content: Secret) {
        let Some(federation) = self.federation() else { return };
        let source = federation.identity_token.describe();
        let shared = federation.identity_token.shared();
        let identity = match IdentityToken::parse(content) {
            Ok(identity) => identity,
            Err(what) => {
                let message = format!("The identity token from {source} {what}.");
                let action = "Check what the source holds: it must be the bare JWT of the workload.";
                return self.source_failed(FailureCode::IdentityTokenMalformed, message, action);
            }
        };
        self.record_identity_token(&identity.about, shared);
        if self.learn(&identity.about) {
            if !self.due() {
                // An earlier session left a token.
                self.attempt.stop();
                return;
            }
            if self.share.is_some() {
                return self.load(Some(Box::new(identity)));
            }
        }
        self.consider(identity);
    }

    /// Decides about an identity token of the identity that the session has.
    pub(super) fn consider(&mut self, identity: IdentityToken) {
        let Some(federation) = self.federation() else { return };
        let source = federation.identity_token.describe();
        let shared = federation.identity_token.shared();
        let single_use = self.single_use(&identity.about);
        if let Err(untimely) = identity.about.check_times(self.time.wall_ms()) {
            return self.untimely(&source, untimely);
        }
        if shared && single_use && self.share.as_ref().is_some_and(|share| share.cache_only) {
            let message = format!(
                "The identity token from {source} can be exchanged once, and a store that is only a cache lets two sessions exchange it."
            );
            let action = "Use a store with compare-and-swap, or give each session an identity token of its own.";
            return self.source_failed(FailureCode::StoreFailed, message, action);
        }
        self.decide(identity);
    }

    /// Whether it can be exchanged once, and was.
    pub(super) fn is_spent(&self, about: &About) -> bool {
        self.single_use(about) && self.known.ledger().disposition(&about.id) == Disposition::Spent
    }

    /// Exchanges it, unless what is known by now speaks against it.
    pub(super) fn decide(&mut self, identity: IdentityToken) {
        let shared = self.federation().is_some_and(|federation| federation.identity_token.shared());
        let single_use = self.single_use(&identity.about);
        let id = &identity.about.id;
        if shared && single_use {
            self.known.doubt(&identity.about);
        }
        if self.is_spent(&identity.about) {
            return self.wait_for_rotation(&identity.about);
        }
        let same = self.attempt.pace().tried.as_ref() == Some(id);
        if shared && !same && self.attempt.pace().tried.is_some() {
            self.attempt.forgive(self.time.now());
        }
        let not_before = if shared { self.attempt.retry_at() } else { self.attempt.pace().floor };
        if self.time.now() < not_before {
            self.sleep();
            return;
        }
        self.attempt.wait_no_more();
        if self.leads() {
            self.take_lease(identity);
        } else {
            self.send(identity);
        }
    }

    fn record_identity_token(&mut self, about: &About, shared: bool) {
        let sight = self.known.record(about);
        let rotated = shared && sight.rotated;
        if rotated {
            let fields = only("identity-token", &about.id);
            self.out.note(NoteCode::IdentityTokenRotated, NoteLevel::Info, "The source shows another identity token.", fields);
        }
        if sight.first || rotated {
            for warning in lint::of_identity_token(about, self.federation().map(|federation| &federation.identity_token)) {
                self.warn(warning);
            }
        }
    }

    fn untimely(&mut self, source: &str, untimely: Untimely) {
        let (code, message, action) = match untimely {
            Untimely::Expired(ago) => (
                FailureCode::IdentityTokenExpired,
                format!("The identity token from {source} expired {} s ago by this machine's clock.", ago / 1000),
                "Check that its owner rotates it, and this machine's clock.",
            ),
            Untimely::NotYetValid(ahead) => (
                FailureCode::IdentityTokenNotYetValid,
                format!("The identity token from {source} is valid only in {} s by this machine's clock.", ahead / 1000),
                "Check this machine's clock and the issuer's.",
            ),
        };
        self.source_failed(code, message, action);
    }

    /// The identity token is spent, and only its owner can help.
    pub(super) fn wait_for_rotation(&mut self, about: &About) {
        let Some(federation) = self.federation() else { return };
        let rotates = !matches!(federation.identity_token, IdentityTokenSource::Literal(_));
        let mints = !federation.identity_token.shared();
        let source = federation.identity_token.describe();
        // A platform says which of its caches gave the same one again.
        let keeper = federation.identity_token.recipe().and_then(|recipe| recipe.repeats.clone());
        let expected = match about.rotation_expected_ms() {
            rotation if rotation > self.time.wall_ms() => rotation,
            _ => about.expires_at_ms.max(self.time.wall_ms()),
        };
        let action = if mints {
            "Let the source give another identity token on each call, or configure its freshness as shared."
        } else if rotates {
            "Nothing, if the platform rotates it in time. If not, let access tokens live longer than the time between rotations, or \
             give this process an identity token of its own."
        } else {
            "Restart with a new identity token, and better with one from a file or callable."
        };
        let message = if mints {
            format!("The identity token from {source} can be exchanged once, and was: the source gave the same one again.")
        } else {
            format!("The identity token from {source} can be exchanged once, and was: waiting for the next one.")
        };
        if self.attempt.wait_for(&about.id) {
            let mut fields = only("identity-token", &about.id);
            if rotates {
                fields.push(field("rotation-expected-in-s", &((expected - self.time.wall_ms()) / 1000).to_string()));
            }
            self.out.note(NoteCode::WaitingForRotation, NoteLevel::Warning, &message, fields);
        }
        let look_at = if mints {
            self.attempt.pause(Pause::Transient, self.time.now(), &mut self.random);
            self.attempt.pace().retry_at
        } else if rotates {
            self.time.now() + self.poll_ms()
        } else {
            Moment::NEVER
        };
        // Whoever is told to come again shall find what the next look brought.
        let until = Some(look_at).filter(|at| *at != Moment::NEVER);
        let action = keeper.as_deref().unwrap_or(action);
        let mut trouble = Trouble::new(FailureCode::IdentityTokenSpent, message, action, until);
        trouble.rotation = (rotates && !mints).then(|| self.time.now() + (expected - self.time.wall_ms()));
        self.attempt.fail(trouble);
        self.attempt.rest_until(look_at);
    }

    /// Whether this identity token can be exchanged once, so that the ledger keeps it: whatever its source is said to be, for
    /// some that are said to mint give the same one again.
    pub(super) fn single_use(&self, about: &About) -> bool {
        self.federation().is_some_and(|federation| match federation.reuse {
            Reuse::Auto => about.has_jti,
            Reuse::Allow => false,
            Reuse::Deny => true,
        })
    }

    /// Rests until something can be done: a retry, or another identity token in a source that is cheap to look at.
    pub(super) fn sleep(&mut self) {
        let retry_at = self.attempt.retry_at();
        let looks = match self.federation().map(|federation| &federation.identity_token) {
            Some(IdentityTokenSource::Literal(_)) | None => false,
            Some(source) => source.shared() || self.share.is_some(),
        };
        let look_at = if looks { retry_at.min(self.time.now() + self.poll_ms()) } else { retry_at };
        self.attempt.rest_until(look_at.max(self.attempt.pace().floor));
    }

    /// How often a shared source is looked at while a refresh is due and cannot go on.
    pub(super) fn poll_ms(&self) -> u64 {
        match self.tokens.held().and_then(|held| held.life) {
            // Four looks before callers would have to wait, for tokens that live long enough.
            Some(life) => (Windows::of(life.lifetime).advisory / 4).clamp(1_000, 10_000),
            None => POLL_MS,
        }
    }
}
