//! The module in a real Envoy, against the emulator: what is its own. What it has in common with the filter is tested with the
//! filter, by one suite for both.

#![cfg(target_os = "linux")]
#![allow(dead_code, reason = "the sources are included by file, because nothing that calls Envoy can be linked here")]

#[path = "../../src/guard.rs"]
mod guard;
#[path = "../../src/settings.rs"]
mod settings;

mod a_component_that_traps_costs_itself;
mod configurations_add_up;
mod configurations_are_checked;
mod it_is_a_guest_in_its_process;
mod requests_wait_in_bounds;
mod sessions_act_as_one;
mod the_readme_is_what_runs;
mod upstream_nobody_sees_a_rejection;
mod world;
