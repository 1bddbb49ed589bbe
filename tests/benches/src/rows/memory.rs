//! What one more identity needs.

use std::process::Stdio;

use serde::{Deserialize, Serialize};
use wasmtime::component::{Linker, ResourceAny};
use wasmtime::{ResourceLimiter, Store};
use wif_emulator::{Emulator, Options};

use crate::allocations::count;
use crate::bindings::{Plugin, types};
use crate::component::{self, told};
use crate::report::{Number, Unit};
use crate::rig;

/// Opens instances, with a session each.
pub(crate) const INSTANCES: &str = "child-instances";
/// Opens credentials.
pub(crate) const CREDENTIALS: &str = "child-credentials";

/// Sessions that are there before the first is counted: tables and pages have the size of many.
const BEFORE: u32 = 256;
const SESSIONS: u32 = 2_048;
const IDENTITIES: u32 = 200;

const CONFIGURATION: &str = r#"{ "federation": {
    "federation_rule_id": "fdrl_01ABCDEFGHIJKLMNOPQRSTUV",
    "organization_id": "00000000-0000-4000-8000-000000000000",
    "service_account_id": "svac_01ABCDEFGHIJKLMNOPQRSTUV",
    "identity_token": { "source": "file", "path": "/var/run/secrets/anthropic.com/token" }
} }"#;

/// Bytes of each.
#[derive(Debug, Serialize, Deserialize)]
struct Weight {
    resident: f64,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let (guest, host) = shared()?;
    let instance = weigh(INSTANCES)?;
    let credential = weigh(CREDENTIALS)?;
    let number = |id: &str, what: &str, bytes: Option<f64>, target: &str, limit: f64| {
        let number = Number::new(&format!("memory.{id}"), what, Unit::Bytes);
        match bytes {
            Some(bytes) => number.value(bytes),
            None => number.remark("This system does not tell what a process has in memory."),
        }
        .at_most(target, limit)
    };
    Ok(vec![
        number("guest", "One more identity in a shared instance: in the component", Some(guest), "≤ 1.5 KiB", 1536.0)
            .remark("Its configuration, its tokens, and what it knows of identity tokens, of rejections and of other sessions."),
        number("host", "… in the host: handle, headers, journal", Some(host), "≤ 1.5 KiB", 1536.0),
        number("instance", "… in an instance of its own", instance, "≤ 48 KiB", 48.0 * 1024.0),
        // Without a target: most of it is no part of an instance.
        credential_number(credential),
    ])
}

fn credential_number(bytes: Option<f64>) -> Number {
    let number = Number::new("memory.credential", "… as a whole `Credential` after its first exchange", Unit::Bytes);
    match bytes {
        Some(bytes) => number
            .value(bytes)
            .remark("Beside its instance a credential keeps what drives it. The platform's root certificates are shared."),
        None => number,
    }
}

// ---- one instance for all -------------------------------------------------------------------------------------------

/// The size of the linear memory, in bytes.
#[derive(Default)]
struct Growth(usize);

impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.0 = desired;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// What a host keeps of a session: its handle, what callers are told, and the journal.
struct Kept {
    _session: ResourceAny,
    _access: types::Access,
    _journal: Option<String>,
}

/// Bytes of each further session in the component and in the host.
#[allow(clippy::cast_precision_loss, reason = "less than 2^52")]
fn shared() -> anyhow::Result<(f64, f64)> {
    let engine = wif::component::engine();
    let mut store = Store::new(engine, Growth::default());
    store.limiter(|growth| growth);
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = Linker::new(engine).instantiate(&mut store, &component::compiled()?).map_err(told)?;
    let plugin = Plugin::new(&mut store, &instance).map_err(told)?;
    let mut kept = Vec::with_capacity((BEFORE + SESSIONS) as usize);
    for number in 0..BEFORE {
        kept.push(open(&mut store, &plugin, number)?);
    }
    let before = store.data().0;
    let mut opened = Ok(());
    let allocated = count(|| {
        opened = (BEFORE..BEFORE + SESSIONS).try_for_each(|number| {
            kept.push(open(&mut store, &plugin, number)?);
            anyhow::Ok(())
        });
    });
    opened?;
    let each = f64::from(SESSIONS);
    // What the linear memory takes is not allocated, but mapped.
    Ok(((store.data().0 - before) as f64 / each, allocated.live_bytes as f64 / each))
}

fn open(store: &mut Store<Growth>, plugin: &Plugin, number: u32) -> anyhow::Result<Kept> {
    let session = plugin.wif_credential_session().session();
    let can = [types::Capability::ReadFile];
    let opened = session.call_open(&mut *store, CONFIGURATION, u64::from(number), &can, &types::Start::Fresh);
    let handle = opened.map_err(told)?.map_err(|error| anyhow::anyhow!("{}: {}", error.field, error.message))?;
    let (access, journal) =
        first_exchange(number, |clock, event| session.call_step(&mut *store, handle, clock, event).map_err(told))?;
    Ok(Kept { _session: handle, _access: access, _journal: journal })
}

/// Steps a session until it has a token.
fn first_exchange(
    number: u32,
    mut step: impl FnMut(types::Clock, &types::Event) -> anyhow::Result<types::Output>,
) -> anyhow::Result<(types::Access, Option<String>)> {
    let clock = types::Clock { wall_ms: 1_800_000_000_000, steady_ms: Some(0) };
    let mut event = types::Event::Woken;
    let mut journal = None;
    loop {
        let output = step(clock, &event)?;
        journal = output.journal.or(journal);
        let outcome = match output.tasks.into_iter().next() {
            None if matches!(output.access, types::Access::Usable(_)) => return Ok((output.access, journal)),
            None => anyhow::bail!("no token, and nothing to do"),
            Some(types::NumberedTask { number: task, task: types::Task::ReadFile(_) }) => {
                (task, types::Outcome::Content(identity_token(number)))
            }
            Some(types::NumberedTask { number: task, task: types::Task::SendRequest(_) }) => {
                let body = format!(
                    r#"{{"access_token":"sk-ant-oat01-{number:095}","token_type":"Bearer","expires_in":3600,"scope":"workspace:developer"}}"#
                );
                (task, types::Outcome::Response(types::Response { status: 200, headers: Vec::new(), body }))
            }
            Some(_) => anyhow::bail!("it asks for something else"),
        };
        event = types::Event::Finished(types::TaskResult { number: outcome.0, outcome: outcome.1 });
    }
}

fn identity_token(number: u32) -> String {
    wif_world::jwt::jwt(&serde_json::json!({
        "iss": "https://kubernetes.default.svc", "sub": format!("system:serviceaccount:default:workload-{number}"),
        "aud": ["https://api.anthropic.com"], "jti": format!("00000000-0000-4000-8000-{number:012}"),
        "iat": 1_800_000_000_u64, "exp": 1_800_003_600_u64,
    }))
}

// ---- one instance for each ------------------------------------------------------------------------------------------

/// What a process grows by for each identity; none where it cannot be told.
fn weigh(mode: &str) -> anyhow::Result<Option<f64>> {
    if resident().is_none() {
        return Ok(None);
    }
    let runtime = rig::runtime(1)?;
    // One identity token serves all of them.
    let emulator = runtime.block_on(Emulator::start(Options { check_jti: false, ..Options::default() }))?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("token");
    std::fs::write(&file, emulator.identity_provider().token().without_jti().sign().expose())?;
    let output = rig::child(mode, emulator.base_url(), emulator.options(), &file)?.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "the child {mode} failed");
    let weight: Weight = serde_json::from_slice(&output.stdout)?;
    Ok(Some(weight.resident))
}

pub(crate) fn child_instances() -> anyhow::Result<()> {
    let component = component::Component::load()?;
    tell(|number| {
        let can = [types::Capability::ReadFile];
        let opened = component::open(&component, CONFIGURATION, u64::from(number), &can, &types::Start::Fresh);
        let Ok(session) = opened else { anyhow::bail!("no session") };
        let kept = first_exchange(number, |clock, event| Ok(session.enter().step(clock, event)?))?;
        Ok((session, kept))
    })
}

pub(crate) fn child_credentials() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tell(|_| {
        runtime.block_on(async {
            let credential = rig::discovered()?;
            credential.token().await?;
            Ok(credential)
        })
    })
}

fn tell<Identity>(mut one_more: impl FnMut(u32) -> anyhow::Result<Identity>) -> anyhow::Result<()> {
    // What the first ones need is there for all.
    let mut identities = (0..10).map(&mut one_more).collect::<anyhow::Result<Vec<_>>>()?;
    let before = resident().unwrap_or_default();
    for number in 0..IDENTITIES {
        identities.push(one_more(10 + number)?);
    }
    let grown = resident().unwrap_or_default() - before;
    println!("{}", serde_json::to_string(&Weight { resident: grown / f64::from(IDENTITIES) })?);
    Ok(())
}

/// The bytes of memory of this process, where the system tells. A page that many instances map, such as one of the
/// component's data, counts once.
pub(crate) fn resident() -> Option<f64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib * 1024.0)
}
