//! Virtual time: sessions, native and through the component, and the endpoints around them.
//!
//! A [`Machine`] is a session that speaks the contract's JSON form; there are two, and every vector and scenario runs on
//! both. A [`Vector`](vector::Vector) is a recorded session with hand-written expectations, for any host. A [`World`](world::World)
//! is everything around sessions - the token endpoint, the identity token's file, the store, the API, callers - in
//! virtual time, and [`drivers`] stand between the two.

#![forbid(unsafe_op_in_unsafe_fn)]

pub mod drivers;
pub mod foreign;
pub mod jwt;
mod machine;
pub mod shared_store;
pub mod vector;
pub mod world;

pub use machine::{
    Kind, Machine, Opening, accesses_of_states, both, changes_between_steps, changes_of_state, drawn, kinds, listed,
};
