//! Sessions: a random id in one cookie, its SHA-256 in the store, a shared cache in front, and the
//! live streams (WebSocket, SSE, long polls) that end with their session.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::config::SessionsConfig;
use crate::directory::Directory;
use crate::identity::{Person, UserId};
use crate::seal::SealRing;
use crate::secret::Secret;
use crate::store::{Store, StoreError};

/// SHA-256 of the cookie value: the key in the cache and in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub [u8; 32]);

impl SessionKey {
    /// Of a cookie value as it was sent; `None` unless it is exactly 43 base64url characters (256 bits).
    pub fn of_cookie(value: &[u8]) -> Option<Self> {
        let _ = value;
        todo!()
    }
}

/// A live session. All replicas of it (one for each thread's cache) are the same `Arc`, so that its
/// end is seen everywhere at once. Nothing here is written on the hot path but `seen_at`, once a minute at most.
#[derive(Debug)]
pub struct Session {
    /// Key in the store.
    pub key: SessionKey,
    /// Public id (`ses_…`), the `sid` of the signed header: never the cookie or its hash.
    pub sid: String,
    /// The origin of the site that it belongs to; elsewhere it is no session.
    pub origin: String,
    /// When the person signed in (OIDC `auth_time` where given).
    pub authenticated_at: Timestamp,
    /// OIDC `acr` where given.
    pub acr: Option<String>,
    /// Absolute end.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// The IdP's own session id (`sid` claim), where given.
    pub idp_session: Option<String>,
    /// Last use, in Unix seconds; written at most once a minute.
    pub(crate) seen_at: AtomicI64,
    /// When the store last confirmed it, in Unix seconds.
    pub(crate) confirmed_at: AtomicI64,
    /// When its attributes are due to be renewed at the IdP, in Unix seconds; `i64::MAX`: never.
    pub renew_at: AtomicI64,
    /// Whose session it is; swapped when attributes, roles or accounts change.
    pub person: ArcSwap<Person>,
    /// Cancelled when the session ends: live streams watch it.
    pub ended: CancellationToken,
}

/// What is needed to make a session.
#[derive(Debug)]
pub struct NewSession {
    /// Whose.
    pub person: Person,
    /// Origin of the site.
    pub origin: String,
    /// When the person signed in.
    pub authenticated_at: Timestamp,
    /// OIDC `acr`.
    pub acr: Option<String>,
    /// The IdP's session id.
    pub idp_session: Option<String>,
    /// Tokens to keep (sealed) for renewal and sign-out.
    pub tokens: Tokens,
    /// When attributes are due to be renewed; none: never.
    pub renew_at: Option<Timestamp>,
}

/// Tokens of the IdP that never leave the server.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// For `id_token_hint`.
    pub id_token: Option<Secret>,
    /// For renewal.
    pub refresh_token: Option<Secret>,
    /// For userinfo polls where there is no refresh token.
    pub access_token: Option<Secret>,
}

/// What to end.
#[derive(Clone, Debug)]
pub enum Which<'a> {
    /// One session.
    One(&'a SessionKey),
    /// All of a user.
    User(&'a UserId),
}

/// All sessions; shared by all threads.
#[derive(Debug)]
pub struct Sessions {
    #[allow(dead_code)]
    store: Store,
}

impl Sessions {
    /// Over an open store.
    pub fn new(
        store: Store,
        directory: Directory,
        seal: Arc<SealRing>,
        config: SessionsConfig,
    ) -> Self {
        let _ = (directory, seal, config);
        Self { store }
    }

    /// Makes a session and gives the cookie value (43 base64url characters of 256 random bits), which is kept nowhere.
    pub async fn create(
        &self,
        new: NewSession,
        now: Timestamp,
    ) -> Result<(Secret, Arc<Session>), StoreError> {
        let _ = (new, now);
        todo!()
    }

    /// The live session of `key` at `origin`: from the cache or from the store. `None` when unknown, ended, idle or over.
    /// Errors only if neither the store nor a confirmation younger than 30 s can tell.
    pub async fn find(
        &self,
        key: &SessionKey,
        origin: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let _ = (key, origin, now);
        todo!()
    }

    /// For a thread's own cache: whether a session at hand may be used without asking again. False when it ended, is idle,
    /// over, due for renewal, or not confirmed for 20 s: then call [`Sessions::find`]. Reads atomics only.
    pub fn is_fresh(&self, session: &Session, now: Timestamp) -> bool {
        let _ = (session, now);
        todo!()
    }

    /// Notes a use; returns true at most once a minute for a session, and then the caller calls [`Sessions::write_seen`].
    pub fn touch(&self, session: &Session, now: Timestamp) -> bool {
        let _ = (session, now);
        todo!()
    }

    /// Writes the last use to the store.
    pub async fn write_seen(&self, session: &Session) -> Result<(), StoreError> {
        let _ = session;
        todo!()
    }

    /// The tokens kept for a session.
    pub async fn tokens(&self, key: &SessionKey) -> Result<Tokens, StoreError> {
        let _ = key;
        todo!()
    }

    /// Replaces the tokens after a renewal and sets the next one.
    pub async fn put_tokens(
        &self,
        session: &Session,
        tokens: &Tokens,
        renew_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let _ = (session, tokens, renew_at);
        todo!()
    }

    /// Ends sessions in the store, then in the cache, then their live streams. Returns how many there were.
    /// An error means that nothing ended for sure: the caller answers 503.
    pub async fn end(&self, which: Which<'_>, now: Timestamp) -> Result<usize, StoreError> {
        let _ = (which, now);
        todo!()
    }

    /// Loads the person anew into all live sessions of a user: after a change of attributes, roles or accounts.
    pub async fn reload_person(&self, user: &UserId) -> Result<(), StoreError> {
        let _ = user;
        todo!()
    }

    /// Live sessions in the cache, for metrics.
    pub fn cached(&self) -> usize {
        todo!()
    }

    /// Forgets what is over, in cache and store; called every minute.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let _ = now;
        todo!()
    }
}
