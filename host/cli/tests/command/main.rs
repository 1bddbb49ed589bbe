//! The command as its users meet it: a process, its output, its exit code.

mod browsers;
mod chain;
mod doctor;
mod edges;
mod exec;
mod issuer;
mod keychains;
mod keys;
mod logins;
mod machine;
mod migration;
mod output;
mod place;
mod programs;
mod proxy;
mod rejections;
mod servers;
mod sources;
mod status;
mod stores;
mod tokens;
mod waiting;
mod workload_api;
