//! The attack catalogue, run against the real binary.
//!
//! `cargo test attacks` runs the rows of `cases.jsonl` and prints one line for each.
//! `USHER_ATTACKS=file` runs another file of the same vocabulary, `USHER_ATTACKS_ONLY=SKP-0` those
//! whose id begins so, `USHER_ATTACKS_JOBS=4` says how many at once.
//!
//! A row passes only if every assertion of every variant holds. What needs a feature that does not
//! exist is `n/a` with the reason; where that is a part of a row only, the line names the part after
//! `not judged:`. A word that this runner does not know is a failure.
//!
//! The path tricks run once more for each way in which a proxy describes a target to forward-auth, as `SKP-001/x-original-url` and the like.
//!
//! Latencies are judged by `just loads` alone, under the row's own load (floods are cut to three seconds
//! unless `USHER_ATTACKS_FULL=1`). Beside other tests those rows press little, and say `not judged: latency`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm
)]

mod admin;
mod back_channel;
mod break_glass;
mod case;
mod doubles;
mod echo;
mod faults;
mod flow;
mod forward_auth;
mod h2;
mod huffman;
mod judge;
mod judge_app;
mod judge_peers;
mod latency;
mod load;
mod negatives;
mod odd_peers;
mod pages;
mod predicate;
mod readings;
mod request;
mod run;
mod runner;
mod saml;
mod scim;
mod sessions;
mod sign_ins;
mod steps;
mod suites;
mod template;
mod token_words;
mod traffic;
mod world;

use latency::Extent;

/// The rows that this repository keeps.
const CASES: &str = include_str!("cases.jsonl");

#[test]
fn attacks_of_the_catalogue_fail() {
    let failed = wait_for(runner::run(rows(), Extent::Short));
    assert!(failed.is_empty(), "failed: {}", failed.join(" "));
}

#[test]
#[ignore = "it measures times: `just loads`"]
fn loads_of_the_catalogue_do_not_slow_others() {
    let rows = rows().into_iter().filter(latency::has_latency).collect();
    let failed = wait_for(runner::run(rows, Extent::Full));
    assert!(failed.is_empty(), "failed: {}", failed.join(" "));
}

/// The rows that are asked for.
fn rows() -> Vec<case::Row> {
    let text = match std::env::var_os("USHER_ATTACKS") {
        Some(path) => std::fs::read_to_string(path).expect("USHER_ATTACKS names a file"),
        None => CASES.to_owned(),
    };
    let rows = case::load(&text).expect("every line is a row");
    let only = std::env::var("USHER_ATTACKS_ONLY").unwrap_or_default();
    let wanted = |row: &case::Row| {
        only.is_empty()
            || only
                .split(',')
                .any(|prefix| row.id.starts_with(prefix.trim()))
    };
    let described = forward_auth::described(&rows);
    rows.into_iter().chain(described).filter(wanted).collect()
}

/// Runs this on threads with room for deep futures of a debug build.
fn wait_for<T>(work: impl Future<Output = T> + Send + 'static) -> T
where
    T: Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(32 << 20)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { tokio::spawn(work).await.unwrap() })
}
