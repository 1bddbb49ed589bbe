//! A source that is a recipe: its steps become tasks, and their outcomes its answers.

use wif_recipes::{Answer, Ask, Fault, FaultCode, Moment, Recipe, Run, platforms};

use super::source::{Asked, Next};
use crate::Secret;
use crate::configuration::{Platform, RecipeSource};
use crate::contract::{
    Capability, FailureCode, FileProtection, FileRequest, Header, HttpRequest, Outcome, Purpose, SignRequest, Task,
};
use crate::identity_token::MAX_BYTES;
use crate::schedule::Random;
use crate::scrub::scrub;

/// A metadata service answers at once, and an identity provider soon. In milliseconds.
const TIMEOUT_MS: u32 = 10_000;

/// No answer on the way to an identity token is longer. In bytes.
const MAX_RESPONSE_BYTES: u32 = 128 * 1024;

/// What steps get of the session's.
pub(super) struct Means<'a> {
    pub(super) can: &'a [Capability],
    pub(super) wall_ms: u64,
    pub(super) random: &'a mut Random,
}

/// What a run that ended without an identity token says.
pub(super) struct Told {
    pub(super) code: FailureCode,
    pub(super) message: String,
    /// What a server said for itself. None of the run's secrets is in it; those of the session may be.
    pub(super) detail: Option<String>,
    pub(super) action: String,
    pub(super) status: Option<u16>,
}

/// The variables by which platforms are recognised, and those that were found set.
#[derive(Debug)]
pub(super) struct Detection {
    left: Vec<String>,
    set: Vec<String>,
}

impl Detection {
    fn new() -> Self {
        let mut left: Vec<String> = Vec::new();
        for name in platforms().flat_map(|recipe| recipe.detected_by.into_iter().flatten()) {
            if !left.contains(&name) {
                left.push(name);
            }
        }
        left.reverse();
        Self { left, set: Vec::new() }
    }

    /// The platforms of which all is set that tells them, each with what was set.
    fn found(&self) -> Vec<(Recipe, String)> {
        let why = |recipe: &Recipe| {
            let told = recipe.detected_by.iter().find(|names| names.iter().all(|name| self.set.contains(name)));
            told.map(|names| names.join(" and "))
        };
        platforms().filter_map(|recipe| why(&recipe).map(|why| (recipe, why))).collect()
    }
}

/// Begins with the first task.
pub(super) fn begin(source: &RecipeSource, means: Means<'_>) -> Next {
    match &source.platform {
        Platform::Is(recipe) => go_on(Box::new(Run::new(recipe, &source.given)), recipe, means),
        Platform::Auto => detect(Detection::new(), source, means),
    }
}

/// Takes the outcome of a run's task.
pub(super) fn answered(mut run: Box<Run>, recipe: &Recipe, outcome: Outcome, means: Means<'_>) -> Next {
    let answer = match &outcome {
        Outcome::Content(content) => Answer::Content(content.reveal()),
        Outcome::Absent => Answer::Absent,
        Outcome::Response(response) => Answer::Response { status: response.status, body: response.body.reveal() },
        // What a host does not show is not there, for a step that can do without.
        Outcome::Denied(_) | Outcome::Unsupported if run.can_do_without(recipe) => Answer::Absent,
        _ => {
            let at = run.describe(recipe);
            return Next::Failed { outcome, at: Some(at) };
        }
    };
    match run.answer(recipe, &answer) {
        Ok(()) => go_on(run, recipe, means),
        Err(fault) => Next::Told(tell(&run, recipe, fault)),
    }
}

fn go_on(mut run: Box<Run>, recipe: &Recipe, means: Means<'_>) -> Next {
    loop {
        let nonce = means.random.next_wide();
        let ask = match run.next(recipe, Moment { wall_ms: means.wall_ms, nonce }) {
            wif_recipes::Next::Ask(ask) => ask,
            wif_recipes::Next::Token(token) => return Next::Token(Secret::from(token.as_str())),
            wif_recipes::Next::Failed(fault) => return Next::Told(tell(&run, recipe, fault)),
        };
        let needed = match &ask {
            Ask::Variable(_) => Some(Capability::ReadVariable),
            Ask::File(_) => Some(Capability::ReadFile),
            Ask::Sign(_) => Some(Capability::Sign),
            Ask::Request(_) => None,
        };
        if needed.is_some_and(|needed| !means.can.contains(&needed)) {
            if run.can_do_without(recipe) {
                // Such a step is never refused.
                let _ = run.answer(recipe, &Answer::Absent);
                continue;
            }
            return Next::Failed { outcome: Outcome::Unsupported, at: Some(run.describe(recipe)) };
        }
        let task = task(ask, &recipe.name);
        return Next::Ask(Asked::Step(run), task);
    }
}

/// Asks for the next variable that tells a platform, or decides.
pub(super) fn detect(detection: Detection, source: &RecipeSource, means: Means<'_>) -> Next {
    if means.can.contains(&Capability::ReadVariable)
        && let Some(name) = detection.left.last()
    {
        let task = Task::ReadVariable(name.clone());
        return Next::Ask(Asked::Platform(detection), task);
    }
    let mut found = detection.found();
    let (message, action) = match (found.pop(), found.is_empty()) {
        (Some((recipe, _)), true) if lacking(&recipe, source).is_some() => {
            let lacking = lacking(&recipe, source).unwrap_or_default();
            let message = format!("Identity tokens come from {}, for which `{lacking}` is not configured.", recipe.title);
            (message, "Say it beside `source` of `identity_token` in the configuration.")
        }
        (Some((recipe, why)), true) => {
            let run = Box::new(Run::new(&recipe, &source.given));
            return Next::Chosen { recipe: Box::new(recipe), why, run };
        }
        (Some(last), false) => {
            found.push(last);
            let each: Vec<String> =
                found.iter().map(|(recipe, why)| format!("{} (`{}`, by {why})", recipe.title, recipe.name)).collect();
            let message = format!("The variables that are set tell of more than one platform: {}.", each.join(", "));
            (message, "Name one of them as `source` of `identity_token` in the configuration.")
        }
        (None, _) => (
            "No platform is recognised by its variables.".to_owned(),
            "Set ANTHROPIC_IDENTITY_TOKEN_FILE; or, in a configuration, name the `source` of `identity_token`, such as `kubernetes`, `aws` \
             or `file`.",
        ),
    };
    let code = FailureCode::IdentityTokenMissing;
    Next::Told(Told { code, message, detail: None, action: action.to_owned(), status: None })
}

/// The first parameter that the configuration has to say and does not.
fn lacking(recipe: &Recipe, source: &RecipeSource) -> Option<String> {
    let said = |name: &String| source.given.iter().any(|(given, _)| given == name);
    recipe
        .parameters
        .iter()
        .find(|parameter| parameter.required && !said(&parameter.name))
        .map(|parameter| parameter.name.clone())
}

/// Takes what came of reading a variable that tells a platform.
pub(super) fn told_of_platform(mut detection: Detection, outcome: &Outcome, source: &RecipeSource, means: Means<'_>) -> Next {
    let name = detection.left.pop();
    if let (Some(name), Outcome::Content(value)) = (name, outcome)
        && !value.reveal().trim().is_empty()
    {
        detection.set.push(name);
    }
    detect(detection, source, means)
}

/// A run of the platform that was recognised.
pub(super) fn run(run: Box<Run>, recipe: &Recipe, means: Means<'_>) -> Next {
    go_on(run, recipe, means)
}

fn task(ask: Ask, name: &str) -> Task {
    match ask {
        Ask::Variable(name) => Task::ReadVariable(name),
        Ask::File(path) => Task::ReadFile(FileRequest { path, max_bytes: 4 * MAX_BYTES as u32, protection: FileProtection::Any }),
        Ask::Sign(signing) => Task::Sign(SignRequest { key: signing.key, algorithm: signing.algorithm, input: signing.input }),
        Ask::Request(request) => {
            let header = |header: wif_recipes::Header| Header { name: header.name, value: Secret::from(header.value.as_str()) };
            Task::SendRequest(HttpRequest {
                purpose: Purpose::Source(name.to_owned()),
                method: request.method,
                url: request.url,
                origin: request.origin,
                headers: request.headers.into_iter().map(header).collect(),
                body: Secret::from(request.body.as_str()),
                timeout_ms: TIMEOUT_MS,
                max_response_bytes: MAX_RESPONSE_BYTES,
            })
        }
    }
}

fn tell(run: &Run, recipe: &Recipe, fault: Fault) -> Told {
    let secrets: Vec<&str> = run.secrets(recipe).collect();
    let detail = fault.detail.map(|detail| scrub(&detail, &secrets));
    let action = match fault.action.as_str() {
        "" => "Check the platform's set-up of identity tokens.".to_owned(),
        action => action.to_owned(),
    };
    let code = match fault.code {
        FaultCode::Missing => FailureCode::IdentityTokenMissing,
        FaultCode::Refused => FailureCode::IdentityTokenUnreadable,
        FaultCode::Malformed => FailureCode::IdentityTokenMalformed,
    };
    Told { code, message: fault.message, detail, action, status: fault.status }
}
