//! A local identity provider, token endpoint and Messages API, faithful to the real ones.
