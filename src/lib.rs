//! usher: a reverse-proxy authentication sidecar.

#[cfg(feature = "demo")]
pub mod demo;
