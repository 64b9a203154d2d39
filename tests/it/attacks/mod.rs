//! The attack catalogue, run against the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]
mod case;
mod predicate;
mod readings;
mod template;
