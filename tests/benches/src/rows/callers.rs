//! Ten thousand callers at once, and no token.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use wif_emulator::{Emulator, Fault, Options};

use crate::report::{Number, Unit};
use crate::rig;
use crate::sampler::{Samples, nanoseconds};

const CALLERS: u32 = 10_000;
/// The answer comes after the last caller.
const ANSWER_AFTER: Duration = Duration::from_millis(150);

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    rig::runtime(cores)?.block_on(async {
        let emulator = Emulator::start(Options::default()).await?;
        let (mut exchanges, mut spans, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..15 {
            let before = emulator.counts().exchanges_granted + emulator.counts().exchanges_refused;
            spans.push(callers(&emulator).await?);
            let after = emulator.counts().exchanges_granted + emulator.counts().exchanges_refused;
            #[allow(clippy::cast_precision_loss, reason = "it should be one")]
            exchanges.push((after - before) as f64);
            floor.push(watchers().await?);
        }
        let most = exchanges.into_iter().fold(0.0, f64::max);
        Ok(vec![
            Number::new("callers.exchanges", "10,000 callers at once, no token: exchanges", Unit::Count)
                .value(most)
                .target("1", |number| number.measured.map(|exchanges| (exchanges - 1.0).abs() < f64::EPSILON)),
            Number::new("callers.released", "… from the first caller released to the last", Unit::Nanoseconds)
                .samples(&Samples::of(spans))
                .beside("a bare `watch` channel", Samples::of(floor).median())
                .at_most("≤ 10 ms", 1e7),
        ])
    })
}

async fn callers(emulator: &Emulator) -> anyhow::Result<f64> {
    emulator.inject(Fault::Delay(ANSWER_AFTER));
    let credential = rig::credential(emulator)?.build()?;
    let callers: Vec<JoinHandle<anyhow::Result<Instant>>> = (0..CALLERS)
        .map(|_| {
            let credential = credential.clone();
            tokio::spawn(async move {
                credential.token().await?;
                Ok(Instant::now())
            })
        })
        .collect();
    let begun = Instant::now();
    let span = span(callers).await;
    anyhow::ensure!(begun.elapsed() < ANSWER_AFTER + Duration::from_secs(2), "the callers came after the answer");
    credential.shutdown().await;
    span
}

/// The same without anything to decide.
async fn watchers() -> anyhow::Result<f64> {
    let (sender, receiver) = watch::channel(0);
    let callers: Vec<JoinHandle<anyhow::Result<Instant>>> = (0..CALLERS)
        .map(|_| {
            let mut receiver = receiver.clone();
            tokio::spawn(async move {
                receiver.changed().await?;
                Ok(Instant::now())
            })
        })
        .collect();
    tokio::time::sleep(ANSWER_AFTER).await;
    sender.send_replace(1);
    span(callers).await
}

async fn span(callers: Vec<JoinHandle<anyhow::Result<Instant>>>) -> anyhow::Result<f64> {
    let mut released = Vec::with_capacity(callers.len());
    for caller in callers {
        released.push(caller.await??);
    }
    match (released.iter().min(), released.iter().max()) {
        (Some(first), Some(last)) => Ok(nanoseconds(*last - *first)),
        _ => anyhow::bail!("nobody called"),
    }
}
