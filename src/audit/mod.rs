//! What happened: one line for each sign-in, refusal, provisioning, change of roles, revocation and admin action; who, what,
//! from where, why. Append only, each line chained to the one before it by a hash.

mod chain;
mod export;
mod file;
mod keep;
mod list;
mod verify;

pub use export::{Export, ExportForm};
pub use file::FileError;
pub use list::{Filter, Line, LogPage};
pub use verify::{Verified, VerifyError, verify_lines};

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwapOption;
use prometheus_client::metrics::counter::Counter;
use serde_json::Value;

use crate::config::AuditConfig;
use crate::identity::{AppId, IdpId, UserId};
use crate::store::Store;
use file::LogFile;

/// The log; cheap to clone, and all clones are one.
#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Gets every line too, where the config names one.
    file: ArcSwapOption<LogFile>,
    /// How long lines are kept in the table, in seconds.
    keep_for: AtomicI64,
    /// When it was last looked for lines that are too old, in Unix seconds.
    pruned_at: AtomicI64,
    /// Lines that could not be written to the file.
    file_failures: Counter,
}

impl Audit {
    /// Into the table alone, and for ever.
    pub fn new(store: Store) -> Self {
        Self::counting(store, Counter::default())
    }

    /// The same; `file_failures` counts the lines that could not be written to the file.
    pub fn counting(store: Store, file_failures: Counter) -> Self {
        Self {
            store,
            shared: Arc::new(Shared {
                file: ArcSwapOption::empty(),
                keep_for: AtomicI64::new(i64::MAX),
                pruned_at: AtomicI64::new(0),
                file_failures,
            }),
        }
    }

    /// Takes over the settings, at the start and at each reload. With `required` the file is opened at once.
    ///
    /// # Errors
    /// If a required file cannot be opened; then nothing is taken over.
    pub fn configure(&self, config: &AuditConfig) -> Result<(), FileError> {
        let file = match &config.file {
            Some(path) => Some(Arc::new(LogFile::open(path, config.required)?)),
            None => None,
        };
        self.shared.file.store(file);
        let keep_for = i64::try_from(config.keep_for.as_secs()).unwrap_or(i64::MAX);
        self.shared
            .keep_for
            .store(keep_for, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

/// Who does something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// The address that the request came from.
    pub client: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl By {
    /// usher itself, for nobody's request.
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            client: None,
            request_id: None,
        }
    }

    /// The same request, by somebody who is known now.
    #[must_use]
    pub fn as_actor(&self, actor: Actor) -> Self {
        Self {
            actor,
            ..self.clone()
        }
    }
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// usher itself: a timer, a worker.
    System,
    /// A person, signed in: for themselves, or as an admin on the pages.
    User(UserId),
    /// A token of the admin API, by its name.
    Token(String),
    /// An IdP's SCIM client.
    Scim(IdpId),
    /// An IdP: a sign-in, a logout, a renewal.
    Idp(IdpId),
    /// Whoever sent the request: not known.
    Nobody,
}

impl Actor {
    /// As the log writes it: `user:usr_…`, `token:ci`, `scim:acme`, `idp:acme`, `system`, `nobody`.
    pub fn to_text(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::User(user) => format!("user:{user}"),
            Self::Token(name) => format!("token:{name}"),
            Self::Scim(idp) => format!("scim:{idp}"),
            Self::Idp(idp) => format!("idp:{idp}"),
            Self::Nobody => "nobody".to_owned(),
        }
    }
}

/// What was done. Stable codes: people filter by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A sign-in through an IdP, let in or refused.
    SignIn,
    /// A sign-in by password of an account that is not marked break-glass.
    LocalSignIn,
    /// A sign-in by password of a break-glass account.
    BreakGlass,
    /// Sessions ended.
    SessionsEnded,
    /// An app answered an event.
    Provisioning,
    /// A user was made, changed, deactivated, reactivated or deleted.
    User,
    /// Roles were set.
    Roles,
    /// An invitation was made, accepted or withdrawn.
    Invitation,
    /// A password or second factor was set.
    Credential,
    /// SCIM wrote a resource.
    Scim,
    /// An identity provider was switched on or off, or tried.
    Idp,
    /// A token of the API was made or revoked.
    ApiToken,
    /// Any other thing that an admin did.
    Admin,
    /// The config was reloaded, usher started or stopped.
    System,
}

impl Action {
    /// All of them, for whoever filters.
    pub const ALL: [Self; 14] = [
        Self::SignIn,
        Self::LocalSignIn,
        Self::BreakGlass,
        Self::SessionsEnded,
        Self::Provisioning,
        Self::User,
        Self::Roles,
        Self::Invitation,
        Self::Credential,
        Self::Scim,
        Self::Idp,
        Self::ApiToken,
        Self::Admin,
        Self::System,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::LocalSignIn => "local_sign_in",
            Self::BreakGlass => "break_glass",
            Self::SessionsEnded => "sessions_ended",
            Self::Provisioning => "provisioning",
            Self::User => "user",
            Self::Roles => "roles",
            Self::Invitation => "invitation",
            Self::Credential => "credential",
            Self::Scim => "scim",
            Self::Idp => "idp",
            Self::ApiToken => "api_token",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }
}

/// One line to write.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was done.
    pub action: Action,
    /// By whom.
    pub by: By,
    /// To whom.
    pub user: Option<UserId>,
    /// In which app.
    pub app: Option<AppId>,
    /// At which IdP.
    pub idp: Option<IdpId>,
    /// `ok`, or the stable code of what became of it.
    pub outcome: &'static str,
    /// Why, in a sentence without secrets.
    pub why: String,
    /// What changed: a small object; before and after where there are both. No secrets.
    pub details: Value,
}

impl Entry {
    /// A line about something that worked.
    pub fn new(action: Action, by: &By, why: impl Into<String>) -> Self {
        Self {
            action,
            by: by.clone(),
            user: None,
            app: None,
            idp: None,
            outcome: "ok",
            why: why.into(),
            details: Value::Object(serde_json::Map::new()),
        }
    }

    /// The same, about a user.
    #[must_use]
    pub fn about(mut self, user: &UserId) -> Self {
        self.user = Some(user.clone());
        self
    }

    /// The same, in an app.
    #[must_use]
    pub fn in_app(mut self, app: &AppId) -> Self {
        self.app = Some(app.clone());
        self
    }

    /// The same, at an IdP.
    #[must_use]
    pub fn at_idp(mut self, idp: &IdpId) -> Self {
        self.idp = Some(idp.clone());
        self
    }

    /// The same, with another outcome than `ok`.
    #[must_use]
    pub fn came_to(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    /// The same, with what changed.
    #[must_use]
    pub fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }
}

#[cfg(test)]
mod tests;
