//! The command as its users meet it: a process, its output, its exit code.

mod chain;
mod doctor;
mod edges;
mod exec;
mod keys;
mod machine;
mod migration;
mod output;
mod place;
mod proxy;
mod rejections;
mod sources;
mod status;
mod tokens;
mod waiting;
