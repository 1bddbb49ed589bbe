//! The command as its users meet it: a process, its output, its exit code.

mod edges;
mod issuer;
mod machine;
mod place;
mod proxy;
mod rejections;
mod sources;
mod status;
mod tokens;
mod waiting;
