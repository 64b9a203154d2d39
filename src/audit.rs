//! What happened: one line for each sign-in, refusal, provisioning, change of roles, revocation and admin action; who, what,
//! from where, why. Append only, each line chained to the one before it by a hash.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::identity::{AppId, IdpId, UserId};
use crate::store::{Store, StoreError};

/// The log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
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

impl Audit {
    /// Into the table alone.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes a line within the caller's transaction, so that a change and its line are there together or not at all.
    ///
    /// # Errors
    /// If it cannot be written; the caller's transaction must not be committed then.
    pub(crate) async fn append(
        &self,
        on: &mut SqliteConnection,
        entry: &Entry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let last: Option<(i64, String)> =
            sqlx::query_as("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
                .fetch_optional(&mut *on)
                .await?;
        let (number, before) = last.map_or((1, String::new()), |(number, hash)| (number + 1, hash));
        let details = serde_json::to_string(&entry.details)?;
        let text = serde_json::to_vec(&(
            before,
            number,
            now.as_second(),
            entry.action.code(),
            entry.by.actor.to_text(),
            (
                entry.user.as_ref().map(UserId::as_str),
                entry.app.as_ref().map(AppId::as_str),
                entry.idp.as_ref().map(IdpId::as_str),
            ),
            entry.outcome,
            &entry.why,
            entry.by.client.map(|client| client.to_string()),
            &entry.by.request_id,
            &details,
        ))?;
        sqlx::query(
            "INSERT INTO audit (number, at, action, actor, user_id, app, idp, outcome, why, client, \
             request_id, details, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(number)
        .bind(now.as_second())
        .bind(entry.action.code())
        .bind(entry.by.actor.to_text())
        .bind(entry.user.as_ref().map(UserId::as_str))
        .bind(entry.app.as_ref().map(AppId::as_str))
        .bind(entry.idp.as_ref().map(IdpId::as_str))
        .bind(entry.outcome)
        .bind(&entry.why)
        .bind(entry.by.client.map(|client| client.to_string()))
        .bind(&entry.by.request_id)
        .bind(details)
        .bind(URL_SAFE_NO_PAD.encode(digest(&SHA256, &text)))
        .execute(on)
        .await?;
        Ok(())
    }

    /// Writes a line on its own.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn record(&self, entry: &Entry, now: Timestamp) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            self.append(&mut transaction, entry, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }
}
