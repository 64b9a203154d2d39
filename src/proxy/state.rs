//! What the tasks of one connection tell each other: when it was last of use, and whether its protocol changes.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Timeouts;

/// The app's word on a request to change the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeAnswer {
    /// 101: what follows is not HTTP.
    Granted,
    /// Anything else: what follows is the next request.
    Denied,
}

const OPEN: u8 = 0;
const GRANTED: u8 = 1;
const DENIED: u8 = 2;
/// No such moment.
const NONE: u64 = u64::MAX;
/// How long a connection without a request may still take once usher stops.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Shared by the guard, the service and the task of one connection, all of one thread. Times are milliseconds since `epoch`.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    epoch: Instant,
    in_flight: AtomicU32,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    stalled_since: AtomicU64,
    upgrade: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl ConnectionState {
    /// Of a connection that was accepted now: it waits for its first head.
    pub(crate) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            in_flight: AtomicU32::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            stalled_since: AtomicU64::new(NONE),
            upgrade: AtomicU8::new(OPEN),
            waker: Mutex::new(None),
        }
    }

    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> u64 {
        u64::try_from((now - self.epoch).as_millis()).unwrap_or(NONE - 1)
    }

    /// The first bytes of a head came.
    pub(crate) fn head_begun(&self) {
        if self.head_since.load(Relaxed) == NONE {
            self.head_since.store(self.now(), Relaxed);
        }
    }

    /// A head is complete.
    pub(crate) fn head_done(&self) {
        self.head_since.store(NONE, Relaxed);
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        self.in_flight
            .store(self.in_flight.load(Relaxed) + 1, Relaxed);
    }

    /// A request ended, with the last byte of its answer.
    pub(crate) fn end(&self, now: std::time::Instant) {
        let left = self.in_flight.load(Relaxed).saturating_sub(1);
        self.in_flight.store(left, Relaxed);
        if left == 0 {
            self.idle_since.store(self.at(now.into()), Relaxed);
        }
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Relaxed) > 0
    }

    /// Whether writing is blocked by the client.
    pub(crate) fn stalled(&self, stalled: bool) {
        if !stalled {
            self.stalled_since.store(NONE, Relaxed);
        } else if self.stalled_since.load(Relaxed) == NONE {
            self.stalled_since.store(self.now(), Relaxed);
        }
    }

    /// When the connection must be closed if nothing happens until then. `stopping` since when, if at all.
    pub(crate) fn due(&self, timeouts: &Timeouts, stopping: Option<Instant>) -> Option<Instant> {
        let at = |since: u64, limit: Duration| {
            (since != NONE).then(|| self.epoch + Duration::from_millis(since) + limit)
        };
        let quiet = self.in_flight.load(Relaxed) == 0;
        if !quiet && self.stalled_since.load(Relaxed) == NONE {
            return None;
        }
        let idle_since = self.idle_since.load(Relaxed);
        // While a request is in flight, the next one may take its time.
        let head_since = match self.head_since.load(Relaxed) {
            NONE => NONE,
            since => since.max(idle_since),
        };
        [
            at(self.stalled_since.load(Relaxed), timeouts.idle),
            at(head_since, timeouts.header).filter(|_| quiet),
            at(idle_since, timeouts.idle).filter(|_| quiet),
            stopping.filter(|_| quiet).map(|since| since + STOP_GRACE),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// A request to change the protocol passed; nothing is read until it is answered.
    pub(crate) fn await_upgrade(&self) {
        self.upgrade.store(OPEN, Relaxed);
    }

    /// The answer to that request.
    pub(crate) fn answer_upgrade(&self, answer: UpgradeAnswer) {
        let code = match answer {
            UpgradeAnswer::Granted => GRANTED,
            UpgradeAnswer::Denied => DENIED,
        };
        self.upgrade.store(code, Relaxed);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for that answer.
    pub(crate) fn poll_upgrade(&self, context: &mut Context<'_>) -> Poll<UpgradeAnswer> {
        match self.upgrade.load(Relaxed) {
            GRANTED => Poll::Ready(UpgradeAnswer::Granted),
            DENIED => Poll::Ready(UpgradeAnswer::Denied),
            _ => {
                let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
