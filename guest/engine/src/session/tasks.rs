//! The tasks that are out, and how long to wait for each.

use crate::contract::{NumberedTask, Task};
use crate::session::Session;
use crate::timeline::Moment;

/// A task of which nothing is heard for this long is lost, where owners can vanish. In milliseconds.
const SILENCE_MS: u64 = 5_000;

/// Reading a file, a variable, the store.
const SHORT_MS: u64 = 5_000;

/// A callable or a key of the embedding program.
const CALLABLE_MS: u64 = 30_000;

/// What a host has beyond a request's own time limit to report it.
const GRACE_MS: u64 = 5_000;

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Variable(&'static str),
    ProfileFile,
    /// The source of the identity token.
    Read,
    /// The embedding program's callable for the access token.
    Ask,
    Send,
    Load,
    /// A swap that takes the lease.
    Lease,
    /// Any other swap.
    Write,
}

#[derive(Debug, Default)]
pub(super) struct Tasks {
    last: u32,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    number: u32,
    role: Role,
    deadline: Moment,
    heard: Moment,
}

impl Tasks {
    /// What the task with this number is for. It is over.
    pub(super) fn take(&mut self, number: u32) -> Option<Role> {
        let position = self.running.iter().position(|running| running.number == number)?;
        let role = self.running.remove(position).role;
        if self.running.is_empty() {
            // A session rests nearly always, and a host may hold many.
            self.running = Vec::new();
        }
        Some(role)
    }

    pub(super) fn heard(&mut self, number: u32, now: Moment) {
        if let Some(running) = self.running.iter_mut().find(|running| running.number == number) {
            running.heard = now;
        }
    }

    /// Those whose time is over, and whether their owners were silent, as those are that vanished. They stay until they are taken.
    pub(super) fn overdue(&self, now: Moment, vanish: bool) -> Vec<(u32, Role, bool)> {
        let over = |running: &&Running| now >= running.end(vanish);
        let silent = |running: &Running| vanish && now >= running.heard + SILENCE_MS;
        self.running.iter().filter(over).map(|running| (running.number, running.role, silent(running))).collect()
    }

    /// When the next of them is over.
    pub(super) fn next_end(&self, vanish: bool) -> Option<Moment> {
        self.running.iter().map(|running| running.end(vanish)).min()
    }

    /// Forgets those of these roles, and tells their numbers.
    pub(super) fn forget(&mut self, of: fn(Role) -> bool) -> Vec<u32> {
        self.running.extract_if(.., |running| of(running.role)).map(|running| running.number).collect()
    }

    pub(super) fn any(&self, wanted: fn(Role) -> bool) -> bool {
        self.running.iter().any(|running| wanted(running.role))
    }
}

impl Running {
    fn end(&self, vanish: bool) -> Moment {
        if vanish { self.deadline.min(self.heard + SILENCE_MS) } else { self.deadline }
    }
}

impl Session {
    /// Hands a task to the host.
    pub(super) fn emit(&mut self, role: Role, task: Task) -> u32 {
        let limit = match &task {
            Task::SendRequest(request) => u64::from(request.timeout_ms) + GRACE_MS,
            Task::SupplyAssertion(_) | Task::SupplyToken(_) | Task::Sign(_) => CALLABLE_MS,
            Task::ReadFile(_) | Task::ReadVariable(_) | Task::LoadEntry(_) | Task::SwapEntry(_) => SHORT_MS,
        };
        // Four thousand million tasks are more than a session lives to see; past them the numbers begin again.
        self.tasks.last = self.tasks.last.wrapping_add(1);
        let number = self.tasks.last;
        self.tasks.running.push(Running { number, role, deadline: self.now + limit, heard: self.now });
        self.emitted.push(NumberedTask { number, task });
        number
    }
}
