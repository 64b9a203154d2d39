//! What the integration tests share: usher as a real process, a client that sends exactly the bytes
//! it is told, a browser with a cookie jar, an app that records raw bytes, and an app's
//! provisioning callback with faults on demand.
//!
//! * [`process::Usher`] starts the binary with a config text and reads its bound addresses from the log.
//! * [`wire`] speaks HTTP/1.1 over TCP or TLS, byte for byte, from a chosen source address.
//! * [`browser::Browser`] keeps cookies and follows redirects; every host that is not an IP address
//!   or `localhost` is usher's.
//! * [`recorder::Recorder`] is the app; it answers JSON of what it saw, and `/ws`, `/sse`, `/echo`.
//! * [`callback::Callback`] is the app's provisioning callback with an account table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::print_stderr, clippy::wildcard_enum_match_arm, dead_code)]

pub(crate) mod browser;
pub(crate) mod callback;
#[cfg(feature = "otel")]
pub(crate) mod collector;
pub(crate) mod company;
pub(crate) mod local;
pub(crate) mod process;
pub(crate) mod reading;
pub(crate) mod recorder;
pub(crate) mod scim;
pub(crate) mod wire;
