//! usher from the outside: the real binary, real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin_api;
mod admin_pages;
mod attacks;
mod audit;
mod docs;
mod forward_auth;
mod layers;
mod local;
mod logout;
mod metrics_docs;
mod oidc;
mod outbox;
mod saml;
mod scim;
mod story;
mod streams;
mod support;
mod tls;
#[cfg(feature = "otel")]
mod traces;
mod trust;
mod two_idps;
