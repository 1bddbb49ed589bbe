//! A credential that works: the thread that drives it, and what is asked of it.

use std::ffi::{CString, c_char, c_void};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::runtime::{Builder as Runtime, Handle};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;
use tracing::Dispatch;
use wif::{Credential, Error, Secret, Start};

use crate::callables::calling;
use crate::descriptor::Descriptor;
use crate::handle::Recipe;
use crate::token::{self, Prepared, wif_token};
use crate::words::{self, Problem};
use crate::{fork, panics, signals};

/// See the header.
pub type wif_done = unsafe extern "C" fn(user: *mut c_void, token: *const wif_token, error: *const c_char);

/// So long the end waits for an exchange that is under way, and for the store to have what it brought.
const SETTLES: Duration = Duration::from_secs(2);

/// A credential of this process.
#[derive(Debug)]
pub(crate) struct Live {
    generation: u32,
    credential: Credential,
    runtime: Handle,
    /// The token that was asked for last, as C reads it.
    prepared: ArcSwapOption<Prepared>,
    calls: Arc<Calls>,
    thread: Thread,
    log: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Thread {
    /// Ends it when it is dropped.
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Prepared").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Live {
    pub(crate) fn start(recipe: &Recipe, start: Start, descriptor: Option<Arc<Descriptor>>) -> Result<Self, Problem> {
        let _busy = fork::busy();
        let _ours = panics::ours();
        let generation = fork::generation();
        let no_thread = |error: std::io::Error| Problem::internal(&format!("no thread: {error}"));
        let mut builder = recipe.options.builder()?.configuration(recipe.configuration.reveal()).resume(start);
        for callable in &recipe.callables {
            builder = callable.add_to(builder);
        }
        if let Some(sender) = recipe.sender {
            builder = sender.add_to(builder);
        }
        let (dispatch, log) = recipe.log.map(crate::log::Log::start).transpose().map_err(no_thread)?.unzip();
        let dispatch = dispatch.unwrap_or_else(Dispatch::none);
        let mut runtime = Runtime::new_current_thread();
        runtime.enable_all().on_thread_park(fork::end).on_thread_unpark(fork::begin).on_thread_start(panics::a_thread_is_ours);
        let runtime = runtime.build().map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let credential = {
            let _inside = runtime.enter();
            // With the sandbox it starts a thread, too.
            tracing::dispatcher::with_default(&dispatch, || signals::blocked(|| builder.build()))?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let mut changes = credential.changes();
        let body = move || {
            let busy = fork::busy();
            let _ours = panics::ours();
            let _logged = tracing::dispatcher::set_default(&dispatch);
            runtime.block_on(async {
                let raised = async {
                    while changes.next().await.is_some() {
                        if let Some(descriptor) = &descriptor {
                            descriptor.raise();
                        }
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    _ = stopped => {}
                    () = raised => {}
                }
            });
            // What follows waits for callables.
            drop(busy);
            drop(runtime);
        };
        let spawned = signals::blocked(|| std::thread::Builder::new().name("wif".to_owned()).spawn(body)).map_err(no_thread)?;
        let thread = Thread { stop, handle: spawned };
        let (prepared, calls) = (ArcSwapOption::empty(), Arc::new(Calls::default()));
        Ok(Self { generation, credential, runtime: handle, prepared, calls, thread, log })
    }

    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The token that may be used now.
    #[inline]
    pub(crate) fn current(&self) -> Option<Arc<Prepared>> {
        self.credential.with_current(|token| self.prepare(token))
    }

    /// Whether that is this one.
    #[inline]
    pub(crate) fn serves(&self, prepared: &Prepared) -> bool {
        self.credential.with_current(|token| prepared.is(token)).unwrap_or(false)
    }

    fn prepare(&self, token: &wif::Token) -> Arc<Prepared> {
        if let Some(prepared) = &*self.prepared.load()
            && prepared.is(token)
        {
            return Arc::clone(prepared);
        }
        let prepared = Arc::new(Prepared::new(token));
        self.prepared.store(Some(Arc::clone(&prepared)));
        prepared
    }

    pub(crate) fn token(&self, at_most: Option<Duration>) -> Result<Arc<Prepared>, Problem> {
        let token = self.runtime.block_on(wait(&self.credential, at_most))?;
        Ok(self.prepare(&token))
    }

    pub(crate) fn token_later(&self, at_most: Option<Duration>, done: Done) {
        if let Some(got) = self.at_once(at_most) {
            return done.call(got.map(|token| self.prepare(&token)).map_err(Into::into));
        }
        self.calls.begin();
        let mut call = Call { calls: Arc::clone(&self.calls), done: Some(done) };
        let credential = self.credential.clone();
        self.runtime.spawn(async move {
            let got = wait(&credential, at_most).await;
            // On a thread where the program may wait.
            let called = tokio::task::spawn_blocking(move || {
                call.give(got.map(|token| Arc::new(Prepared::new(&token))).map_err(Into::into));
            });
            // It does not panic; and if it is not run, its drop has called.
            let _ = called.await;
        });
    }

    /// What does not take any waiting.
    fn at_once(&self, at_most: Option<Duration>) -> Option<Result<wif::Token, Error>> {
        let _inside = self.runtime.enter();
        let waiting = pin!(wait(&self.credential, at_most));
        match waiting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(got) => Some(got),
            Poll::Pending => None,
        }
    }

    /// The id that this is, or that belongs to this value. None if it is neither the current one's.
    fn id_of(&self, id_or_value: &str) -> Option<String> {
        let is_id = id_or_value.len() == 16 && id_or_value.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            return Some(id_or_value.to_ascii_lowercase());
        }
        self.current().filter(|token| token.has_value(id_or_value)).map(|token| token.id().to_owned())
    }

    pub(crate) fn reject(&self, id_or_value: &str) {
        if let Some(id) = self.id_of(id_or_value) {
            self.credential.rejected(&id);
        }
    }

    pub(crate) fn replace(&self, id_or_value: &str, at_most: Option<Duration>) -> Option<Arc<Prepared>> {
        // What is not the current one has been replaced already.
        let id = self.id_of(id_or_value).unwrap_or_default();
        let replacement = match at_most {
            None => self.runtime.block_on(self.credential.replacement(&id)),
            Some(at_most) => self.runtime.block_on(self.credential.replacement_within(&id, at_most)),
        };
        replacement.map(|token| self.prepare(&token))
    }

    pub(crate) fn changed(&self) {
        self.credential.changed();
    }

    pub(crate) fn status(&self) -> Result<Value, Problem> {
        Ok(words::status(&self.runtime.block_on(self.credential.status())?))
    }

    pub(crate) fn journal(&self) -> Option<Secret> {
        self.credential.journal()
    }

    pub(crate) fn shutdown(&self) {
        self.runtime.block_on(async {
            // An exchange that is stopped has perhaps spent its identity token for nobody.
            let _ = tokio::time::timeout(SETTLES, self.credential.settle()).await;
            self.credential.shutdown().await;
        });
    }

    /// Until nothing of it is left.
    pub(crate) fn stop(self) {
        self.shutdown();
        self.calls.wait();
        drop(self.thread.stop);
        // Neither panics.
        let _ = self.thread.handle.join();
        drop(self.credential);
        if let Some(log) = self.log {
            let _ = log.join();
        }
    }
}

async fn wait(credential: &Credential, at_most: Option<Duration>) -> Result<wif::Token, Error> {
    match at_most {
        None => credential.token().await,
        Some(at_most) => credential.token_within(at_most).await,
    }
}

/// The program's function, and what it is called with.
pub(crate) struct Done {
    function: wif_done,
    user: *mut c_void,
}

// SAFETY: the header says that it is called on any thread.
unsafe impl Send for Done {}

impl Done {
    pub(crate) fn new(function: wif_done, user: *mut c_void) -> Self {
        Self { function, user }
    }

    pub(crate) fn call(self, got: Result<Arc<Prepared>, Problem>) {
        let (token, error) = match got {
            Ok(token) => (token::into_raw(token), None),
            Err(problem) => (std::ptr::null(), CString::new(problem.to_json().to_string()).ok()),
        };
        let error = error.as_ref().map_or(std::ptr::null(), |error| error.as_ptr());
        // SAFETY: the program gave this function for such a call; the error is good until it returns.
        calling(|| unsafe { (self.function)(self.user, token, error) });
    }
}

/// A call that is awaited: whatever happens to it, its end is told.
struct Call {
    calls: Arc<Calls>,
    done: Option<Done>,
}

impl Call {
    fn give(&mut self, got: Result<Arc<Prepared>, Problem>) {
        if let Some(done) = self.done.take() {
            done.call(got);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.give(Err(Problem::closed("")));
        self.calls.end();
    }
}

/// How many are awaited.
#[derive(Debug, Default)]
struct Calls {
    open: Mutex<usize>,
    none: Condvar,
}

impl Calls {
    fn begin(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn end(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.none.notify_all();
    }

    fn wait(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.none.wait_while(open, |open| *open > 0).unwrap_or_else(PoisonError::into_inner));
    }
}
