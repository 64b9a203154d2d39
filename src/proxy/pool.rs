//! Connections of one thread to one app, kept for reuse.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connect::Connector;
use super::http1::Wire;
use super::timer::LazyTimer;
use crate::config::Upstream;

/// Idle connections that a thread keeps to one app.
const IDLE_LIMIT: usize = 256;
/// A connection is closed so long after it was lent for the last time: before most apps do it themselves.
const IDLE_FOR: Duration = Duration::from_secs(55);
/// A connection is not used again when it is so old, so that changes of DNS and balancing take effect.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The connections of one thread to one app.
#[derive(Debug)]
pub(crate) struct Pool {
    upstream: Upstream,
    connector: Connector,
    idle: Mutex<VecDeque<Box<Link>>>,
}

/// One connection to an app.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its bytes.
    pub(crate) wire: Wire,
    /// For the time until an answer begins.
    pub(crate) timer: LazyTimer,
    born: Instant,
    used_at: Instant,
}

/// A connection in use. Dropped, it is closed; [`Lease::release`]d, it is used again.
#[derive(Debug)]
pub(crate) struct Lease {
    /// The connection.
    pub(crate) link: Box<Link>,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
    pool: Arc<Pool>,
}

impl Link {
    fn is_fit(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(self.used_at) < IDLE_FOR
            && now.saturating_duration_since(self.born) < MAX_AGE
            && self.wire.is_quiet()
    }
}

impl Pool {
    /// Without any connection yet.
    pub(crate) fn new(upstream: Upstream, connector: Connector) -> Self {
        Self {
            upstream,
            connector,
            idle: Mutex::default(),
        }
    }

    /// Where it leads.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Box<Link>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last, if there is one that is open and fit.
    pub(crate) fn take(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let mut idle = self.idle();
        while let Some(mut link) = idle.pop_back() {
            if link.is_fit(now) {
                // From when it is lent: to ask for the time again costs more than it tells.
                link.used_at = now;
                return Some(Lease {
                    link,
                    reused: true,
                    pool: Arc::clone(self),
                });
            }
        }
        None
    }

    /// A new connection.
    ///
    /// # Errors
    /// Where there is none `within` that time.
    pub(crate) async fn connect(self: &Arc<Self>, within: Duration) -> std::io::Result<Lease> {
        let stream = self.connector.connect(&self.upstream, within).await?;
        let now = Instant::now();
        Ok(Lease {
            link: Box::new(Link {
                wire: Wire::new(stream),
                timer: LazyTimer::new(),
                born: now,
                used_at: now,
            }),
            reused: false,
            pool: Arc::clone(self),
        })
    }

    /// Closes what is no longer fit.
    pub(crate) fn evict(&self) {
        let now = Instant::now();
        self.idle().retain_mut(|link| link.is_fit(now));
    }
}

impl Lease {
    /// Gives the connection back after a whole answer.
    pub(crate) fn release(self) {
        let mut link = self.link;
        link.wire.rest();
        let mut idle = self.pool.idle();
        if idle.len() >= IDLE_LIMIT {
            idle.pop_front();
        }
        idle.push_back(link);
    }

    /// Takes the connection out of the pool for good.
    pub(crate) fn into_wire(self) -> Wire {
        self.link.wire
    }
}
