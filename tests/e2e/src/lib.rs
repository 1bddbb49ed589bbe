//! End to end: the real host, the real component, real sockets. Here stands what several of its programs share.

mod clock;

pub use clock::Clock;
