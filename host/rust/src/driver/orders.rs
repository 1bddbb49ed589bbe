//! Orders in which threads may meet: callers, the driver, who rejects a token and who closes, each on an executor of its own.
//!
//! The real driver with the real component runs on a tokio runtime that one thread turns; the others stand on executors of shuttle,
//! which chooses at each touch of what they share (`shared.rs`) and at each wait which of them goes on. Time is the driver's alone:
//! it passes with each of its turns. `WIF_ORDERS` says how many orders of each kind are tried; `SHUTTLE_RANDOM_SEED` repeats their choice.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use tokio::runtime::{Builder as Tokio, Handle};
use tokio::task::yield_now;

use super::Start;
use crate::callables::SuppliedToken;
use crate::clock::{BoxFuture, Clock, Reading};
use crate::credential::Credential;
use crate::error::Error;
use crate::secret::Secret;
use crate::shared::explore;
use crate::snapshot::Published;
use crate::token::Token;
use crate::vocabulary::Standing;

const WALL_MS: u64 = 1_790_000_000_000;

/// Each turn of the driver takes so long.
const TURN_MS: u64 = 20;

/// How many turns the program needs for an access token.
const ANSWER_TURNS: u32 = 2;

/// A clock that passes with the driver's turns.
#[derive(Clone, Default)]
struct Turning(Arc<(AtomicU64, Mutex<Vec<Waker>>)>);

impl Turning {
    fn pass(&self, ms: u64) {
        self.0.0.fetch_add(ms, SeqCst);
        for sleeper in self.0.1.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            sleeper.wake();
        }
    }
}

impl Clock for Turning {
    fn now(&self) -> Reading {
        let steady_ms = self.0.0.load(SeqCst);
        Reading { wall_ms: WALL_MS + steady_ms, steady_ms }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (clock, end) = (self.clone(), self.steady_ms().saturating_add(crate::clock::millis(duration)));
        Box::pin(std::future::poll_fn(move |context| {
            if clock.steady_ms() >= end {
                return Poll::Ready(());
            }
            clock.0.1.lock().unwrap_or_else(PoisonError::into_inner).push(context.waker().clone());
            Poll::Pending
        }))
    }
}

/// A credential whose access tokens the program supplies: the first is called 1 and so on.
struct World {
    credential: Credential,
    clock: Turning,
    /// The driver's runtime.
    runtime: Handle,
    turning: JoinHandle<()>,
    asked: Arc<AtomicU32>,
    /// When each token ends.
    ends: Arc<Mutex<Vec<u64>>>,
}

impl World {
    fn new(lives_ms: u64) -> Self {
        Self::beginning(lives_ms, Start::Fresh)
    }

    fn beginning(lives_ms: u64, start: Start) -> Self {
        let clock = Turning::default();
        let asked = Arc::new(AtomicU32::new(0));
        let ends: Arc<Mutex<Vec<u64>>> = Arc::default();
        let (time, count, kept) = (clock.clone(), Arc::clone(&asked), Arc::clone(&ends));
        let builder = Credential::builder()
            .configuration(r#"{"bearer":{"source":"callable","name":"broker"}}"#)
            .clock(clock.clone())
            .seed(7)
            .resume(start)
            .access_token("broker", move |_| {
                let number = count.fetch_add(1, SeqCst) + 1;
                let now = time.now();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(now.steady_ms + lives_ms);
                let expires_at = Some(UNIX_EPOCH + Duration::from_millis(now.wall_ms + lives_ms));
                async move {
                    for _ in 0..ANSWER_TURNS {
                        yield_now().await;
                    }
                    Ok(SuppliedToken { value: Secret::from(format!("sk-ant-oat01-{number}")), expires_at })
                }
            });
        let tokio = Tokio::new_current_thread().build().expect("a runtime");
        let runtime = tokio.handle().clone();
        let credential = {
            let _inside = runtime.enter();
            builder.build().expect("a valid configuration")
        };
        let time = clock.clone();
        let turning = thread::spawn(move || {
            while tokio.metrics().num_alive_tasks() > 0 {
                tokio.block_on(yield_now());
                time.pass(TURN_MS);
                thread::yield_now();
            }
        });
        Self { credential, clock, runtime, turning, asked, ends }
    }

    /// The same handle in a thread of its own.
    fn spawn<T: Send + 'static>(&self, act: impl FnOnce(Credential) -> T + Send + 'static) -> JoinHandle<T> {
        let credential = self.credential.clone();
        thread::spawn(move || act(credential))
    }

    /// A caller in a thread of its own.
    fn caller(&self) -> JoinHandle<Result<Token, Error>> {
        self.spawn(|credential| block_on(credential.token()))
    }

    fn asked(&self) -> u32 {
        self.asked.load(SeqCst)
    }

    /// The driver ends with the last handle.
    fn end(self) {
        drop(self.credential);
        self.turning.join().expect("the driver's thread");
    }
}

/// Which of the program's tokens it is.
fn number(token: &Token) -> u32 {
    let value = token.reveal_authorization().expect("a bearer");
    value.strip_prefix("Bearer sk-ant-oat01-").and_then(|number| number.parse().ok()).expect("one of the program's")
}

/// Tries orders by chance, and orders in which few threads are held up at the worst moments.
#[allow(clippy::disallowed_methods, reason = "how long to look is the developer's choice")]
fn explored(scenario: impl Fn() + Send + Sync + Copy + 'static) {
    let orders = std::env::var("WIF_ORDERS").ok().and_then(|orders| orders.parse().ok()).unwrap_or(300);
    let mut config = Config::new();
    // The component runs on the stacks of these threads.
    config.stack_size = 2 << 20;
    config.max_steps = MaxSteps::FailAfter(20_000);
    config.failure_persistence = FailurePersistence::Print;
    crate::component::ticker::STANDS.store(true, SeqCst);
    explore(true);
    Runner::new(RandomScheduler::new(orders), config.clone()).run(scenario);
    Runner::new(PctScheduler::new(3, orders), config).run(scenario);
    explore(false);
}

#[test]
fn callers_who_come_at_once_share_one_token() {
    explored(|| {
        let world = World::new(3_600_000);
        let threads: Vec<_> = (0..3).map(|_| world.caller()).collect();
        let beside = world.credential.clone();
        let on_the_drivers_runtime = world.runtime.spawn(async move { beside.token().await });
        for caller in threads {
            assert_eq!(number(&caller.join().expect("a caller").expect("a token")), 1);
        }
        assert_eq!(number(&block_on(on_the_drivers_runtime).expect("a caller").expect("a token")), 1);
        assert_eq!(world.asked(), 1);
        world.end();
    });
}

#[test]
fn a_need_is_heard_whoever_says_it_and_whenever() {
    explored(|| {
        let published = Published::new(Arc::new(Turning::default())).0;
        let heard = Arc::clone(&published);
        let listener = thread::spawn(move || {
            block_on(async {
                let (mut needed, mut changed) = (false, false);
                while !(needed && changed) {
                    let hints = heard.hints().await;
                    needed |= hints.0;
                    changed |= hints.1;
                }
            });
        });
        let others: Vec<_> = (0..3)
            .map(|which| {
                let published = Arc::clone(&published);
                thread::spawn(move || if which == 0 { published.change() } else { published.need() })
            })
            .collect();
        for other in others {
            other.join().expect("who says it");
        }
        // Else nothing wakes it any more, which is a deadlock.
        listener.join().expect("who hears it");
        // What is said after it was heard is heard again.
        published.need();
        assert_eq!(block_on(published.hints()), (true, false));
    });
}

#[test]
fn a_rejection_that_meets_the_next_answer_costs_one_token() {
    explored(|| {
        let world = World::new(3_600_000);
        let first = block_on(world.credential.token()).expect("a token");
        let id = first.id().to_owned();
        let reports: Vec<_> = (0..2)
            .map(|_| {
                let id = id.clone();
                world.spawn(move |credential| {
                    credential.rejected(&id);
                    let held = block_on(credential.token()).expect("a token");
                    // As late as its answer came.
                    credential.rejected(&id);
                    held
                })
            })
            .collect();
        let other = {
            let id = id.clone();
            world.spawn(move |credential| block_on(credential.replacement(&id)))
        };
        let reader = world.spawn(|credential| {
            let mut last = 0;
            for _ in 0..8 {
                let seen = credential.try_current().map_or(last, |token| number(&token));
                assert!(seen >= last, "token {seen} came back after {last}");
                last = seen;
            }
        });
        for report in reports {
            assert!(number(&report.join().expect("who reports")) <= 2);
        }
        assert_eq!(other.join().expect("who waits for another").map(|token| number(&token)), Some(2));
        reader.join().expect("who reads");
        let now = block_on(world.credential.token()).expect("a token");
        assert_eq!((number(&now), now.standing()), (2, Standing::Good));
        assert_eq!(world.asked(), 2);
        world.end();
    });
}

#[test]
fn nobody_waits_for_a_credential_that_closes() {
    explored(|| {
        let world = World::new(3_600_000);
        let callers: Vec<_> = (0..2).map(|_| world.caller()).collect();
        let settled = world.spawn(|credential| block_on(credential.settle()));
        let asks = world.spawn(|credential| block_on(credential.status()));
        let closers: Vec<_> = (0..2).map(|_| world.spawn(|credential| block_on(credential.shutdown()))).collect();
        for closer in closers {
            closer.join().expect("who closes");
        }
        let left = block_on(world.credential.token());
        for caller in callers {
            let told = caller.join().expect("a caller");
            assert!(matches!(told, Ok(_) | Err(Error::Closed)), "{told:?}");
            // Who was served while it closed was served what is served on.
            assert!(told.is_err() || left.is_ok(), "{told:?} and then {left:?}");
        }
        assert!(matches!(left, Ok(_) | Err(Error::Closed)), "{left:?}");
        settled.join().expect("who waits for its rest");
        let status = asks.join().expect("who asks");
        assert!(matches!(status, Ok(_) | Err(Error::Closed)), "{status:?}");
        assert!(world.asked() <= 1);
        world.end();
    });
}

#[test]
fn the_driver_ends_with_the_last_handle_whenever_that_goes() {
    explored(|| {
        let world = World::new(3_600_000);
        let leaves = world.spawn(|credential| {
            block_on(async {
                let mut waits = std::pin::pin!(credential.token());
                // One look, and it leaves.
                let _ = std::future::poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_ready())).await;
            });
        });
        let stays = world.spawn(|credential| number(&block_on(credential.token()).expect("a token")));
        leaves.join().expect("who leaves");
        world.end();
        assert_eq!(stays.join().expect("who stays"), 1);
    });
}

#[test]
fn no_caller_is_served_a_token_that_has_ended() {
    const LIFE_MS: u64 = 60_000;
    explored(|| {
        let world = World::new(LIFE_MS);
        let clock = world.clock.clone();
        let jumps = thread::spawn(move || {
            for _ in 0..3 {
                clock.pass(LIFE_MS / 2 + 1_000);
                thread::yield_now();
            }
        });
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (clock, ends) = (world.clock.clone(), Arc::clone(&world.ends));
                world.spawn(move |credential| {
                    for _ in 0..3 {
                        let began = clock.steady_ms();
                        // The program's answer may have taken too long.
                        let Ok(token) = block_on(credential.token()) else { continue };
                        let end = ends.lock().unwrap_or_else(PoisonError::into_inner)[number(&token) as usize - 1];
                        assert!(began < end, "token {} was served from {began} on, and ended at {end}", number(&token));
                    }
                })
            })
            .collect();
        jumps.join().expect("time");
        for caller in callers {
            caller.join().expect("a caller");
        }
        assert!(world.asked() <= 20, "it was asked {} times", world.asked());
        world.end();
    });
}

#[test]
fn a_journal_is_there_before_the_token_that_it_tells_of() {
    explored(|| {
        let world = World::new(3_600_000);
        let reader = world.spawn(|credential| {
            loop {
                if let Some(token) = credential.try_current() {
                    return (token, credential.journal().expect("a journal"));
                }
                thread::yield_now();
            }
        });
        let (token, journal) = reader.join().expect("who reads");
        world.end();
        let resumed = World::beginning(3_600_000, Start::Resumed(journal));
        assert_eq!(block_on(resumed.credential.token()).expect("a token").id(), token.id());
        assert_eq!(resumed.asked(), 0);
        resumed.end();
    });
}
