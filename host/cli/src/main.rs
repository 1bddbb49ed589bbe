//! The command `wif`: a workload's credential for the Claude API, from an identity token.
//!
//! | Exit code | Meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | something else went wrong: see the message |
//! | 2 | the command line is wrong |
//! | 3 | the configuration is wrong, or the host's policy forbids what it says: mend it |
//! | 4 | there is no token now, and there may be one later: try again |
//! | 5 | the endpoint or the identity token's source says no: look at the message |
//! | 6 | `wif status` only: there is a credential, and it hides another one |
//! | 7 | `wif find-keys` only: a key is set somewhere |
//!
//! `wif emulate -- COMMAND` and `wif exec -- COMMAND` end with the exit code of the command.

mod child;
mod credential;
mod demo;
mod doctor;
mod emulate;
mod environment;
mod exec;
mod exit;
mod files;
mod find_keys;
mod help;
mod issuer;
mod jwt;
mod login;
mod options;
mod output;
mod pages;
mod shell;
mod sources;
mod state_file;
mod state_server;
mod status;
mod token;
mod trial;
mod waiting;
mod warnings;
mod words;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// A credential for the Claude API from a workload's identity token. Without a configuration file it is found as the vendor's
/// clients find it: in the variables ANTHROPIC_* and in profiles.
#[derive(Debug, Parser)]
#[command(name = "wif", version, propagate_version = true, after_help = help::WIF, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole life of a credential against a local emulator, in half a minute.
    #[command(after_help = help::DEMO)]
    Demo,
    /// Run a local identity provider, token endpoint and Messages API, and a command against them.
    Emulate(emulate::Options),
    /// Exchange the identity token and print the access token.
    Token(token::Options),
    /// Run a command with a fresh access token in ANTHROPIC_AUTH_TOKEN, and without what the token was made from.
    Exec(exec::Options),
    /// Tell which credential is configured, where it comes from, and what would happen next. Exchanges nothing.
    Status(status::Options),
    /// Log in as a person, for a profile that this command and the vendor's clients use.
    Login(login::Options),
    /// Remove the credentials of a login. The profile stays.
    Logout(login::Logout),
    /// Judge an identity token by the service's own checks: tells why an exchange is refused, and what will fail later.
    Doctor(doctor::Options),
    /// Make a key for a workload that vouches for itself, and print what the Console has to know.
    Issuer(issuer::Options),
    /// List the files and lines in which a key of the Claude API is set. Never prints a key.
    FindKeys(find_keys::Options),
    /// Print what a shell needs to complete this command.
    #[command(after_help = help::COMPLETIONS)]
    Completions(pages::Completions),
    /// Write the pages for man.
    #[command(after_help = help::MAN)]
    Man(pages::Man),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The command says itself what it ends with. Whoever looks on sees what is waited for; WIF_LOG says more.
    let usual = if std::io::stderr().is_terminal() { "off,wif::waiting=info" } else { "off" };
    let asked = std::env::var_os("WIF_LOG").filter(|asked| !asked.is_empty());
    let filter = asked.map_or_else(|| usual.to_owned(), |asked| asked.to_string_lossy().into_owned());
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::from(error)),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Demo => demo::run().await.map(|()| ExitCode::SUCCESS),
            Command::Emulate(options) => emulate::run(options).await,
            Command::Token(options) => token::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Status(options) => status::run(options).await,
            Command::Login(options) => login::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Logout(options) => login::log_out(options).await.map(|()| ExitCode::SUCCESS),
            Command::Exec(options) => exec::run(options).await,
            Command::FindKeys(options) => find_keys::run(&options),
            Command::Doctor(options) => doctor::run(options).await,
            Command::Issuer(options) => issuer::run(&options).map(|()| ExitCode::SUCCESS),
            Command::Completions(options) => pages::completions(&options, Arguments::command()).map(|()| ExitCode::SUCCESS),
            Command::Man(options) => pages::man(&options, Arguments::command()).map(|()| ExitCode::SUCCESS),
        }
    });
    match result {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
