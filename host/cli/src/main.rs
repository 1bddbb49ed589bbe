//! The command wif.
fn main() {}
