//! The one way to take access away. Whoever ends a session for any reason comes through here, so
//! that replicas have one place to be told later.

use jiff::Timestamp;

use serde_json::json;

use crate::access::standing::{self, Standing, standing};
use crate::audit::{Action, Audit, By, Entry};
use crate::config::{App, Config, Site};
use crate::directory::Directory;
use crate::identity::{IdpId, Person, UserId};
use crate::session::{Session, Sessions, Which};
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
    /// The sign-in could not be written to the audit log.
    NotRecorded,
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
            Self::NotRecorded => "not_recorded",
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
            Self::NotRecorded => "the sign-in could not be written to the audit log",
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
    let mut entries = Vec::new();
    for of_one in users.chunk_by(|one, next| one == next) {
        let (Some(user), count) = (of_one.first(), of_one.len()) else {
            continue;
        };
        tracing::info!(event = "revoked", why = why.code(), %user, sessions = count, "sessions ended");
        let entry = Entry::new(Action::SessionsEnded, by, why.sentence())
            .about(user)
            .with(json!({ "why": why.code(), "sessions": count }));
        entries.push(match &idp {
            Some(idp) => entry.at_idp(idp),
            None => entry,
        });
    }
    if entries.is_empty() {
        return Ok(0);
    }
    if let Err(error) = audit.record_all(&entries, now).await {
        tracing::error!(event = "audit_failed", why = why.code(), sessions = ended, cause = %error, "the end of sessions is not in the audit log");
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

/// After any change of a user in the directory: live sessions see it now, streams of a session that lost a role are cut,
/// sessions of a user who is deactivated or whom no app of their site gives a role any more end. What the apps are told comes
/// after it, from the outbox.
///
/// # Errors
/// If the store fails; the change itself stands, and the outbox comes back to it.
pub async fn follow(
    scene: Scene<'_>,
    user: &UserId,
    why: Why,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Scene {
        config,
        directory,
        sessions,
    } = scene;
    let (audit, by) = (directory.audit(), By::system());
    if !directory.is_active(user).await? {
        revoke(sessions, audit, Which::User(user), why, &by, now).await?;
        return Ok(());
    }
    let mut shut_out = Vec::new();
    let judge = |session: &Session, before: &Person, after: &Person| {
        let Some(site) = site_of(config, session) else {
            return false;
        };
        if is_shut_out(site, after) {
            shut_out.push(session.key);
        }
        site.apps.iter().any(|app| loses(app, before, after))
    };
    sessions.reload_and_judge(user, judge).await?;
    for key in shut_out {
        let which = Which::One(&key);
        revoke(sessions, audit, which, Why::AccessLost, &by, now).await?;
    }
    Ok(())
}

/// The site that a session belongs to; none where the config no longer has it.
fn site_of<'a>(config: &'a Config, session: &Session) -> Option<&'a Site> {
    let mut sites = config.sites.iter();
    let site = sites.find(|site| site.public_url.origin == session.origin)?;
    Some(site.as_ref())
}

/// Whether none of the site's apps gives the person a role. A site without apps shuts nobody out.
fn is_shut_out(site: &Site, person: &Person) -> bool {
    !site.apps.is_empty()
        && site
            .apps
            .iter()
            .all(|app| standing::roles(app, person).is_none())
}

/// Whether a person could do something in an app that they cannot do any more.
fn loses(app: &App, before: &Person, after: &Person) -> bool {
    match (standing(app, before), standing(app, after)) {
        (Standing::Open { roles: had, .. }, Standing::Open { roles: has, .. }) => {
            had.iter().any(|role| !has.contains(role))
        }
        (Standing::Open { .. }, Standing::NeedsAccount | Standing::Refused(_)) => true,
        (Standing::NeedsAccount | Standing::Refused(_), _) => false,
    }
}
