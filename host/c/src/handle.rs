//! What the program holds: a credential that lives on in the child of a `fork`.

use std::ffi::c_int;
use std::sync::atomic::{AtomicPtr, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wif::{Secret, Start};

use crate::callables::Callable;
use crate::descriptor::Descriptor;
use crate::fork;
use crate::live::Live;
use crate::log::Log;
use crate::options::Options;
use crate::sender::Sender;
use crate::words::Problem;

/// What a credential is opened from, as often as it takes.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) configuration: Secret,
    pub(crate) options: Options,
    pub(crate) callables: Vec<Callable>,
    pub(crate) log: Option<Log>,
    pub(crate) sender: Option<Sender>,
}

/// See the header.
#[derive(Debug)]
pub struct wif_credential {
    recipe: Recipe,
    descriptor: Option<Arc<Descriptor>>,
    /// A box of the process that `fork::generation` counts; replaced in a child only, where the parent's is never freed.
    live: AtomicPtr<Live>,
    reopening: Mutex<()>,
}

/// So long the first call in a child waits for the token that the parent had.
const TAKES_OVER: Duration = Duration::from_secs(1);

impl wif_credential {
    pub(crate) fn open(recipe: Recipe) -> Result<Self, Problem> {
        fork::watch();
        let descriptor = Descriptor::new().map(Arc::new);
        let live = Live::start(&recipe, Start::Fresh, descriptor.clone())?;
        let live = AtomicPtr::new(Box::into_raw(Box::new(live)));
        Ok(Self { recipe, descriptor, live, reopening: Mutex::new(()) })
    }

    /// The one of this process.
    #[inline]
    pub(crate) fn live(&self) -> Result<&Live, Problem> {
        let live = self.newest();
        if live.generation() == fork::generation() { Ok(live) } else { self.reopen() }
    }

    fn newest(&self) -> &Live {
        // SAFETY: it came from a box, which is freed with `self` only.
        unsafe { &*self.live.load(Acquire) }
    }

    /// Opens it anew, from what the parent knew.
    #[cold]
    fn reopen(&self) -> Result<&Live, Problem> {
        // A child of this child waits until this is done.
        let _busy = fork::busy();
        let _one_at_a_time = self.reopening.lock().unwrap_or_else(PoisonError::into_inner);
        let parents = self.newest();
        if parents.generation() == fork::generation() {
            return Ok(parents);
        }
        if let Some(descriptor) = &self.descriptor {
            descriptor.renew();
        }
        let start = parents.journal().map_or(Start::Fresh, Start::Resumed);
        let lost = |problem: Problem| {
            let why = problem.to_json()["message"].as_str().unwrap_or_default().to_owned();
            Problem::closed(&format!(": it could not be opened anew after a fork: {why}"))
        };
        let live = Live::start(&self.recipe, start, self.descriptor.clone()).map_err(lost)?;
        if parents.current().is_some() {
            // Whoever only looks must not find nothing where there was something. Without it nothing is lost but that.
            let _ = live.token(Some(TAKES_OVER));
        }
        // The parent's stays as it is: its thread is not here, and what it shares with the parent must not be touched.
        self.live.store(Box::into_raw(Box::new(live)), Release);
        Ok(self.newest())
    }

    pub(crate) fn descriptor(&self) -> c_int {
        // So that it is this process's own.
        let _ = self.live();
        self.descriptor.as_ref().map_or(-1, |descriptor| descriptor.number())
    }

    pub(crate) fn acknowledge(&self) {
        let _ = self.live();
        if let Some(descriptor) = &self.descriptor {
            descriptor.acknowledge();
        }
    }

    pub(crate) fn close(self) {
        let live = self.live.load(Acquire);
        if self.newest().generation() == fork::generation() {
            // SAFETY: it came from a box, and nobody uses it any more.
            unsafe { Box::from_raw(live) }.stop();
        }
    }
}
