//! The cache in front of the store: at most one live `Arc` for each session, so that its end is
//! seen by whoever holds it; and one load at a time for each key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Session, SessionKey};
use crate::identity::UserId;
use crate::store::StoreError;

/// Locks that share the keys between them; a power of two up to 256.
const SHARDS: usize = 64;

/// Live sessions and loads under way, in shards.
#[derive(Debug)]
pub(super) struct Registry {
    shards: Vec<Mutex<Shard>>,
    /// The keys of each user's sessions in the cache, so that a change of one person does not look at everybody's.
    /// Locked last, and only for a moment.
    users: Mutex<HashMap<UserId, Vec<SessionKey>>>,
    /// Sessions in one shard beyond which the ones that nobody holds are evicted.
    bound: usize,
}

#[derive(Debug, Default)]
struct Shard {
    live: HashMap<SessionKey, Arc<Session>>,
    loads: HashMap<SessionKey, Arc<Load>>,
}

/// A look into the store that is under way for a key.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Held by the one that looks; the others then find the session in the cache, or here why there is none.
    pub(super) failed: tokio::sync::Mutex<Option<StoreError>>,
    /// Set by an end that may have come after the look: what was read must not go into the cache.
    ended: AtomicBool,
    /// Whose attributes, roles or accounts changed, maybe after the look: read again if it is theirs.
    changed: Mutex<Vec<UserId>>,
}

/// A share in the load of a key; with the last one the load is over.
pub(super) struct Ticket<'a> {
    registry: &'a Registry,
    key: SessionKey,
    load: Arc<Load>,
}

/// What became of a session that was read.
pub(super) enum Settled {
    /// It is the one in the cache now.
    Live(Arc<Session>),
    /// It ended meanwhile.
    Ended,
    /// What was read may be old: read again.
    Changed,
}

impl Registry {
    /// For about `bound` sessions, beyond those in use.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            users: Mutex::default(),
            bound: bound.div_ceil(SHARDS),
        }
    }

    fn shard(&self, key: &SessionKey) -> MutexGuard<'_, Shard> {
        // Keys are hashes: any byte of them spreads evenly.
        let at = usize::from(key.0[0]) % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The session in the cache.
    pub(super) fn live(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.shard(key).live.get(key).cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.each().map(|shard| shard.live.len()).sum()
    }

    /// The sessions that `wanted` picks; looks at all.
    pub(super) fn pick(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut picked = Vec::new();
        for shard in self.each() {
            picked.extend(shard.live.values().filter(|one| wanted(one)).cloned());
        }
        picked
    }

    /// The sessions of a user in the cache.
    pub(super) fn of_user(&self, user: &UserId) -> Vec<Arc<Session>> {
        let keys = self.users().get(user).cloned().unwrap_or_default();
        keys.iter().filter_map(|key| self.live(key)).collect()
    }

    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Vec<SessionKey>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session is in the cache; under the lock of its shard.
    fn enlist(&self, session: &Session) {
        let user = session.person.load().user.clone();
        self.users().entry(user).or_default().push(session.key);
    }

    /// Notes that a session is no longer in the cache; under the lock of its shard.
    fn strike(&self, session: &Session) {
        let mut users = self.users();
        let user = &session.person.load().user;
        let Some(keys) = users.get_mut(user) else {
            return;
        };
        keys.retain(|key| *key != session.key);
        if keys.is_empty() {
            users.remove(user);
        }
        if users.capacity() > 4 * users.len().max(1024) {
            users.shrink_to_fit();
        }
    }

    /// Joins the load of a key, or begins it.
    pub(super) fn ticket(&self, key: SessionKey) -> Ticket<'_> {
        let load = Arc::clone(self.shard(&key).loads.entry(key).or_default());
        Ticket {
            registry: self,
            key,
            load,
        }
    }

    /// Takes a session out of the cache for good, and out of a load that is under way; call it after the store knows.
    /// Gives the one that was in the cache.
    pub(super) fn end(&self, key: &SessionKey) -> Option<Arc<Session>> {
        let session = {
            let mut shard = self.shard(key);
            if let Some(load) = shard.loads.get(key) {
                load.ended.store(true, Ordering::Release);
            }
            let session = shard.live.remove(key);
            if let Some(session) = &session {
                self.strike(session);
            }
            session
        };
        // Outside the lock: this wakes the streams.
        session.inspect(|session| session.ended.cancel())
    }

    /// Makes every load under way read again that turns out to be of this user.
    pub(super) fn change_loads(&self, user: &UserId) {
        for shard in self.each() {
            for load in shard.loads.values() {
                load.changed().push(user.clone());
            }
        }
    }

    /// Drops sessions that nobody holds and that the store did not confirm since `second`: nobody used them.
    pub(super) fn forget_unused(&self, second: i64) {
        for mut shard in self.each() {
            shard.live.retain(|_, session| {
                let kept = Arc::strong_count(session) > 1
                    || session.confirmed_at.load(Ordering::Relaxed) >= second;
                if !kept {
                    self.strike(session);
                }
                kept
            });
            if shard.live.capacity() > 4 * shard.live.len().max(16) {
                shard.live.shrink_to_fit();
            }
        }
    }
}

impl Shard {
    /// Makes room by dropping the quarter that the store confirmed longest ago, except what somebody holds: its end
    /// must still be found here. (Only this map gives out the first copy, under the lock, so a count of one is certain.)
    fn evict(&mut self, bound: usize) -> Vec<Arc<Session>> {
        let mut unused: Vec<_> = self
            .live
            .iter()
            .filter(|(_, session)| Arc::strong_count(session) == 1)
            .map(|(key, session)| (session.confirmed_at.load(Ordering::Relaxed), *key))
            .collect();
        unused.sort_unstable();
        unused.truncate(bound.div_ceil(4));
        let evicted = unused.iter().filter_map(|(_, key)| self.live.remove(key));
        evicted.collect()
    }
}

impl Load {
    fn changed(&self) -> MutexGuard<'_, Vec<UserId>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// The load that it is a share of.
    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    /// Before the store is read: what changed until here is seen by reading.
    pub(super) fn begin(&self) {
        self.load.changed().clear();
    }

    /// After the store was read: puts the session into the cache, or `refresh`es the one that is there.
    /// On the `last` try also if its user changed meanwhile: the caller then marks it as not confirmed.
    pub(super) fn settle(
        &self,
        user: &UserId,
        last: bool,
        made: impl FnOnce() -> Session,
        refresh: impl FnOnce(&Session),
    ) -> Settled {
        let mut shard = self.registry.shard(&self.key);
        if self.load.ended.load(Ordering::Acquire) {
            return Settled::Ended;
        }
        if std::mem::take(&mut *self.load.changed()).contains(user) && !last {
            return Settled::Changed;
        }
        if let Some(session) = shard.live.get(&self.key) {
            refresh(session);
            return Settled::Live(Arc::clone(session));
        }
        if shard.live.len() >= self.registry.bound {
            for evicted in shard.evict(self.registry.bound) {
                self.registry.strike(&evicted);
            }
        }
        let session = Arc::new(made());
        shard.live.insert(self.key, Arc::clone(&session));
        self.registry.enlist(&session);
        Settled::Live(session)
    }

    /// After a failure: whoever comes from now on tries anew, whoever waits already shares the failure.
    pub(super) fn retire(&self) {
        self.remove(&mut self.registry.shard(&self.key));
    }

    fn remove(&self, shard: &mut Shard) {
        if shard
            .loads
            .get(&self.key)
            .is_some_and(|load| Arc::ptr_eq(load, &self.load))
        {
            shard.loads.remove(&self.key);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut shard = self.registry.shard(&self.key);
        // The map's and this one: nobody else waits.
        if Arc::strong_count(&self.load) <= 2 {
            self.remove(&mut shard);
        }
    }
}
