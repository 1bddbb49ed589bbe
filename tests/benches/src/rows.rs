//! The groups of numbers.

pub(crate) mod callers;
pub(crate) mod edges;
pub(crate) mod envoy;
pub(crate) mod javascript;
pub(crate) mod memory;
pub(crate) mod python;
pub(crate) mod request;
pub(crate) mod scale;
pub(crate) mod size;
pub(crate) mod start;

/// What this program does as a child of itself.
pub(crate) fn child(mode: &str) -> anyhow::Result<()> {
    match mode {
        start::NOTHING => start::child_nothing(),
        start::READY => start::child_ready(),
        memory::INSTANCES => memory::child_instances(),
        envoy::authorizer::AUTHORIZER => envoy::authorizer::child(),
        scale::IDENTITIES => scale::child(),
        memory::CREDENTIALS => memory::child_credentials(),
        _ => anyhow::bail!("no such child: {mode}"),
    }
}
