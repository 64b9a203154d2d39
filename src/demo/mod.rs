//! The IdP and the app to try usher with; the tests use the same IdP.

pub mod app;
pub mod idp;
mod serve;
