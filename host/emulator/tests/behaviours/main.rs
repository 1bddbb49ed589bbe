//! The emulator over real sockets, as a client meets it. One module for each behaviour.

mod errors_of_form;
mod exchange;
mod faults;
mod history;
mod keys;
mod lifetime;
mod messages;
mod options;
mod registry;
mod resources;
mod rules;
mod secrets;
mod single_use;
mod token_file;
mod verification;
mod world;
