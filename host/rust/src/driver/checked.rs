//! A session's output, checked. Whatever the component says is treated as if a stranger had said it.

use http::header::{HeaderName, HeaderValue};
use zeroize::Zeroize;

use crate::bindings::types::{self, Event, Outcome};
use crate::limits;
use crate::policy::{Grants, Policy, is_credential, is_merged, is_whole_credential};
use crate::secret::Secret;
use crate::snapshot::{Access, Snapshot};
use crate::status::{Failure, Note};
use crate::token::Token;
use crate::transport::header_field;

/// Callers who say that a token is needed are heard again after this time at the latest, and not at once: what was due has
/// been done, and the next is due with a wake.
pub(super) const NUDGE_AGAIN_MS: u64 = 1_000;
/// A thousand years, in milliseconds: later is never.
const NEVER_MS: u64 = 31_557_600_000_000;

pub(super) struct Checked {
    pub(super) snapshot: Snapshot,
    /// There is a token, for an origin that the policy refuses; the access says so.
    pub(super) origin_denied: bool,
    pub(super) tasks: Vec<types::NumberedTask>,
    pub(super) abandon: Vec<u32>,
    pub(super) wake_at: Option<u64>,
    pub(super) journal: Option<Secret>,
    pub(super) notes: Vec<Note>,
}

impl Checked {
    /// Checks what concerns callers. Tasks are checked when they are done, for a refusal is an answer to them.
    /// The step began at `now`, and what it says of times counts from then; but it is left alone from its end on.
    pub(super) fn check(output: types::Output, now: u64, ended: u64, policy: &Policy, grants: &Grants) -> Result<Self, String> {
        let journal = output.journal.map(Secret::from);
        if journal.as_ref().is_some_and(|journal| journal.reveal().len() > limits::JOURNAL_BYTES) {
            return Err("the journal is too long".to_owned());
        }
        if output.notes.len() > limits::LIST {
            return Err("too many notes".to_owned());
        }
        if output.notes.iter().any(|note| note.fields.len() > limits::LIST || size(note) > limits::NOTE_BYTES) {
            return Err("a note is too long".to_owned());
        }
        let mut origin_denied = false;
        let access = match output.access {
            types::Access::Usable(usable) => match origin_of(&usable, policy, grants) {
                Ok(origin) => check_usable(usable, origin, now)?,
                Err(rule) => {
                    origin_denied = true;
                    drop(usable.set.into_iter().map(|header| Secret::from(header.value)).collect::<Vec<_>>());
                    Access::Failed(Failure::origin_denied(rule))
                }
            },
            types::Access::Pending(reason) => Access::Pending(reason.into()),
            types::Access::Failed(failure) => Access::Failed(failure.into()),
            types::Access::Idle => Access::Idle,
            types::Access::Closed => Access::Closed,
        };
        let wake_in = output.wake_in_ms.map(|wake| u64::from(wake).clamp(limits::WAKE_AT_LEAST_MS, limits::WAKE_AT_MOST_MS));
        let wake_at = wake_in.map(|wake| ended + wake);
        // The step that has just ended did all that was due.
        let soonest_nudge = now + wake_in.unwrap_or(u64::MAX).min(NUDGE_AGAIN_MS);
        let nudge_from = match &access {
            Access::Usable { refresh_at, .. } if *refresh_at > now => *refresh_at,
            Access::Usable { .. } | Access::Failed(_) => soonest_nudge,
            // Callers of these wait, or say it anyway.
            Access::Pending(_) | Access::Idle | Access::Closed => u64::MAX,
        };
        let snapshot = Snapshot {
            generation: 0,
            at: 0,
            access,
            underway: output.progress == types::Progress::Underway,
            wait_at_most_ms: u64::from(output.wait_at_most_ms).min(limits::WAIT_AT_MOST_MS),
            nudge_from,
            passing: None,
            stopped: None,
        };
        let notes = output.notes.into_iter().map(Note::from).collect();
        Ok(Self { snapshot, origin_denied, tasks: output.tasks, abandon: output.abandon, wake_at, journal, notes })
    }
}

/// The origin of a token in the one form in which origins are written. An `Err` is the rule that refuses.
fn origin_of(usable: &types::Usable, policy: &Policy, grants: &Grants) -> Result<String, String> {
    let origin = policy.check_origin(&usable.origin)?;
    grants.check_token_origin(&origin)?;
    Ok(origin.as_str().to_owned())
}

fn check_usable(usable: types::Usable, origin: String, now: u64) -> Result<Access, String> {
    let types::Usable { id, set, merge, refresh_in_ms, hold_in_ms, unusable_in_ms, standing, .. } = usable;
    // All of them become values that do not print before anything can fail.
    let (set, merge) = (fields(set, is_credential), fields(merge, is_merged));
    let (set, merge) = (set?, merge?);
    if set.iter().filter(|(name, value)| is_whole_credential(name.as_str()) && !value.is_empty()).count() != 1 {
        return Err("a token is one credential, and no more".to_owned());
    }
    if id.len() != 16 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("a token's id is none".to_owned());
    }
    let at = |wait: Option<u64>| wait.filter(|wait| *wait < NEVER_MS).map_or(u64::MAX, |wait| now.saturating_add(wait));
    Ok(Access::Usable {
        token: Token::new(id, origin, standing.into(), set, merge),
        refresh_at: at(refresh_in_ms),
        hold_at: at(hold_in_ms),
        unusable_at: at(unusable_in_ms),
    })
}

/// The header fields, of which each must be a part of a credential: any other would change what a caller's request is.
fn fields(headers: Vec<types::Header>, known: fn(&str) -> bool) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let fields: Vec<_> = headers.into_iter().map(header_field).collect::<Result<_, _>>()?;
    if let Some((name, _)) = fields.iter().find(|(name, _)| !known(name.as_str())) {
        return Err(format!("the header {name} is no part of a credential"));
    }
    let twice = |(at, (name, _)): (usize, &(HeaderName, HeaderValue))| fields[..at].iter().any(|(earlier, _)| earlier == name);
    if fields.len() > limits::LIST || fields.iter().enumerate().any(twice) {
        return Err("too many headers".to_owned());
    }
    if fields.iter().any(|(_, value)| value.len() > limits::FIELD_BYTES) {
        return Err("the value of a header is too long".to_owned());
    }
    Ok(fields)
}

fn size(note: &types::Note) -> usize {
    note.message.len() + note.fields.iter().map(|field| field.name.len() + field.value.len()).sum::<usize>()
}

/// The component has its copy; ours goes.
pub(super) fn wipe(event: &mut Event) {
    let Event::Finished(result) = event else { return };
    match &mut result.outcome {
        Outcome::Response(response) => response.body.zeroize(),
        Outcome::Content(content) => content.zeroize(),
        Outcome::Token(token) => token.value.zeroize(),
        Outcome::Entry(entry) | Outcome::Conflict(Some(entry)) => entry.value.zeroize(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that began at 10,000 ms and ended at 10,400 ms said this.
    fn checked(change: impl FnOnce(&mut types::Output, &mut types::Usable)) -> Result<Checked, String> {
        let field = |name: &str, value: &str| types::Header { name: name.to_owned(), value: value.to_owned() };
        let mut usable = types::Usable {
            id: "0123456789abcdef".to_owned(),
            origin: "https://api.anthropic.com".to_owned(),
            set: vec![field("authorization", "Bearer canary")],
            merge: Vec::new(),
            refresh_in_ms: Some(60_000),
            hold_in_ms: Some(120_000),
            unusable_in_ms: Some(180_000),
            standing: types::Standing::Good,
        };
        let mut output = types::Output {
            access: types::Access::Idle,
            progress: types::Progress::Resting,
            wait_at_most_ms: 0,
            tasks: Vec::new(),
            abandon: Vec::new(),
            wake_in_ms: None,
            journal: None,
            notes: Vec::new(),
        };
        change(&mut output, &mut usable);
        output.access = types::Access::Usable(usable);
        let policy = Policy::default().allow_origin("https://gateway.example").unwrap();
        let grants = Grants::new(&Secret::from(r#"{"base_url": "https://api.anthropic.com"}"#));
        Checked::check(output, 10_000, 10_400, &policy, &grants)
    }

    /// F2, C13: a program keeps journals, and no larger ones than may be in a store.
    #[test]
    fn a_journal_has_an_end() {
        let journal =
            |bytes| checked(|output, _| output.journal = Some("x".repeat(bytes))).map(|checked| checked.journal.is_some());
        assert_eq!(journal(limits::JOURNAL_BYTES), Ok(true));
        assert_eq!(journal(limits::JOURNAL_BYTES + 1), Err("the journal is too long".to_owned()));
    }

    /// F2: a component neither keeps its driver busy nor sleeps for weeks, and the time that a step took is not taken from its rest.
    #[test]
    fn a_wake_is_obeyed_within_bounds_and_counts_from_the_end_of_the_step() {
        let wake_at = |wake_in_ms| checked(|output, _| output.wake_in_ms = wake_in_ms).unwrap().wake_at;
        assert_eq!(wake_at(None), None);
        assert_eq!(wake_at(Some(0)), Some(10_400 + limits::WAKE_AT_LEAST_MS));
        assert_eq!(wake_at(Some(1_000)), Some(11_400));
        assert_eq!(wake_at(Some(u32::MAX)), Some(10_400 + limits::WAKE_AT_MOST_MS));
    }

    /// Callers who say that a token is needed are heard again after a second, or with the next wake.
    #[test]
    fn a_need_that_was_met_just_now_is_not_heard_at_once() {
        let nudge_from = |wake_in_ms| {
            let due = checked(|output, usable| (output.wake_in_ms, usable.refresh_in_ms) = (wake_in_ms, Some(0)));
            due.unwrap().snapshot.nudge_from
        };
        assert_eq!([None, Some(60_000), Some(200)].map(nudge_from), [11_000, 11_000, 10_200]);
        assert_eq!(checked(|_, _| {}).unwrap().snapshot.nudge_from, 70_000, "a refresh is due later");
    }

    /// D4: what lies ahead by thousands of years is never.
    #[test]
    fn a_time_beyond_a_thousand_years_is_never() {
        let ends = |wait| match checked(|_, usable| usable.unusable_in_ms = wait).unwrap().snapshot.access {
            Access::Usable { unusable_at, .. } => unusable_at,
            _ => panic!("there is a token"),
        };
        assert_eq!(ends(Some(180_000)), 190_000);
        assert_eq!([None, Some(u64::MAX), Some(u64::MAX / 2), Some(NEVER_MS)].map(ends), [u64::MAX; 4]);
        assert_eq!(ends(Some(NEVER_MS - 1)), 10_000 + NEVER_MS - 1);
    }

    /// F2: a token is for the origin that the configuration names, though the policy allows another one as well.
    #[test]
    fn a_token_for_another_origin_than_the_configured_one_is_denied() {
        let denied = |origin: &str| checked(|_, usable| usable.origin = origin.to_owned()).unwrap().origin_denied;
        assert!(!denied("https://api.anthropic.com"));
        assert!(denied("https://gateway.example"), "the policy allows it");
        assert!(denied("https://evil.example"));
    }
}
