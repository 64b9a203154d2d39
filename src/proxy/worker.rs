//! What one thread of the data plane owns. Nothing here is shared with another thread on the way of a request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::access_log::AccessLog;
use super::cache::SessionCache;
use super::connect::Connector;
use super::head::IdentityHead;
use super::live::LiveStreams;
use super::pool::Pool;
use super::request_id::RequestIds;
use super::stats::{AppStats, WorkerStats};
use crate::config::{App, Upstream};
use crate::forward::firewall::Firewall;
use crate::usher::Usher;

/// How often a thread looks after its log, its streams and its idle connections.
const ROUND: Duration = Duration::from_millis(100);
/// Rounds between two sweeps of what is kept for long.
const SWEEP_EVERY: u32 = 300;

/// One loaded config as a thread sees it.
#[derive(Debug)]
pub(crate) struct View {
    /// What exists.
    pub(crate) usher: Arc<Usher>,
    /// One for each app, in the order of the config.
    pub(crate) apps: Vec<AppView>,
    /// Counters of what belongs to no app.
    pub(crate) no_app: Arc<AppStats>,
    /// What an app is told of nobody in particular.
    pub(crate) nobody: IdentityHead,
}

/// A thread's own part of an app.
#[derive(Debug)]
pub(crate) struct AppView {
    /// Connections to it; none for an app without an upstream.
    pub(crate) pool: Option<Arc<Pool>>,
    /// Its counters.
    pub(crate) stats: Arc<AppStats>,
}

impl View {
    /// The place of an app in the config.
    pub(crate) fn place(&self, app: &Arc<App>) -> Option<usize> {
        let apps = &self.usher.config.apps;
        apps.iter().position(|known| Arc::ptr_eq(known, app))
    }

    /// The app at that place with all that belongs to it.
    pub(crate) fn app(&self, place: usize) -> Option<(&Arc<App>, &AppView, &Firewall)> {
        Some((
            self.usher.config.apps.get(place)?,
            self.apps.get(place)?,
            self.usher.firewalls.get(place)?,
        ))
    }
}

/// Counts what must end before the process may.
#[derive(Debug, Default)]
pub(crate) struct Open {
    count: Mutex<usize>,
    none: Notify,
}

impl Open {
    /// One more; it counts until the ticket is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Ticket {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ticket(Arc::clone(self))
    }

    /// Waits until there is none.
    pub(crate) async fn none(&self) {
        loop {
            let waiting = self.none.notified();
            if *self.count.lock().unwrap_or_else(PoisonError::into_inner) == 0 {
                return;
            }
            waiting.await;
        }
    }
}

/// One thing that is open.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Open>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.none.notify_waiters();
            self.0.none.notify_one();
        }
    }
}

/// One thread of the data plane.
#[derive(Debug)]
pub(crate) struct Worker {
    state: Arc<ArcSwap<Usher>>,
    view: Mutex<Option<Arc<View>>>,
    sessions: Mutex<SessionCache>,
    /// The access log.
    pub(crate) log: AccessLog,
    /// Streaming answers.
    pub(crate) live: LiveStreams,
    /// Counters.
    pub(crate) stats: Arc<WorkerStats>,
    /// Request ids.
    pub(crate) ids: RequestIds,
    /// Makes connections to apps.
    connector: Connector,
    /// Connections and tunnels.
    pub(crate) open: Arc<Open>,
    /// Fires when usher stops.
    pub(crate) stop: CancellationToken,
}

impl Worker {
    /// A thread's belongings.
    pub(crate) fn new(
        state: Arc<ArcSwap<Usher>>,
        log: AccessLog,
        stats: Arc<WorkerStats>,
        connector: Connector,
        stop: CancellationToken,
    ) -> Self {
        Self {
            state,
            view: Mutex::new(None),
            sessions: Mutex::default(),
            log,
            live: LiveStreams::default(),
            stats,
            ids: RequestIds::new(),
            connector,
            open: Arc::default(),
            stop,
        }
    }

    /// The present config. After a reload, what the thread knew of sessions is forgotten.
    pub(crate) fn view(&self) -> Arc<View> {
        let current = self.state.load();
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = view
            .as_ref()
            .filter(|view| Arc::ptr_eq(&view.usher, &current))
        {
            return Arc::clone(view);
        }
        self.sessions().clear();
        let fresh = Arc::new(self.look(Arc::clone(&current), view.as_deref()));
        *view = Some(Arc::clone(&fresh));
        fresh
    }

    /// Builds the view of a config; connections to apps that stay are kept.
    fn look(&self, usher: Arc<Usher>, former: Option<&View>) -> View {
        let mut pools: HashMap<Upstream, Arc<Pool>> = former
            .into_iter()
            .flat_map(|view| view.apps.iter())
            .filter_map(|app| app.pool.as_ref())
            .map(|pool| (pool.upstream().clone(), Arc::clone(pool)))
            .collect();
        let apps = usher.config.apps.iter().map(|app| {
            let pool = app.upstream.as_ref().map(|upstream| {
                let pool = pools.entry(upstream.clone()).or_insert_with(|| {
                    Arc::new(Pool::new(upstream.clone(), self.connector.clone()))
                });
                Arc::clone(pool)
            });
            AppView {
                pool,
                stats: self.stats.app(app.id.as_str()),
            }
        });
        View {
            apps: apps.collect(),
            no_app: self.stats.app("-"),
            nobody: IdentityHead::anonymous(),
            usher,
        }
    }

    /// The sessions of this thread. Never held over an await.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, SessionCache> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sessions that only a stream uses are renewed too, or the IdP's word would never reach it.
    fn renew_for_streams(&self) {
        let now = Timestamp::now();
        let due = self.sessions().due(now);
        if due.is_empty() {
            return;
        }
        let usher = Arc::clone(&self.view().usher);
        for session in due {
            let usher = Arc::clone(&usher);
            tokio::spawn(async move { usher.sign_in.renew_if_due(&session, now).await });
        }
    }

    /// Looks after the log, the streams and the idle connections until the thread ends.
    pub(crate) async fn keep_house(self: Arc<Self>) {
        let mut interval = tokio::time::interval(ROUND);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = 0u32;
        loop {
            interval.tick().await;
            self.log.flush();
            self.live.cut_ended(Timestamp::now());
            round = round.wrapping_add(1);
            if round.is_multiple_of(10) {
                self.renew_for_streams();
                for pool in self.view().apps.iter().filter_map(|app| app.pool.as_ref()) {
                    pool.evict();
                }
            }
            if round.is_multiple_of(SWEEP_EVERY) {
                self.sessions().sweep(Timestamp::now());
            }
        }
    }
}
