//! The command as its users meet it: a process, its output, its exit code.

mod chain;
mod edges;
mod issuer;
mod logins;
mod machine;
mod place;
mod proxy;
mod rejections;
mod sources;
mod status;
mod stores;
mod tokens;
mod waiting;
