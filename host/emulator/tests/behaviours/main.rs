//! The emulator over real sockets, as a client meets it. One module for each behaviour.

mod admin;
mod api;
mod errors_of_form;
mod exchange;
mod faults;
mod history;
mod keys;
mod lifetime;
mod messages;
mod named_faults;
mod options;
mod registry;
mod resources;
mod rules;
mod secrets;
mod single_use;
mod switches;
mod the_domain_knows_no_web_framework;
mod token_file;
mod trial;
mod verification;
mod world;
