//! A request that finds a good token.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use wif::{Clock, Credential, SystemClock};
use wif_emulator::{Emulator, Options};

use crate::allocations::count;
use crate::report::{Number, Unit};
use crate::rig;
use crate::sampler::{Samples, in_turns, nanoseconds};

/// What the baseline loads: as much as it compares with the clock.
struct Bare {
    unusable_at: u64,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let runtime = rig::runtime(1)?;
    let emulator = runtime.block_on(Emulator::start(Options::default()))?;
    let credential = runtime.block_on(async {
        let credential = rig::credential(&emulator)?.build()?;
        credential.token().await?;
        anyhow::Ok(credential)
    })?;
    let bare = ArcSwap::from_pointee(Bare { unusable_at: u64::MAX });

    let ready = |calls: u32| (0..calls).for_each(|_| read(&credential));
    let floor = |calls: u32| (0..calls).for_each(|_| read_bare(&bare));
    let cloned = |calls: u32| (0..calls).for_each(|_| drop(black_box(clone_header(&credential))));
    let mut headers = request_headers();
    let mut applied = |calls: u32| {
        for _ in 0..calls {
            credential.with_current(|token| token.apply(black_box(&mut headers)));
        }
    };
    let [ready_time, floor_time, cloned_time, applied_time] =
        in_turns(401, 1_000, [&mut { ready }, &mut { floor }, &mut { cloned }, &mut applied]);
    // The fewest of some tries: other threads of the process are counted too.
    let allocations = (0..5).map(|_| count(|| ready(10_000)).times).min().unwrap_or_default();

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let [scaling, floor_scaling] = scalings(cores, [&ready, &floor]);

    let floor_name = "`ArcSwap` load and the same clock read";
    let mut numbers = vec![
        Number::new("request", "A request that finds a good token: read, check, header ready", Unit::Nanoseconds)
            .samples(&ready_time)
            .beside(floor_name, floor_time.median())
            .target("≤ 2 ×, about 60 ns", |number| number.ratio.map(|ratio| ratio <= 2.0)),
        #[allow(clippy::cast_precision_loss, reason = "it should be none")]
        Number::new("request.allocations", "… allocations in 10,000 of them", Unit::Count)
            .value(allocations as f64)
            .at_most("0", 0.0),
        Number::new("request.cloned", "… with the header cloned, as `tower` needs it", Unit::Nanoseconds)
            .samples(&cloned_time)
            .beside(floor_name, floor_time.median()),
        Number::new("request.applied", "… applied to a header map: stripped, set, merged", Unit::Nanoseconds)
            .samples(&applied_time)
            .beside(floor_name, floor_time.median()),
    ];
    if cores > 1 {
        numbers.push(
            Number::new("request.cores", &format!("… throughput of {cores} threads over one"), Unit::Times)
                .samples(&scaling)
                .beside(floor_name, floor_scaling.median())
                .target("≥ 0.9 ×", |number| number.ratio.map(|ratio| ratio >= 0.9)),
        );
    }
    Ok(numbers)
}

fn read(credential: &Credential) {
    let found = credential.with_current(|token| {
        black_box(token.headers());
    });
    assert!(found.is_some(), "there is a token");
}

fn read_bare(bare: &ArcSwap<Bare>) {
    let loaded = bare.load();
    let now = SystemClock::default().steady_ms();
    assert!(black_box(now) < loaded.unusable_at);
}

fn clone_header(credential: &Credential) -> Option<HeaderValue> {
    credential.with_current(|token| token.headers().first().map(|(_, value)| value.clone()))?
}

fn request_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("host", "api.anthropic.com"), ("content-type", "application/json"), ("anthropic-version", "2023-06-01")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

/// How many times the calls of one thread all threads together make.
fn scalings<const N: usize>(threads: usize, of: [&(dyn Fn(u32) + Sync); N]) -> [Samples; N] {
    let mut samples = [(); N].map(|()| Vec::new());
    for _ in 0..21 {
        for (calls, samples) in of.iter().zip(&mut samples) {
            let alone = per_nanosecond(1, *calls);
            samples.push(per_nanosecond(threads, *calls) / alone);
        }
    }
    samples.map(Samples::of)
}

fn per_nanosecond(threads: usize, calls: &(dyn Fn(u32) + Sync)) -> f64 {
    const BATCH: u32 = 500;
    let (stop, barrier) = (AtomicBool::new(false), Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let (mut made, start) = (0.0, Instant::now());
                    while !stop.load(Relaxed) {
                        calls(BATCH);
                        made += f64::from(BATCH);
                    }
                    made / nanoseconds(start.elapsed())
                })
            })
            .collect();
        barrier.wait();
        std::thread::sleep(Duration::from_millis(30));
        stop.store(true, Relaxed);
        running.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    })
}
