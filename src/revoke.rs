//! The one way to take access away. Whoever ends a session for any reason comes through here, so
//! that replicas have one place to be told later.

use jiff::Timestamp;

use serde_json::json;

use crate::audit::{Action, Audit, By, Entry};
use crate::config::Config;
use crate::directory::Directory;
use crate::identity::{IdpId, UserId};
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

    /// For the log, as a sentence.
    fn sentence(self) -> &'static str {
        match self {
            Self::SignedOut => "the person signed out",
            Self::Replaced => "the same browser signed in anew",
            Self::IdpEnded => "the identity provider ended the session",
            Self::Admin => "an admin ended the session",
            Self::Deactivated => "the user was deactivated",
            Self::AccessLost => "no role is left that lets the user in",
        }
    }
}

/// Ends sessions in the store, then everywhere in this process: caches, WebSockets, SSE and long polls. Gives how many there
/// were; each user of them gets a line in the log.
///
/// # Errors
/// If it could not be written; then nothing ended, and the caller says so (503). That the log could not be written is no
/// error here: access ends in any case.
pub async fn revoke(
    sessions: &Sessions,
    audit: &Audit,
    which: Which<'_>,
    why: Why,
    by: &By,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let idp = idp_of(&which).cloned();
    let mut users = sessions.end(which, now).await?;
    let ended = users.len();
    users.sort_unstable();
    for of_one in users.chunk_by(|one, next| one == next) {
        let (Some(user), count) = (of_one.first(), of_one.len()) else {
            continue;
        };
        tracing::info!(event = "revoked", why = why.code(), %user, sessions = count, "sessions ended");
        let entry = Entry::new(Action::SessionsEnded, by, why.sentence())
            .about(user)
            .with(json!({ "why": why.code(), "sessions": count }));
        let entry = match &idp {
            Some(idp) => entry.at_idp(idp),
            None => entry,
        };
        if let Err(error) = audit.record(&entry, now).await {
            tracing::error!(event = "audit_failed", %user, cause = %error, "the end of sessions is not in the audit log");
        }
    }
    Ok(ended)
}

/// The IdP that ended them, where it was one.
fn idp_of<'a>(which: &Which<'a>) -> Option<&'a IdpId> {
    match which {
        Which::One(_) | Which::Sid(_) | Which::User(_) => None,
        Which::Named(named) => Some(named.idp),
        Which::Subject(of) => Some(of.idp),
    }
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
    let (audit, by) = (scene.directory.audit(), By::system());
    revoke(scene.sessions, audit, Which::User(user), why, &by, now).await?;
    Ok(())
}
