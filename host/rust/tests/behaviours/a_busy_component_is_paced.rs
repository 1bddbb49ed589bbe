//! F12, F13: a component that stays below every limit of a single step, and takes all there is step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wif::{BoxFuture, Clock, Credential, Entry, Policy, Reading, Secret, Store, Swapped};

use crate::no_secret_is_shown::Log;
use crate::support::{Endpoint, Reply, START_MS, TestClock, guest, settle};

/// By this clock each step takes so long.
#[derive(Clone)]
struct EachStepTakes {
    clock: TestClock,
    steps: Arc<AtomicU32>,
    each: Duration,
}

/// Just less than a step may take.
const LONG: Duration = Duration::from_millis(90);

/// Far more than there are in the time of the test.
const MANY_STEPS: u32 = 20_000;

impl Clock for EachStepTakes {
    /// Both clocks are read before a step, and at no other time.
    fn now(&self) -> Reading {
        let now = self.clock.now();
        let steps = self.steps.fetch_add(1, Ordering::SeqCst);
        // A driver that does not pace it would not let anybody else have a turn, and the test would not end.
        assert!(steps < MANY_STEPS, "it is stepped all the time");
        self.clock.jump(self.each);
        now
    }

    fn steady_ms(&self) -> u64 {
        self.clock.now().wall_ms - START_MS
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }
}

fn lying(script: &str) -> wif::Builder {
    Credential::builder().component(guest(wif_test_guests::lying()).unwrap()).configuration(script)
}

/// How much time passed, and how much of it the steps took, in milliseconds.
async fn busy(each: Duration) -> (u64, u64) {
    let (clock, steps) = (TestClock::new(), Arc::new(AtomicU32::new(0)));
    let slow = EachStepTakes { clock: clock.clone(), steps: Arc::clone(&steps), each };
    let credential = lying("answer=busy").clock(slow).build().unwrap();
    let start = clock.now().steady_ms;
    for _ in 0..100 {
        credential.changed();
        clock.advance(Duration::from_millis(50)).await;
    }
    let each = u64::try_from(each.as_millis()).unwrap();
    (clock.now().steady_ms - start, u64::from(steps.load(Ordering::SeqCst)) * each)
}

#[tokio::test]
async fn one_that_wants_to_be_stepped_all_the_time_has_a_fifth_of_it() {
    let (passed, busy) = busy(LONG).await;
    assert!(busy > passed / 10, "it is stepped: {busy} of {passed} ms");
    assert!(busy <= passed / 5 + 90, "{busy} of {passed} ms");
}

/// Half a second at once, and a fifth of the time then.
#[tokio::test]
async fn one_whose_steps_are_never_long_has_a_fifth_of_the_time_too() {
    let (passed, busy) = busy(Duration::from_millis(4)).await;
    assert!(busy > passed / 10, "it is stepped: {busy} of {passed} ms");
    assert!(busy <= 500 + passed / 5 + 10, "{busy} of {passed} ms");
}

/// No step of it takes any time, and each asks for what is there at once.
#[tokio::test]
async fn one_that_asks_for_one_thing_after_another_rests_in_between() {
    let (clock, steps) = (TestClock::new(), Arc::new(AtomicU32::new(0)));
    let quick = EachStepTakes { clock: clock.clone(), steps: Arc::clone(&steps), each: Duration::ZERO };
    let credential = lying("answer=curious").clock(quick).build().unwrap();
    for _ in 0..100 {
        for _ in 0..10 {
            settle().await;
        }
        clock.advance(Duration::from_millis(10)).await;
    }
    let steps = steps.load(Ordering::SeqCst);
    assert!((1_000..=5_500).contains(&steps), "{steps} steps in a second");
    assert!(credential.try_current().is_some());
}

#[tokio::test]
async fn one_that_floods_the_endpoint_is_stopped() {
    let endpoint = Endpoint::start(|_| Reply::with(200, "{}")).await;
    let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
    let clock = TestClock::new();
    let script = format!("answer=flood origin={}", endpoint.origin);
    let credential = lying(&script).policy(policy).clock(clock.clone()).build().unwrap();
    for _ in 0..400 {
        clock.advance(Duration::from_millis(10)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    settle().await;
    let requests = endpoint.requests();
    assert!((1..=40).contains(&requests), "{requests} requests in four seconds");
    assert!(credential.try_current().is_some(), "the last token is served on");
}

/// Each step says that there is a token, or that there is none: notes are not all that is logged.
#[tokio::test]
async fn of_a_flood_of_news_a_few_lines_are_logged() {
    let (log, _guard) = Log::start();
    let clock = TestClock::new();
    let _credential = lying("answer=floods-the-log").clock(clock.clone()).build().unwrap();
    for _ in 0..1_000 {
        clock.advance(Duration::from_millis(5)).await;
        settle().await;
    }
    let lines = log.text().lines().count();
    // A burst, and four in each of five seconds.
    assert!((100..=290).contains(&lines), "{lines} lines");
}

/// F12: a program that writes each journal to a disk is asked to do so for a few of them, and has the newest in the end.
#[tokio::test]
async fn of_a_flood_of_journals_a_few_are_kept() {
    let clock = TestClock::new();
    let kept = Arc::new(AtomicU32::new(0));
    let keeps = Arc::clone(&kept);
    let keep = move |_: &Secret| {
        keeps.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let credential = lying("answer=floods-journals").clock(clock.clone()).keep_journals(keep).build().unwrap();
    for _ in 0..1_000 {
        clock.advance(Duration::from_millis(5)).await;
        settle().await;
    }
    let kept = kept.load(Ordering::SeqCst);
    assert!((100..=290).contains(&kept), "{kept} journals");
    assert!(credential.try_current().is_some());
}

/// Has nothing, and counts how often it was asked.
struct Asked(Arc<AtomicU32>);

impl Store for Asked {
    fn load<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Entry>, wif::BoxError>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(None)))
    }

    fn swap<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: Secret) -> BoxFuture<'a, Result<Swapped, wif::BoxError>> {
        Box::pin(std::future::ready(Ok(Swapped::Conflict(None))))
    }
}

#[tokio::test]
async fn one_that_floods_the_store_is_stopped() {
    let clock = TestClock::new();
    let asked = Arc::new(AtomicU32::new(0));
    let credential = lying("answer=floods-the-store").clock(clock.clone()).store(Asked(Arc::clone(&asked))).build().unwrap();
    for _ in 0..1_000 {
        clock.advance(Duration::from_millis(5)).await;
        settle().await;
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!((100..=290).contains(&asked), "asked {asked} times");
    assert!(credential.try_current().is_some(), "the last token is served on");
}
