//! A process with many identities, such as a gateway for tenants: from one to ten thousand, in a pool.

use std::hint::black_box;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wif::{Clock as _, Credential, Pool, SystemClock};
use wif_emulator::{Emulator, Options};

use super::memory::resident;
use crate::report::{Number, Unit};
use crate::rig;

/// Opens as many credentials as the variable [`HOW_MANY`] says.
pub(crate) const IDENTITIES: &str = "child-identities";
const HOW_MANY: &str = "WIF_IDENTITIES";
const CURVE: [u32; 5] = [1, 10, 100, 1_000, 10_000];
/// Requests that are timed, spread over the identities.
const REQUESTS: usize = 200_000;

/// What a process with so many identities needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Point {
    identities: u32,
    /// Bytes of memory for each, where the system tells.
    each: Option<f64>,
    /// Nanoseconds from the first made to the last one's token.
    ready: f64,
    /// Nanoseconds of a request that finds a good token.
    request: f64,
    /// The same of a header that a program keeps for each by itself.
    kept: f64,
}

/// What a program would keep for each identity: a header, and until when it may be sent.
struct Kept {
    header: HeaderValue,
    unusable_at: u64,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let points = CURVE.iter().map(|identities| point(*identities)).collect::<anyhow::Result<Vec<_>>>()?;
    let Some(most) = points.last() else { anyhow::bail!("nothing was measured") };
    let curve = |of: fn(&Point) -> Option<f64>| points.iter().filter_map(move |point| Some((point.identities, of(point)?)));
    let memory = Number::new("scale.memory", "10,000 identities in one process: memory for each", Unit::Bytes);
    Ok(vec![
        match most.each {
            Some(bytes) => {
                memory.value(bytes).curve(curve(|point| point.each)).remark("A tenth is the session's: see `missed.md`.")
            }
            None => memory.remark("This system does not tell what a process has in memory."),
        }
        .at_most("≤ 12 KiB", 12.0 * 1024.0),
        Number::new("scale.ready", "… from the first one made to the last one's token", Unit::Nanoseconds)
            .value(most.ready)
            .curve(curve(|point| Some(point.ready))),
        Number::new("scale.request", "… a request, spread over them", Unit::Nanoseconds)
            .value(most.request)
            .beside("a header in an `ArcSwap` for each, and the same clock read", most.kept)
            .curve(curve(|point| Some(point.request))),
    ])
}

fn point(identities: u32) -> anyhow::Result<Point> {
    let runtime = rig::runtime(1)?;
    // One identity token serves all of them.
    let emulator = runtime.block_on(Emulator::start(Options { check_jti: false, ..Options::default() }))?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("token");
    std::fs::write(&file, emulator.identity_provider().token().without_jti().sign().expose())?;
    let mut child = rig::child(IDENTITIES, emulator.base_url(), emulator.options(), &file)?;
    let output = child.env(HOW_MANY, identities.to_string()).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "the child with {identities} identities failed");
    serde_json::from_slice(&output.stdout).context("the child's answer is none")
}

pub(crate) fn child() -> anyhow::Result<()> {
    let identities: u32 = std::env::var(HOW_MANY)?.parse()?;
    let runtime = rig::runtime(2)?;
    // What the first one needs is there for all.
    let pool = Pool::new();
    let first = runtime.block_on(ready(&pool))?;
    let before = resident();
    let start = Instant::now();
    let mut credentials = runtime.block_on(async {
        let mut starting = JoinSet::new();
        // A program starts them as it can: what is read at the start is waited for ten seconds, and no longer.
        let places = Arc::new(Semaphore::new(256));
        for _ in 0..identities {
            let (pool, places) = (pool.clone(), Arc::clone(&places));
            starting.spawn(async move {
                let _place = places.acquire_owned().await?;
                ready(&pool).await
            });
        }
        starting.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })?;
    #[allow(clippy::cast_precision_loss, reason = "less than 2^52 nanoseconds")]
    let nanoseconds = |since: Instant| since.elapsed().as_nanos() as f64;
    let ready = nanoseconds(start);
    let each = before.zip(resident()).map(|(before, after)| (after - before) / f64::from(identities));
    credentials.push(first);
    let kept = credentials.iter().map(|_| kept()).collect::<Vec<_>>();
    let clock = SystemClock::default();
    let request = spread(&credentials, |credential| credential.try_current().is_some());
    let kept = spread(&kept, |kept| {
        let kept = kept.load();
        clock.steady_ms() < kept.unusable_at && !black_box(kept.header.clone()).is_empty()
    });
    println!("{}", serde_json::to_string(&Point { identities, each, ready, request, kept })?);
    Ok(())
}

fn kept() -> Arc<ArcSwap<Kept>> {
    let header = HeaderValue::from_str(&format!("Bearer {}", "a".repeat(100))).expect("a header's value");
    Arc::new(ArcSwap::from_pointee(Kept { header, unusable_at: u64::MAX }))
}

/// Nanoseconds for each of them, not one after the other in memory.
fn spread<T>(all: &[T], is_good: impl Fn(&T) -> bool) -> f64 {
    let start = Instant::now();
    for request in 0..REQUESTS {
        assert!(black_box(is_good(&all[request.wrapping_mul(7919) % all.len()])), "a token is gone");
    }
    #[allow(clippy::cast_precision_loss, reason = "less than 2^52")]
    return start.elapsed().as_nanos() as f64 / REQUESTS as f64;
}

async fn ready(pool: &Pool) -> anyhow::Result<Credential> {
    let credential = rig::described()?.pool(pool).build()?;
    credential.token().await?;
    Ok(credential)
}
