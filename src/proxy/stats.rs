//! What each thread counts on its own, and the sum of it for `/metrics`.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::refusal::Reason;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It went to the app for somebody who is signed in.
    Admitted,
    /// It went to the app for nobody.
    Public,
    /// usher answered it itself.
    Own,
    /// The client went away first.
    ClientGone,
    /// It was refused, or failed.
    Refused(Reason),
}

impl Outcome {
    const COUNT: usize = 4 + Reason::ALL.len();

    fn index(self) -> usize {
        match self {
            Self::Admitted => 0,
            Self::Public => 1,
            Self::Own => 2,
            Self::ClientGone => 3,
            Self::Refused(reason) => 4 + reason as usize,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        [Self::Admitted, Self::Public, Self::Own, Self::ClientGone]
            .into_iter()
            .chain(Reason::ALL.iter().copied().map(Self::Refused))
    }

    /// The stable code for logs and metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Public => "public",
            Self::Own => "own",
            Self::ClientGone => "client_gone",
            Self::Refused(reason) => reason.code(),
        }
    }
}

/// Counters of one app on one thread; written by that thread alone.
#[derive(Debug)]
pub(crate) struct AppStats {
    /// Requests that came here.
    requests: Vec<AtomicU64>,
    /// Requests that a proxy asked about.
    described: Vec<AtomicU64>,
}

impl AppStats {
    fn new() -> Self {
        let zeros = || {
            let zeros = std::iter::repeat_with(|| AtomicU64::new(0));
            zeros.take(Outcome::COUNT).collect()
        };
        Self {
            requests: zeros(),
            described: zeros(),
        }
    }

    /// Counts a request.
    pub(crate) fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.requests.get(outcome.index()) {
            add(counter, 1);
        }
    }

    /// Counts a request that a proxy asked about by forward-auth.
    pub(crate) fn count_described(&self, outcome: Outcome) {
        if let Some(counter) = self.described.get(outcome.index()) {
            add(counter, 1);
        }
    }
}

/// Adds without a locked instruction: there is only one writer.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 12] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000, 10_000_000,
];

/// What one thread counts.
#[derive(Debug, Default)]
pub(crate) struct WorkerStats {
    apps: Mutex<HashMap<String, Arc<AppStats>>>,
    added: [AtomicU64; BOUNDS.len() + 1],
    added_nanos: AtomicU64,
    connections: AtomicU64,
    streams: AtomicU64,
}

impl WorkerStats {
    /// The counters of an app; asked for once for each config.
    pub(crate) fn app(&self, id: &str) -> Arc<AppStats> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(AppStats::new());
        Arc::clone(apps.entry(id.to_owned()).or_insert_with(fresh))
    }

    /// Notes the time that usher added to one request.
    pub(crate) fn added(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().take_while(|bound| micros > **bound).count();
        if let Some(counter) = self.added.get(bucket) {
            add(counter, 1);
        }
        add(
            &self.added_nanos,
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    /// One connection more or less.
    pub(crate) fn connection(&self, change: i64) {
        add(&self.connections, change as u64);
    }

    /// One live stream more or less.
    pub(crate) fn stream(&self, change: i64) {
        add(&self.streams, change as u64);
    }
}

/// All threads together; `sessions` tells how many sessions are in the cache.
pub(crate) struct Totals {
    pub(crate) workers: Vec<Arc<WorkerStats>>,
    pub(crate) dropped_lines: Arc<AtomicU64>,
    pub(crate) sessions: Box<dyn Fn() -> usize + Send + Sync>,
}

impl fmt::Debug for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Totals")
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

impl Totals {
    fn sum(&self, of: impl Fn(&WorkerStats) -> &AtomicU64) -> u64 {
        self.workers
            .iter()
            .fold(0, |sum, worker| sum.wrapping_add(of(worker).load(Relaxed)))
    }

    fn requests(&self, of: impl Fn(&AppStats) -> &[AtomicU64]) -> Vec<(String, Outcome, u64)> {
        let mut sums: HashMap<String, Vec<u64>> = HashMap::new();
        for worker in &self.workers {
            let apps = worker.apps.lock().unwrap_or_else(PoisonError::into_inner);
            for (app, stats) in &*apps {
                let sum = sums
                    .entry(app.clone())
                    .or_insert_with(|| vec![0; Outcome::COUNT]);
                for (sum, counter) in sum.iter_mut().zip(of(stats)) {
                    *sum += counter.load(Relaxed);
                }
            }
        }
        let mut rows: Vec<_> = sums
            .into_iter()
            .flat_map(|(app, sums)| {
                Outcome::all()
                    .zip(sums)
                    .map(move |(outcome, sum)| (app.clone(), outcome, sum))
            })
            .filter(|(_, _, sum)| *sum > 0)
            .collect();
        rows.sort_by(|one, two| one.0.cmp(&two.0));
        rows
    }
}

impl Collector for Totals {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, help, sums) in [
            (
                "usher_requests",
                "Requests by app and outcome",
                self.requests(|stats| &stats.requests),
            ),
            (
                "usher_forward_auth_requests",
                "Requests that a proxy asked about by forward-auth, by app and outcome",
                self.requests(|stats| &stats.described),
            ),
        ] {
            let mut requests = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (app, outcome, sum) in sums {
                let labels = [("app", app.as_str()), ("outcome", outcome.code())];
                ConstCounter::new(sum).encode(requests.encode_family(&labels)?)?;
            }
        }
        let buckets: Vec<(f64, u64)> = BOUNDS
            .iter()
            .map(|bound| *bound as f64 / 1e6)
            .chain([f64::INFINITY])
            .enumerate()
            .map(|(index, bound)| (bound, self.sum(|worker| &worker.added[index])))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = self.sum(|worker| &worker.added_nanos) as f64 / 1e9;
        encoder
            .encode_descriptor(
                "usher_added_seconds",
                "Time that usher added to a request before the app's answer began",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<prometheus_client::encoding::NoLabelSet>(
                seconds, count, &buckets, None,
            )?;
        for (name, help, value) in [
            (
                "usher_open_connections",
                "Open client connections",
                self.sum(|worker| &worker.connections),
            ),
            (
                "usher_live_streams",
                "Tunnels and streaming answers",
                self.sum(|worker| &worker.streams),
            ),
            (
                "usher_sessions_cached",
                "Sessions in the cache",
                (self.sessions)() as u64,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        ConstCounter::new(self.dropped_lines.load(Relaxed)).encode(encoder.encode_descriptor(
            "usher_access_log_dropped",
            "Access log lines dropped because their reader was too slow",
            None,
            MetricType::Counter,
        )?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn adds_up_what_the_threads_counted() {
        let workers = vec![
            Arc::new(WorkerStats::default()),
            Arc::new(WorkerStats::default()),
        ];
        workers[0].app("wiki").count(Outcome::Admitted);
        workers[1].app("wiki").count(Outcome::Admitted);
        workers[1]
            .app("wiki")
            .count(Outcome::Refused(Reason::Forbidden));
        workers[1]
            .app("wiki")
            .count_described(Outcome::Refused(Reason::Forbidden));
        workers[0].added(Duration::from_micros(40));
        workers[1].connection(1);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Totals {
            workers,
            dropped_lines: Arc::default(),
            sessions: Box::new(|| 7),
        }));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "usher_requests_total{app=\"wiki\",outcome=\"admitted\"} 2",
            "usher_requests_total{app=\"wiki\",outcome=\"forbidden\"} 1",
            "usher_forward_auth_requests_total{app=\"wiki\",outcome=\"forbidden\"} 1",
            "usher_added_seconds_count 1",
            "usher_added_seconds_bucket{le=\"0.000025\"} 0",
            "usher_added_seconds_bucket{le=\"0.00005\"} 1",
            "usher_added_seconds_bucket{le=\"+Inf\"} 1",
            "usher_open_connections 1",
            "usher_sessions_cached 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn every_outcome_has_a_counter_of_its_own() {
        let mut indices: Vec<_> = Outcome::all().map(Outcome::index).collect();
        indices.dedup();
        assert_eq!(indices, (0..Outcome::COUNT).collect::<Vec<_>>());
    }
}
