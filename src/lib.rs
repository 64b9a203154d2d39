//! usher: a reverse-proxy authentication sidecar.

#![allow(clippy::todo)]

pub mod access;
pub mod admin;
pub mod audit;
pub mod certificate;
pub mod claims;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod directory;
pub mod endpoints;
pub mod forward;
pub mod identity;
pub mod idp;
pub mod keys;
pub mod local;
pub mod mail;
pub mod metrics;
pub mod outbound;
pub mod pages;
pub mod provision;
pub mod proxy;
pub mod refusal;
pub mod revoke;
pub mod seal;
pub mod secret;
pub mod server;
pub mod session;
pub mod sign_in;
pub mod store;
pub mod usher;
