//! The sessions themselves: made, found, kept fresh and ended.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::change::replace;
use super::registry::{Registry, Settled, Ticket};
use super::{NewSession, Session, SessionKey, Streams, Tokens, Which, rows};
use crate::config::SessionsConfig;
use crate::directory::Directory;
use crate::identity::{NameId, UserId};
use crate::seal::SealRing;
use crate::secret::Secret;
use crate::store::{Store, StoreError};

/// Sessions in the cache beyond which the unused ones are evicted.
const CACHED: usize = 20_000;
/// Seconds after which the store is asked again whether a session still lives.
const CONFIRMED_FOR: i64 = 20;
/// Seconds that a confirmation counts for while the store fails.
const GRACE: i64 = 30;
/// Seconds between two writes of the last use.
pub(super) const SEEN_EVERY: i64 = 60;
/// Seconds without use after which a session leaves the cache (not the store).
const UNUSED_FOR: i64 = 120;
/// Reads of one load at most, while the person behind it keeps changing.
const READS: usize = 8;
/// What tokens are sealed for.
const PURPOSE: &str = "tokens";

/// All sessions; shared by all threads.
pub struct Sessions {
    pub(super) store: Store,
    pub(super) directory: Directory,
    seal: ArcSwap<SealRing>,
    /// Seconds; changed by a reload.
    pub(super) idle_for: AtomicI64,
    /// Seconds; changed by a reload, for sessions made from then on.
    lifetime: AtomicI64,
    pub(super) registry: Registry,
    /// Last uses that wait to be written, and the turn of the one that writes them for all.
    unwritten: Mutex<Vec<(SessionKey, i64)>>,
    writing: tokio::sync::Mutex<()>,
    /// When the store failed last, in Unix seconds.
    failed_at: AtomicI64,
}

/// Why a session was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user was deactivated, or the session was ended, before it began.
    #[error("the session ended before it began")]
    Ended,
}

/// Tokens as they are sealed.
#[derive(Serialize, Deserialize)]
struct Plain {
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_id: Option<NameId>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sessions")
            .field("cached", &self.cached())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Over an open store.
    pub fn new(
        store: Store,
        directory: Directory,
        seal: Arc<SealRing>,
        config: SessionsConfig,
    ) -> Self {
        Self {
            store,
            directory,
            seal: ArcSwap::new(seal),
            idle_for: AtomicI64::new(in_seconds(config.idle_for)),
            lifetime: AtomicI64::new(in_seconds(config.lifetime)),
            registry: Registry::new(CACHED),
            unwritten: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            failed_at: AtomicI64::new(i64::MIN),
        }
    }

    /// Takes over what a reload of the config changed. A session keeps its absolute end.
    pub fn reload(&self, seal: Arc<SealRing>, config: &SessionsConfig) {
        self.seal.store(seal);
        self.idle_for
            .store(in_seconds(config.idle_for), Ordering::Relaxed);
        self.lifetime
            .store(in_seconds(config.lifetime), Ordering::Relaxed);
    }

    /// Makes a session and gives the cookie value (43 base64url characters of 256 random bits), which is kept nowhere.
    ///
    /// # Errors
    /// `Ended` where the user was deactivated, or the session was ended, before it began.
    pub async fn create(
        &self,
        new: NewSession,
        now: Timestamp,
    ) -> Result<(Secret, Arc<Session>), CreateError> {
        let cookie = URL_SAFE_NO_PAD.encode(random::<32>()?);
        let key = SessionKey::digest(cookie.as_bytes());
        let lifetime = SignedDuration::from_secs(self.lifetime.load(Ordering::Relaxed));
        let sealed = self.seal_tokens(&new.tokens)?;
        let name_id_key = new.tokens.name_id.as_ref().map(NameId::key);
        let at_the_latest = new.ends_at.unwrap_or(Timestamp::MAX);
        let session = Session {
            key,
            sid: format!(
                "ses_{}",
                uuid::Builder::from_random_bytes(random::<16>()?)
                    .into_uuid()
                    .simple()
            ),
            origin: new.origin,
            authenticated_at: new.authenticated_at,
            acr: new.acr,
            expires_at: now
                .saturating_add(lifetime)
                .unwrap_or(Timestamp::MAX)
                .min(at_the_latest),
            created_at: now,
            idp_session: new.idp_session,
            seen_at: AtomicI64::new(now.as_second()),
            confirmed_at: AtomicI64::new(now.as_second()),
            renew_at: AtomicI64::new(seconds(new.renew_at)),
            person: ArcSwap::from_pointee(new.person),
            streams: Streams::default(),
            ended: CancellationToken::new(),
        };
        // Taken before the store knows it: an end that comes right after the write is not missed.
        let ticket = self.registry.ticket(key);
        if !rows::insert(&self.store, &session, name_id_key.as_deref(), &sealed).await? {
            return Err(CreateError::Ended);
        }
        let user = session.person.load().user.clone();
        match ticket.settle(&user, false, || session, |_| ()) {
            Settled::Live(session) => Ok((Secret::new(cookie), session)),
            // It ended, or its person changed, before it began: the first request reads it anew.
            Settled::Ended => Err(CreateError::Ended),
            Settled::Changed => {
                let session = self.load(&key, None, &ticket, now).await?;
                let session = session.ok_or(CreateError::Ended)?;
                Ok((Secret::new(cookie), session))
            }
        }
    }

    /// The live session of `key` at `origin`: from the cache or from the store. `None` when unknown, ended, idle or over.
    /// Errors only if neither the store nor a confirmation younger than 30 s can tell.
    pub async fn find(
        &self,
        key: &SessionKey,
        origin: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let known = self.registry.live(key);
        let found = match known {
            Some(session) if self.is_good_enough(&session, now) => Some(session),
            known => {
                let ticket = self.registry.ticket(*key);
                self.load(key, known, &ticket, now).await?
            }
        };
        Ok(found.filter(|session| session.origin == origin && self.is_alive(session, now)))
    }

    /// Confirmed lately, or within the grace while the store failed a moment ago (so that not every request waits for it).
    fn is_good_enough(&self, session: &Session, now: Timestamp) -> bool {
        let age = now.as_second() - session.confirmed_at.load(Ordering::Relaxed);
        let failed = now.as_second() - self.failed_at.load(Ordering::Relaxed).max(0);
        age < CONFIRMED_FOR || (age < GRACE && failed < 1)
    }

    /// Neither ended, nor over, nor idle.
    fn is_alive(&self, session: &Session, now: Timestamp) -> bool {
        let idle_for = self.idle_for.load(Ordering::Relaxed);
        let seen_at = session.seen_at.load(Ordering::Relaxed);
        !session.ended.is_cancelled()
            && now < session.expires_at
            && now.as_second() < seen_at.saturating_add(idle_for)
    }

    /// Reads a session, one caller at a time for each key; the others share what it found.
    async fn load(
        &self,
        key: &SessionKey,
        known: Option<Arc<Session>>,
        ticket: &Ticket<'_>,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let mut failed = ticket.load().failed.lock().await;
        let known = known.or_else(|| self.registry.live(key));
        if let Some(error) = &*failed {
            return within_grace(known, error.clone(), now);
        }
        if let Some(session) = &known
            && now.as_second() - session.confirmed_at.load(Ordering::Relaxed) < CONFIRMED_FOR
        {
            return Ok(known);
        }
        match self.read(key, ticket, now).await {
            Ok(found) => Ok(found),
            Err(error) => {
                self.failed_at.store(now.as_second(), Ordering::Relaxed);
                *failed = Some(error.clone());
                ticket.retire();
                within_grace(known, error, now)
            }
        }
    }

    async fn read(
        &self,
        key: &SessionKey,
        ticket: &Ticket<'_>,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        for tries in 1..=READS {
            let last = tries == READS;
            ticket.begin();
            let Some(row) = rows::read(&self.store, &self.directory, key).await? else {
                self.registry.end(key);
                return Ok(None);
            };
            let person = row.person.clone();
            let user = person.user.clone();
            // One change of the person after another: the latest is taken, and the next use reads it again.
            let confirmed_at = if last { 0 } else { now.as_second() };
            let refresh = |session: &Session| {
                session
                    .confirmed_at
                    .fetch_max(confirmed_at, Ordering::Relaxed);
                replace(session, person);
            };
            let made = || {
                let session = row.into_session(*key, now);
                session.confirmed_at.store(confirmed_at, Ordering::Relaxed);
                session
            };
            match ticket.settle(&user, last, made, refresh) {
                Settled::Live(session) => return Ok(Some(session)),
                Settled::Ended => return Ok(None),
                Settled::Changed => {}
            }
        }
        Err(StoreError("a session was not read".to_owned()))
    }

    /// For a thread's own cache: whether a session at hand may be used without asking again. False when it ended, is idle,
    /// over, due for renewal, or not confirmed for 20 s: then call [`Sessions::find`]. Reads atomics only.
    pub fn is_fresh(&self, session: &Session, now: Timestamp) -> bool {
        self.is_alive(session, now)
            && now.as_second() < session.renew_at.load(Ordering::Relaxed)
            && now.as_second() - session.confirmed_at.load(Ordering::Relaxed) < CONFIRMED_FOR
    }

    /// Notes a use; returns true at most once a minute for a session, and then the caller calls [`Sessions::write_seen`].
    pub fn touch(&self, session: &Session, now: Timestamp) -> bool {
        let now = now.as_second();
        let seen = session.seen_at.load(Ordering::Relaxed);
        now - seen >= SEEN_EVERY
            && session
                .seen_at
                .compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Writes the last use to the store, together with those of other sessions that wait at the same time.
    pub async fn write_seen(&self, session: &Session) -> Result<(), StoreError> {
        let seen = (session.key, session.seen_at.load(Ordering::Relaxed));
        self.unwritten().push(seen);
        self.write_all_seen().await
    }

    async fn write_all_seen(&self) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let seen = std::mem::take(&mut *self.unwritten());
        if seen.is_empty() {
            return Ok(());
        }
        let written = rows::put_seen(&self.store, &seen).await;
        if written.is_err() {
            // Kept for the next turn, unless the store is away for so long that they pile up.
            let mut unwritten = self.unwritten();
            if unwritten.len() + seen.len() <= 2 * CACHED {
                unwritten.extend(seen);
            }
        }
        written
    }

    fn unwritten(&self) -> std::sync::MutexGuard<'_, Vec<(SessionKey, i64)>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The tokens kept for a session; none for an unknown one, and none where the key that sealed them is gone.
    pub async fn tokens(&self, key: &SessionKey) -> Result<Tokens, StoreError> {
        let Some(sealed) = rows::tokens(&self.store, key).await? else {
            return Ok(Tokens::default());
        };
        if sealed.is_empty() {
            return Ok(Tokens::default());
        }
        let Ok(plain) = self.seal.load().open(PURPOSE, &sealed) else {
            tracing::warn!("the tokens of a session were sealed by a key that is gone");
            return Ok(Tokens::default());
        };
        let plain: Plain = serde_json::from_slice(&plain)?;
        Ok(Tokens {
            id_token: plain.id_token.map(Secret::new),
            refresh_token: plain.refresh_token.map(Secret::new),
            access_token: plain.access_token.map(Secret::new),
            name_id: plain.name_id,
        })
    }

    fn seal_tokens(&self, tokens: &Tokens) -> Result<String, StoreError> {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|one| one.expose().to_owned());
        let plain = Plain {
            id_token: text(&tokens.id_token),
            refresh_token: text(&tokens.refresh_token),
            access_token: text(&tokens.access_token),
            name_id: tokens.name_id.clone(),
        };
        let Plain {
            id_token: None,
            refresh_token: None,
            access_token: None,
            name_id: None,
        } = &plain
        else {
            return self.seal_plain(&plain);
        };
        Ok(String::new())
    }

    fn seal_plain(&self, plain: &Plain) -> Result<String, StoreError> {
        self.seal
            .load()
            .seal(PURPOSE, &serde_json::to_vec(plain)?)
            .map_err(|error| StoreError(error.to_string()))
    }

    /// Replaces the tokens after a renewal and sets the next one.
    pub async fn put_tokens(
        &self,
        session: &Session,
        tokens: &Tokens,
        renew_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let sealed = self.seal_tokens(tokens)?;
        let renew_at = seconds(renew_at);
        rows::put_tokens(&self.store, &session.key, &sealed, renew_at).await?;
        session.renew_at.store(renew_at, Ordering::Relaxed);
        Ok(())
    }

    /// Ends sessions in the store, then in the cache, then their live streams. Gives whose they were, once for each session.
    /// An error means that nothing ended for sure: the caller answers 503.
    pub async fn end(&self, which: Which<'_>, now: Timestamp) -> Result<Vec<UserId>, StoreError> {
        let _ = now;
        let stored = rows::delete(&self.store, &which).await?;
        let mut keys: Vec<SessionKey> = stored.iter().map(|(key, _)| *key).collect();
        // What another process deleted may still be here.
        if let Which::User(user) = which {
            // A session of theirs that is being made or read at this moment is read again, and is not there.
            self.registry.change_loads(user);
        }
        match which {
            Which::One(key) => keys.push(*key),
            Which::User(user) => keys.extend(self.registry.of_user(user).iter().map(|one| one.key)),
            Which::Sid(sid) => {
                let here = self.registry.pick(|session| session.sid == sid);
                keys.extend(here.iter().map(|one| one.key));
            }
            // The names stand in the store alone.
            Which::Named(_) | Which::Subject(_) => {}
        }
        let mut users = Vec::with_capacity(keys.len());
        for key in keys {
            let cached = self.registry.end(&key);
            let known = stored.iter().any(|(stored, _)| *stored == key);
            if let Some(session) = cached.filter(|_| !known) {
                users.push(session.person.load().user.clone());
            }
        }
        users.extend(stored.into_iter().map(|(_, user)| user));
        Ok(users)
    }

    /// Live sessions in the cache, for metrics.
    pub fn cached(&self) -> usize {
        self.registry.len()
    }

    /// Forgets what is over, in cache and store; called every minute. Streams of sessions that are over end here.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        for session in self.registry.pick(|session| !self.is_alive(session, now)) {
            self.registry.end(&session.key);
        }
        self.registry.forget_unused(now.as_second() - UNUSED_FOR);
        // The store knows of the last use a little later than the cache does.
        self.write_all_seen().await?;
        let idle_for = self.idle_for.load(Ordering::Relaxed);
        let idle_since = now.as_second().saturating_sub(idle_for) - 2 * SEEN_EVERY;
        rows::sweep(&self.store, now.as_second(), idle_since).await
    }
}

/// What a failing store leaves: a session confirmed less than 30 s ago goes on.
fn within_grace(
    known: Option<Arc<Session>>,
    error: StoreError,
    now: Timestamp,
) -> Result<Option<Arc<Session>>, StoreError> {
    known
        .filter(|session| now.as_second() - session.confirmed_at.load(Ordering::Relaxed) < GRACE)
        .map_or(Err(error), |session| Ok(Some(session)))
}

fn in_seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn seconds(time: Option<Timestamp>) -> i64 {
    time.map_or(i64::MAX, |time| time.as_second())
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError("no random numbers".to_owned()))?;
    Ok(bytes)
}
