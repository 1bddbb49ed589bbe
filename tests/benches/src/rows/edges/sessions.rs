//! A session in two makes, with each call timed.

use std::hint::black_box;
use std::time::{Duration, Instant, UNIX_EPOCH};

use wif_engine::{Secret, contract};

use crate::bindings::types;
use crate::component;
use crate::sampler::nanoseconds;
use crate::session::Refused;

/// A file on every workload's disk.
const CONFIGURATION: &str = r#"{ "federation": {
    "federation_rule_id": "fdrl_01ABCDEFGHIJKLMNOPQRSTUV",
    "organization_id": "00000000-0000-4000-8000-000000000000",
    "service_account_id": "svac_01ABCDEFGHIJKLMNOPQRSTUV",
    "identity_token": { "source": "file", "path": "/var/run/secrets/anthropic.com/token" }
} }"#;
/// The same, of which nobody has asked anything yet.
const IDLE: &str = r#"{ "prefetch": false, "federation": {
    "federation_rule_id": "fdrl_01ABCDEFGHIJKLMNOPQRSTUV",
    "organization_id": "00000000-0000-4000-8000-000000000000",
    "service_account_id": "svac_01ABCDEFGHIJKLMNOPQRSTUV",
    "identity_token": { "source": "file", "path": "/var/run/secrets/anthropic.com/token" }
} }"#;
const SEED: u64 = 7;

/// What has happened.
#[derive(Clone, Copy)]
pub(crate) enum Said<'a> {
    Woken,
    Rejected(&'a str),
    Content(u32, &'a str),
    Answer(u32, &'a str),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    File,
    Request,
    Another,
}

/// What a step said, and how long it took.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) nanoseconds: f64,
    pub(crate) task: Option<(u32, Asked)>,
    pub(crate) usable: bool,
}

pub(crate) trait Session {
    /// One step.
    fn step(&mut self, steady_ms: u64, said: Said<'_>) -> anyhow::Result<Stepped>;
    /// The nanoseconds of so many wakes.
    fn wakes(&mut self, steady_ms: u64, wakes: u32) -> anyhow::Result<f64>;
}

/// The wall clock beside the steady one.
pub(crate) fn wall_ms(steady_ms: u64) -> u64 {
    1_800_000_000_000 + steady_ms
}

fn date(steady_ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(wall_ms(steady_ms)))
}

/// The engine as a library.
pub(crate) struct Native(wif_engine::Session);

impl Native {
    pub(crate) fn open() -> anyhow::Result<Self> {
        Self::with(CONFIGURATION)
    }

    pub(crate) fn idle() -> anyhow::Result<Self> {
        Self::with(IDLE)
    }

    fn with(configuration: &str) -> anyhow::Result<Self> {
        let session = wif_engine::Session::open(configuration, SEED, &[contract::Capability::ReadFile], contract::Start::Fresh);
        session.map(Self).map_err(|error| anyhow::anyhow!("{}: {}", error.field, error.message))
    }
}

impl Session for Native {
    fn step(&mut self, steady_ms: u64, said: Said<'_>) -> anyhow::Result<Stepped> {
        let finished = |number, outcome| contract::Event::Finished(contract::TaskResult { number, outcome });
        let header = |name: &str, value: String| contract::Header { name: name.to_owned(), value: Secret::from(value) };
        let event = match said {
            Said::Woken => contract::Event::Woken,
            Said::Rejected(id) => contract::Event::Rejected(id.to_owned()),
            Said::Content(number, content) => finished(number, contract::Outcome::Content(Secret::from(content.to_owned()))),
            Said::Answer(number, body) => finished(
                number,
                contract::Outcome::Response(contract::Response {
                    status: 200,
                    headers: vec![
                        header("content-type", "application/json".to_owned()),
                        header("date", date(steady_ms)),
                        header("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy".to_owned()),
                    ],
                    body: Secret::from(body.to_owned()),
                }),
            ),
        };
        let now = contract::Clock { wall_ms: wall_ms(steady_ms), steady_ms: Some(steady_ms) };
        let start = Instant::now();
        let output = self.0.step(now, event);
        let nanoseconds = nanoseconds(start.elapsed());
        let asked = |task: &contract::Task| match task {
            contract::Task::ReadFile(_) => Asked::File,
            contract::Task::SendRequest(_) => Asked::Request,
            _ => Asked::Another,
        };
        Ok(Stepped {
            nanoseconds,
            task: output.tasks.first().map(|task| (task.number, asked(&task.task))),
            usable: matches!(output.access, contract::Access::Usable(_)),
        })
    }

    fn wakes(&mut self, steady_ms: u64, wakes: u32) -> anyhow::Result<f64> {
        let now = contract::Clock { wall_ms: wall_ms(steady_ms), steady_ms: Some(steady_ms) };
        let start = Instant::now();
        for _ in 0..wakes {
            let output = self.0.step(black_box(now), contract::Event::Woken);
            black_box(&output);
        }
        Ok(nanoseconds(start.elapsed()))
    }
}

/// The component, as the host's driver has it.
pub(crate) struct Component(component::Session);

impl Component {
    pub(crate) fn open() -> anyhow::Result<Self> {
        Self::with(CONFIGURATION)
    }

    pub(crate) fn idle() -> anyhow::Result<Self> {
        Self::with(IDLE)
    }

    fn with(configuration: &str) -> anyhow::Result<Self> {
        let component = component::Component::load()?;
        let can = [types::Capability::ReadFile];
        match component::open(&component, configuration, SEED, &can, &types::Start::Fresh) {
            Ok(session) => Ok(Self(session)),
            Err(Refused::Stopped(stopped)) => Err(stopped.into()),
            Err(Refused::Configuration(error)) => anyhow::bail!("{}: {}", error.field, error.message),
        }
    }
}

impl Session for Component {
    fn step(&mut self, steady_ms: u64, said: Said<'_>) -> anyhow::Result<Stepped> {
        let finished = |number, outcome| types::Event::Finished(types::TaskResult { number, outcome });
        let header = |name: &str, value: String| types::Header { name: name.to_owned(), value };
        let event = match said {
            Said::Woken => types::Event::Woken,
            Said::Rejected(id) => types::Event::Rejected(id.to_owned()),
            Said::Content(number, content) => finished(number, types::Outcome::Content(content.to_owned())),
            Said::Answer(number, body) => finished(
                number,
                types::Outcome::Response(types::Response {
                    status: 200,
                    headers: vec![
                        header("content-type", "application/json".to_owned()),
                        header("date", date(steady_ms)),
                        header("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy".to_owned()),
                    ],
                    body: body.to_owned(),
                }),
            ),
        };
        let now = types::Clock { wall_ms: wall_ms(steady_ms), steady_ms: Some(steady_ms) };
        let start = Instant::now();
        let output = self.0.enter().step(now, &event);
        let nanoseconds = nanoseconds(start.elapsed());
        let output = output?;
        let asked = |task: &types::Task| match task {
            types::Task::ReadFile(_) => Asked::File,
            types::Task::SendRequest(_) => Asked::Request,
            _ => Asked::Another,
        };
        Ok(Stepped {
            nanoseconds,
            task: output.tasks.first().map(|task| (task.number, asked(&task.task))),
            usable: matches!(output.access, types::Access::Usable(_)),
        })
    }

    fn wakes(&mut self, steady_ms: u64, wakes: u32) -> anyhow::Result<f64> {
        let now = types::Clock { wall_ms: wall_ms(steady_ms), steady_ms: Some(steady_ms) };
        let start = Instant::now();
        for _ in 0..wakes {
            let output = self.0.enter().step(black_box(now), &types::Event::Woken);
            black_box(&output);
            output?;
        }
        Ok(nanoseconds(start.elapsed()))
    }
}
