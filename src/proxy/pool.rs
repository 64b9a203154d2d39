//! Connections of one thread to one app, kept for reuse.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::body::ClientBody;
use super::connect::Connector;
use super::timer::LazyTimer;
use crate::config::Upstream;

/// Idle connections that a thread keeps to one app.
const IDLE_LIMIT: usize = 256;
/// An idle connection is closed after so long: before most apps do it themselves.
const IDLE_FOR: Duration = Duration::from_secs(55);
/// A connection is not used again when it is so old, so that changes of DNS and balancing take effect.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Bytes of an answer's head; beyond, the app is taken to be broken.
const ANSWER_HEAD_LIMIT: usize = 64 * 1024;

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
    /// Sends requests on it.
    pub(crate) sender: SendRequest<ClientBody>,
    /// For the time until an answer begins.
    pub(crate) timer: LazyTimer,
    got_byte: Arc<AtomicBool>,
    born: Instant,
    idle_since: Instant,
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

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// It could not be made.
    #[error("no connection to the app: {0}")]
    Connect(#[from] std::io::Error),
    /// HTTP could not begin on it.
    #[error("no HTTP with the app: {0}")]
    Http(#[from] hyper::Error),
}

impl Link {
    fn is_fit(&self, now: Instant) -> bool {
        !self.sender.is_closed()
            && now.saturating_duration_since(self.idle_since) < IDLE_FOR
            && now.saturating_duration_since(self.born) < MAX_AGE
    }

    /// Forgets what the app has sent so far.
    pub(crate) fn listen(&self) {
        self.got_byte.store(false, Relaxed);
    }

    /// Whether the app has sent any byte since [`Link::listen`].
    pub(crate) fn got_byte(&self) -> bool {
        self.got_byte.load(Relaxed)
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

    /// The connection that was used last, if there is one that is open, fit and ready.
    pub(crate) fn take(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let mut idle = self.idle();
        let mut busy = Vec::new();
        let mut found = None;
        while let Some(link) = idle.pop_back() {
            if !link.is_fit(now) {
                continue;
            }
            if link.sender.is_ready() {
                found = Some(link);
                break;
            }
            // Its last request body is not at its end yet.
            busy.push(link);
        }
        idle.extend(busy);
        Some(Lease {
            link: found?,
            reused: true,
            pool: Arc::clone(self),
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// Where there is none `within` that time.
    pub(crate) async fn connect(self: &Arc<Self>, within: Duration) -> Result<Lease, PoolError> {
        let got_byte = Arc::new(AtomicBool::new(false));
        let stream = self
            .connector
            .connect(&self.upstream, within, Arc::clone(&got_byte))
            .await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(ANSWER_HEAD_LIMIT)
            .max_header_size(ANSWER_HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an app ended");
            }
        });
        let now = Instant::now();
        Ok(Lease {
            link: Box::new(Link {
                sender,
                timer: LazyTimer::new(),
                got_byte,
                born: now,
                idle_since: now,
            }),
            reused: false,
            pool: Arc::clone(self),
        })
    }

    /// Closes what is no longer fit.
    pub(crate) fn evict(&self) {
        let now = Instant::now();
        self.idle().retain(|link| link.is_fit(now));
    }
}

impl Lease {
    /// Gives the connection back after a whole answer.
    pub(crate) fn release(self) {
        let mut link = self.link;
        if link.sender.is_closed() {
            return;
        }
        link.idle_since = Instant::now();
        let mut idle = self.pool.idle();
        if idle.len() >= IDLE_LIMIT {
            idle.pop_front();
        }
        idle.push_back(link);
    }
}
