//! What passes in a step: the types of a session and of whoever drives it.

/// The types of a session's calls, beside those that every world [shows](crate::shown_types). The argument is the module of the world's
/// bindings that has them.
#[macro_export]
macro_rules! step_types {
    ($types:path) => {
        $crate::shown_types!($types);

        const _: () = {
            use $crate::boundary::all;
            use $crate::contract as engine;
            use $types as wit;

            // Into the engine.
            $crate::same_cases!(wit::Capability => engine {
                ReadFile, ReadVariable, SupplyAssertion, SupplyToken, Sign, Store, Cache, OwnersVanish,
            });

            impl From<wit::Clock> for engine::Clock {
                fn from(clock: wit::Clock) -> Self {
                    Self { wall_ms: clock.wall_ms, steady_ms: clock.steady_ms }
                }
            }

            impl From<wit::Start> for engine::Start {
                fn from(start: wit::Start) -> Self {
                    match start {
                        wit::Start::Fresh => Self::Fresh,
                        wit::Start::Resumed(journal) => Self::Resumed($crate::Secret::from(journal)),
                        wit::Start::Lost => Self::Lost,
                    }
                }
            }

            impl From<wit::Event> for engine::Event {
                fn from(event: wit::Event) -> Self {
                    match event {
                        wit::Event::Woken => Self::Woken,
                        wit::Event::Needed => Self::Needed,
                        wit::Event::Finished(result) => {
                            Self::Finished(engine::TaskResult { number: result.number, outcome: result.outcome.into() })
                        }
                        wit::Event::StillRunning(number) => Self::StillRunning(number),
                        wit::Event::Rejected(id) => Self::Rejected(id),
                        wit::Event::Changed => Self::Changed,
                        wit::Event::Closing => Self::Closing,
                    }
                }
            }

            impl From<wit::Outcome> for engine::Outcome {
                fn from(outcome: wit::Outcome) -> Self {
                    match outcome {
                        wit::Outcome::Response(response) => Self::Response(engine::Response {
                            status: response.status,
                            headers: all(response.headers),
                            body: $crate::Secret::from(response.body),
                        }),
                        wit::Outcome::Content(content) => Self::Content($crate::Secret::from(content)),
                        wit::Outcome::Token(token) => {
                            Self::Token(engine::SuppliedToken { value: $crate::Secret::from(token.value), expires_at_ms: token.expires_at_ms })
                        }
                        wit::Outcome::Entry(entry) => Self::Entry(entry.into()),
                        wit::Outcome::Swapped(version) => Self::Swapped(version),
                        wit::Outcome::Conflict(entry) => Self::Conflict(entry.map(Into::into)),
                        wit::Outcome::Absent => Self::Absent,
                        wit::Outcome::Denied(rule) => Self::Denied(rule),
                        wit::Outcome::Unsupported => Self::Unsupported,
                        wit::Outcome::Unsent(reason) => Self::Unsent(reason),
                        wit::Outcome::MaybeSent(reason) => Self::MaybeSent(reason),
                        wit::Outcome::Failed(reason) => Self::Failed(reason),
                        wit::Outcome::Unkept(reason) => Self::Unkept(reason),
                        wit::Outcome::Lost => Self::Lost,
                    }
                }
            }

            impl From<wit::Entry> for engine::Entry {
                fn from(entry: wit::Entry) -> Self {
                    Self { version: entry.version, value: $crate::Secret::from(entry.value) }
                }
            }

            impl From<wit::Header> for engine::Header {
                fn from(header: wit::Header) -> Self {
                    Self { name: header.name, value: $crate::Secret::from(header.value) }
                }
            }

            // Out of the engine.
            $crate::same_cases!(engine::FileProtection => wit { Any, UnwritableByOthers });
            $crate::same_cases!(engine::Progress => wit { Resting, Underway });
            $crate::same_cases!(engine::NoteLevel => wit { Info, Warning, Error });
            $crate::same_cases!(engine::PendingReason => wit {
                Discovering, ReadingIdentityToken, ReadingStore, WaitingForLease, Exchanging, AskingForToken,
            });
            $crate::same_cases!(engine::NoteCode => wit {
                Configured, ConfigurationFailed, SourceIgnored, Resumed, StateIgnored, IdentityTokenRotated, IdentityTokenUnusable,
                WaitingForRotation, ExchangeStarted, ExchangeSucceeded, ExchangeFailed, TokenAdopted, TokenSupplied, TokenRejected,
                ForcedExchangesStopped, TokenUnusable, LeaseTaken, LeaseTakenOver, TaskLost, LifetimesConflict, ClockSkewed,
                AnswerUnusual, Closing,
            });

            impl From<engine::Output> for wit::Output {
                fn from(output: engine::Output) -> Self {
                    Self {
                        access: output.access.into(),
                        progress: output.progress.into(),
                        wait_at_most_ms: output.wait_at_most_ms,
                        tasks: all(output.tasks),
                        abandon: output.abandon,
                        wake_in_ms: output.wake_in_ms,
                        journal: output.journal.map($crate::Secret::into_revealed),
                        notes: all(output.notes),
                    }
                }
            }

            impl From<engine::Access> for wit::Access {
                fn from(access: engine::Access) -> Self {
                    match access {
                        engine::Access::Usable(usable) => Self::Usable(usable.into()),
                        engine::Access::Pending(reason) => Self::Pending(reason.into()),
                        engine::Access::Failed(failure) => Self::Failed(failure.into()),
                        engine::Access::Idle => Self::Idle,
                        engine::Access::Closed => Self::Closed,
                    }
                }
            }

            impl From<engine::NumberedTask> for wit::NumberedTask {
                fn from(task: engine::NumberedTask) -> Self {
                    Self { number: task.number, task: task.task.into() }
                }
            }

            impl From<engine::Task> for wit::Task {
                fn from(task: engine::Task) -> Self {
                    match task {
                        engine::Task::SendRequest(request) => Self::SendRequest(wit::HttpRequest {
                            purpose: request.purpose.into(),
                            method: request.method,
                            url: request.url,
                            origin: request.origin,
                            headers: all(request.headers),
                            body: request.body.into_revealed(),
                            timeout_ms: request.timeout_ms,
                            max_response_bytes: request.max_response_bytes,
                        }),
                        engine::Task::ReadFile(file) => Self::ReadFile(wit::FileRequest {
                            path: file.path,
                            max_bytes: file.max_bytes,
                            protection: file.protection.into(),
                        }),
                        engine::Task::ReadVariable(name) => Self::ReadVariable(name),
                        engine::Task::SupplyAssertion(request) => {
                            Self::SupplyAssertion(wit::AssertionRequest { name: request.name, audience: request.audience })
                        }
                        engine::Task::SupplyToken(request) => {
                            Self::SupplyToken(wit::TokenRequest { name: request.name, rejected: request.rejected })
                        }
                        engine::Task::Sign(request) => {
                            Self::Sign(wit::SignRequest { key: request.key, algorithm: request.algorithm, input: request.input })
                        }
                        engine::Task::LoadEntry(key) => Self::LoadEntry(key),
                        engine::Task::SwapEntry(swap) => {
                            Self::SwapEntry(wit::Swap { key: swap.key, expected: swap.expected, value: swap.value.into_revealed() })
                        }
                    }
                }
            }

            impl From<engine::Purpose> for wit::Purpose {
                fn from(purpose: engine::Purpose) -> Self {
                    match purpose {
                        engine::Purpose::Exchange => Self::Exchange,
                        engine::Purpose::Refresh => Self::Refresh,
                        engine::Purpose::Source(name) => Self::Source(name),
                    }
                }
            }

            impl From<engine::Note> for wit::Note {
                fn from(note: engine::Note) -> Self {
                    Self { code: note.code.into(), level: note.level.into(), message: note.message, fields: all(note.fields) }
                }
            }

            impl From<engine::ConfigurationError> for wit::ConfigurationError {
                fn from(error: engine::ConfigurationError) -> Self {
                    Self { field: error.field, message: error.message }
                }
            }
        };
    };
}
