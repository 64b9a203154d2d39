//! Sessions: a random id in one cookie, its SHA-256 in the store, a shared cache in front, and the
//! live streams (WebSocket, SSE, long polls) that end with their session.

mod change;
mod list;
mod registry;
mod rows;
mod sessions;
mod streams;

pub use list::SessionRow;
pub use sessions::{CreateError, Sessions};
pub use streams::{Since, Streams};

use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::identity::{IdpId, NameId, Person, UserId};
use crate::secret::Secret;

/// Characters of a cookie value: 256 bits as base64url.
const COOKIE_LEN: usize = 43;

const BASE64URL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_');
        byte += 1;
    }
    table
};

/// SHA-256 of the cookie value: the key in the cache and in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub [u8; 32]);

impl SessionKey {
    /// Of a cookie value as it was sent; `None` unless it is exactly 43 base64url characters (256 bits).
    pub fn of_cookie(value: &[u8]) -> Option<Self> {
        let well_formed =
            value.len() == COOKIE_LEN && value.iter().all(|byte| BASE64URL[usize::from(*byte)]);
        well_formed.then(|| Self::digest(value))
    }

    fn digest(value: &[u8]) -> Self {
        Self(
            digest(&SHA256, value)
                .as_ref()
                .try_into()
                .unwrap_or_default(),
        )
    }

    /// As the store writes it.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Of what [`SessionKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

/// A live session. All replicas of it (one for each thread's cache) are the same `Arc`, so that its
/// end is seen everywhere at once. Nothing here is written on the hot path but `seen_at`, once a minute at most.
///
/// Whoever watches `ended` keeps the `Arc` as long as it does: a session that nobody holds may leave the cache, and is
/// another `Arc` when it comes back.
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
    /// The IdP's own session id (`sid` claim, SAML `SessionIndex`), where given.
    pub idp_session: Option<String>,
    /// Last use, in Unix seconds; written at most once a minute.
    pub(crate) seen_at: AtomicI64,
    /// When the store last confirmed it, in Unix seconds.
    pub(crate) confirmed_at: AtomicI64,
    /// When its attributes are due to be renewed at the IdP, in Unix seconds; `i64::MAX`: never.
    pub renew_at: AtomicI64,
    /// Whose session it is; swapped when attributes, roles or accounts change.
    pub person: ArcSwap<Person>,
    /// Its live streams, which a lost role cuts.
    pub streams: Streams,
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
    /// When it ends at the latest, where the IdP says so; else the configured lifetime alone counts.
    pub ends_at: Option<Timestamp>,
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
    /// For SAML single logout.
    pub name_id: Option<NameId>,
}

/// What to end.
#[derive(Clone, Debug)]
pub enum Which<'a> {
    /// One session.
    One(&'a SessionKey),
    /// The one with that public id ([`Session::sid`]).
    Sid(&'a str),
    /// All of a user.
    User(&'a UserId),
    /// All that began at an IdP under a name.
    Named(Named<'a>),
    /// All of a subject, or of one session of the IdP, as OIDC names them.
    Subject(OfSubject<'a>),
}

/// Sessions by the name that their IdP knows (SAML single logout).
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The IdP.
    pub idp: &'a IdpId,
    /// Format and value; the qualifiers are not compared.
    pub name_id: &'a NameId,
    /// The IdP's sessions that end; empty: all.
    pub idp_sessions: &'a [String],
}

/// Sessions by what an OIDC IdP says in a logout (Back-Channel Logout 1.0, 2.4); what is given must fit, and one of both is.
#[derive(Clone, Copy, Debug)]
pub struct OfSubject<'a> {
    /// The IdP.
    pub idp: &'a IdpId,
    /// `sub`.
    pub sub: Option<&'a str>,
    /// `sid`.
    pub idp_session: Option<&'a str>,
}

#[cfg(test)]
mod tests;
