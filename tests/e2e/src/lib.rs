//! End to end: the real host, the real component, real sockets.
