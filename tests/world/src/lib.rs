//! Virtual time: sessions, native and through the component, and the endpoints around them.
