//! Which assertions judge a time, and in which run they are judged.
//!
//! Beside other tests a time says how busy the machine is. So latencies are judged in a run of their
//! own, alone on the machine, as the best of a few measurements; everything else is judged in both.

use super::{
    case::Row,
    predicate::{Operator, Predicate},
};

/// How much of a row is run and judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything but the latencies, under little load: beside other tests.
    Short,
    /// All of it, under the row's own load: alone.
    Full,
}

/// How often a latency is measured at most; the best counts, as noise only ever adds.
pub(super) const MEASUREMENTS: usize = 3;

/// From so many milliseconds on a bound is patience with something that may never come.
const PATIENCE_MS: f64 = 5000.0;

/// True for a ratio of times, and for a bound on a time that a busy machine may miss.
pub(super) fn is_latency(text: &str) -> bool {
    let predicate = Predicate::parse(text);
    let bounded = predicate.operator == Operator::AtMost;
    let patient = predicate
        .value
        .parse::<f64>()
        .is_ok_and(|most| most >= PATIENCE_MS);
    let time = predicate.name.ends_with("_ms") || predicate.name.contains("_ms_");
    predicate.name.ends_with("_ratio") || (time && bounded && !patient)
}

/// True where a row has something that only [`Extent::Full`] judges.
pub(super) fn has_latency(row: &Row) -> bool {
    row.expectation.asserts.iter().any(|text| is_latency(text))
}

#[test]
fn knows_latencies_from_patience_and_from_sizes() {
    for latency in [
        "good_p99_ratio<=1.5",
        "p99_ratio<=1.2",
        "timing_delta_ms<=5",
        "within_ms<=1000",
        "within_ms<=deadline+500",
        "within_ms_when_open<=50",
    ] {
        assert!(is_latency(latency), "{latency}");
    }
    for other in [
        "ws.closed_ms<=5000",
        "recovered_ms<=5000",
        "rss_delta_mb<=32",
        "size_delta<=16",
        "op.assertion.exp_minus_iat<=300",
        "attacker_conns_after_20s=0",
        "alive",
    ] {
        assert!(!is_latency(other), "{other}");
    }
}
