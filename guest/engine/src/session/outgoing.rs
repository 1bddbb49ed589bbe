//! What goes out of a step: tasks, which of them to abandon, and notes. And the tasks that are out, and how long to wait for each.

use crate::contract::{Field, Note, NoteCode, NoteLevel, NumberedTask, Task};
use crate::timeline::Moment;

/// A step that notes more than this is in a state that nobody will read about.
const MAX_NOTES: usize = 32;

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
pub(super) struct Outgoing {
    /// The number of the last task.
    last: u32,
    running: Vec<Running>,
    // Of this step.
    tasks: Vec<NumberedTask>,
    abandon: Vec<u32>,
    notes: Vec<Note>,
}

#[derive(Debug)]
struct Running {
    number: u32,
    role: Role,
    deadline: Moment,
    heard: Moment,
}

impl Outgoing {
    /// Hands a task to the host.
    pub(super) fn emit(&mut self, now: Moment, role: Role, task: Task) -> u32 {
        let limit = match &task {
            Task::SendRequest(request) => u64::from(request.timeout_ms) + GRACE_MS,
            Task::SupplyAssertion(_) | Task::SupplyToken(_) | Task::Sign(_) => CALLABLE_MS,
            Task::ReadFile(_) | Task::ReadVariable(_) | Task::LoadEntry(_) | Task::SwapEntry(_) => SHORT_MS,
        };
        // Four thousand million tasks are more than a session lives to see; past them the numbers begin again.
        self.last = self.last.wrapping_add(1);
        let number = self.last;
        self.running.push(Running { number, role, deadline: now + limit, heard: now });
        self.tasks.push(NumberedTask { number, task });
        number
    }

    /// Tells something to whoever reads the log.
    pub(super) fn note(&mut self, code: NoteCode, level: NoteLevel, message: &str, fields: Vec<Field>) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(Note { code, level, message: message.to_owned(), fields });
        }
    }

    /// All of this step.
    pub(super) fn take_all(&mut self) -> (Vec<NumberedTask>, Vec<u32>, Vec<Note>) {
        (core::mem::take(&mut self.tasks), core::mem::take(&mut self.abandon), core::mem::take(&mut self.notes))
    }

    /// Tells the host that nobody waits for this task any more. Until it is taken, its answer is.
    pub(super) fn abandon(&mut self, number: u32) {
        self.abandon.push(number);
    }

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

    /// Abandons those of these roles, whatever they bring.
    pub(super) fn forget(&mut self, of: fn(Role) -> bool) {
        self.abandon.extend(self.running.extract_if(.., |running| of(running.role)).map(|running| running.number));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// F12: whatever happens in one step, its host gets no flood.
    #[test]
    fn a_step_tells_a_bounded_number_of_things() {
        let mut out = Outgoing::default();
        for _ in 0..40 {
            out.note(NoteCode::Closing, NoteLevel::Info, "a note", Vec::new());
        }
        assert_eq!(out.take_all().2.len(), MAX_NOTES);
    }
}
