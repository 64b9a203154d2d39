//! usher from the outside: the real binary, real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin_api;
mod admin_pages;
mod attacks;
mod audit;
mod forward_auth;
mod layers;
mod local;
mod logout;
mod oidc;
mod outbox;
mod saml;
mod scim;
mod story;
mod streams;
mod support;
mod tls;
mod trust;
mod two_idps;
