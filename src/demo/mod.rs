//! The IdP and the app to try usher with; the tests use the same IdP.

pub mod idp;
