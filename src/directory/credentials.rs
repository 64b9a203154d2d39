//! Passwords and second factors of local accounts.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::admit::folded;
use super::invitations::{self, Link};
use super::{AdmitError, Directory};
use crate::audit::{Action, Actor, By, Entry};
use crate::identity::{Attributes, IdpId, Protocol, Subject, UserId};
use crate::store::StoreError;

/// The IdP of local accounts: no IdP in the config can have that id.
pub const LOCAL: &str = "local";

/// What somebody signs in with.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Whose.
    pub user: UserId,
    /// The password's hash in PHC form.
    pub password_hash: String,
    /// The sealed TOTP secret.
    pub totp_sealed: String,
    /// The last time step that was used.
    pub totp_step: i64,
    /// For emergencies only: every use is loud, sessions are short.
    pub break_glass: bool,
    /// The address that the person signs in with.
    pub email: String,
    /// Full name, as said last by anybody.
    pub name: Option<String>,
}

impl Credential {
    /// The subject of a local account.
    pub fn subject(&self) -> Subject {
        subject(&self.user)
    }

    /// What apps are told: the address was shown to be theirs by the link.
    pub fn attributes(&self) -> Attributes {
        attributes(&self.email, self.name.as_deref())
    }
}

fn subject(user: &UserId) -> Subject {
    Subject {
        idp: IdpId::new(LOCAL),
        protocol: Protocol::Local,
        issuer: String::new(),
        format: String::new(),
        value: user.as_str().to_owned(),
    }
}

fn attributes(email: &str, name: Option<&str>) -> Attributes {
    Attributes {
        email: Some(email.to_owned()),
        email_verified: Some(true),
        name: name.map(str::to_owned),
        ..Attributes::default()
    }
}

/// What somebody set by the link of an invitation.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// The name to sign in with, as [`crate::local::fold`] writes it.
    pub login_key: String,
    /// The password's hash in PHC form.
    pub password_hash: String,
    /// The sealed TOTP secret.
    pub totp_sealed: String,
    /// The time step of the code that confirmed it: used up.
    pub totp_step: i64,
}

/// Why nothing was set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The link leads to no open invitation any more.
    #[error("the link leads to no open invitation")]
    Link(Link),
    /// The invitation lets nobody set a password.
    #[error("the invitation is for single sign-on")]
    NoPassword,
    /// The user was deactivated.
    #[error("the user ({0}) was deactivated")]
    Deactivated(UserId),
}

impl From<sqlx::Error> for SetError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<AdmitError> for SetError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Store(error) => Self::Store(error),
            other @ (AdmitError::EmailTaken(_)
            | AdmitError::UsernameTaken(_)
            | AdmitError::Deactivated { .. }) => Self::Store(StoreError(other.to_string())),
        }
    }
}

impl Directory {
    /// The credential behind a folded name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn credential(&self, login_key: &str) -> Result<Option<Credential>, StoreError> {
        type Row = (String, String, String, i64, i64, String, Option<String>);
        let work = async {
            let row: Option<Row> = sqlx::query_as(
                "SELECT c.user_id, c.password_hash, c.totp_sealed, c.totp_step, c.break_glass, s.attributes, u.name \
                 FROM local_credentials c JOIN users u ON u.id = c.user_id \
                 JOIN subjects s ON s.user_id = c.user_id AND s.idp = 'local' \
                 WHERE c.login_key = $1 AND c.totp_sealed IS NOT NULL",
            )
            .bind(login_key)
            .fetch_optional(&self.store.pool)
            .await?;
            row.map(|row| {
                let (user, password_hash, totp_sealed, totp_step, break_glass, said, name) = row;
                let said: Attributes = serde_json::from_str(&said)?;
                Ok(Credential {
                    user: UserId::new(user),
                    password_hash,
                    totp_sealed,
                    totp_step,
                    break_glass: break_glass == 1,
                    email: said.email.unwrap_or_default(),
                    name,
                })
            })
            .transpose()
        };
        self.store.within(work).await
    }

    /// Uses a code up: true for exactly one caller for each time step, and never for an earlier one (RFC 6238 5.2).
    ///
    /// # Errors
    /// If the store fails.
    pub async fn use_code(
        &self,
        user: &UserId,
        step: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = async {
            let used = sqlx::query(
                "UPDATE local_credentials SET totp_step = $2, used_at = $3 WHERE user_id = $1 AND totp_step < $2",
            )
            .bind(user.as_str())
            .bind(step)
            .bind(now.as_second())
            .execute(self.store.writer())
            .await?;
            Ok(used.rows_affected() == 1)
        };
        self.store.within(work).await
    }

    /// Sets password and second factor by the link of an invitation, which is used up with it; whoever was invited is here now.
    /// What was set before is replaced; a break-glass account stays one.
    ///
    /// # Errors
    /// See [`SetError`]; nothing is written then.
    pub async fn set_credential(
        &self,
        token: &str,
        new: &NewCredential,
        by: &By,
        now: Timestamp,
    ) -> Result<Credential, SetError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            let invitation = match invitations::of_token(on, token, now).await? {
                Link::Open(invitation) => invitation,
                link @ (Link::Unknown | Link::Expired | Link::Used | Link::Withdrawn) => {
                    return Err(SetError::Link(link));
                }
            };
            if !invitation.new.lets_set_password() {
                return Err(SetError::NoPassword);
            }
            let user = &invitation.user;
            let active: Option<(i64, Option<String>)> =
                sqlx::query_as("SELECT active, name FROM users WHERE id = $1")
                    .bind(user.as_str())
                    .fetch_optional(&mut *on)
                    .await?;
            let Some((1, name)) = active else {
                return Err(SetError::Deactivated(user.clone()));
            };
            let break_glass = invitation.new.break_glass;
            write(on, user, new, break_glass, now).await?;
            let said = attributes(&invitation.new.email, name.as_deref());
            write_subject(on, user, &said, now).await?;
            invitations::mark_accepted(on, &invitation.id, user, now).await?;
            let entry = Entry::new(
                Action::Credential,
                &by.as_actor(Actor::User(user.clone())),
                "password and second factor set by the link of an invitation",
            );
            let details = json!({ "invitation": invitation.id, "break_glass": break_glass });
            let entry = entry.about(user).with(details);
            self.audit.append(on, &entry, now).await?;
            transaction.commit().await?;
            Ok(Credential {
                user: user.clone(),
                password_hash: new.password_hash.clone(),
                totp_sealed: new.totp_sealed.clone(),
                totp_step: new.totp_step,
                break_glass,
                email: invitation.new.email.clone(),
                name,
            })
        };
        self.store.within(work).await
    }
}

async fn write(
    on: &mut SqliteConnection,
    user: &UserId,
    new: &NewCredential,
    break_glass: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    // A name belongs to one user (`held_names`); who had it before is not that user any more.
    sqlx::query("DELETE FROM local_credentials WHERE login_key = $1 AND user_id <> $2")
        .bind(&new.login_key)
        .bind(user.as_str())
        .execute(&mut *on)
        .await?;
    sqlx::query(
        "INSERT INTO local_credentials (user_id, login_key, password_hash, totp_sealed, totp_enrolled_at, totp_step, \
         break_glass, created_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $5, $5) \
         ON CONFLICT (user_id) DO UPDATE SET login_key = excluded.login_key, password_hash = excluded.password_hash, \
         totp_sealed = excluded.totp_sealed, totp_enrolled_at = excluded.totp_enrolled_at, \
         totp_step = excluded.totp_step, changed_at = excluded.changed_at, \
         break_glass = CASE WHEN local_credentials.break_glass = 1 THEN 1 ELSE excluded.break_glass END",
    )
    .bind(user.as_str())
    .bind(&new.login_key)
    .bind(&new.password_hash)
    .bind(&new.totp_sealed)
    .bind(now.as_second())
    .bind(new.totp_step)
    .bind(i64::from(break_glass))
    .execute(on)
    .await?;
    Ok(())
}

async fn write_subject(
    on: &mut SqliteConnection,
    user: &UserId,
    said: &Attributes,
    now: Timestamp,
) -> Result<(), StoreError> {
    let subject = subject(user);
    sqlx::query(
        "INSERT INTO subjects (idp, issuer, format, value, protocol, user_id, email_key, attributes, created_at, \
         signed_in_at) VALUES ($1, $2, $3, $4, $5, $4, $6, $7, $8, $8) \
         ON CONFLICT (idp, issuer, format, value) DO UPDATE SET email_key = excluded.email_key, \
         attributes = excluded.attributes",
    )
    .bind(subject.idp.as_str())
    .bind(&subject.issuer)
    .bind(&subject.format)
    .bind(&subject.value)
    .bind(subject.protocol.as_str())
    .bind(folded(said.email.as_deref()))
    .bind(serde_json::to_string(said)?)
    .bind(now.as_second())
    .execute(on)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::SignedDuration;

    use super::*;
    use crate::config::StoreConfig;
    use crate::directory::{Block, BlockSource, Invitation, NewInvitation};
    use crate::secret::Secret;
    use crate::store::Store;

    const ANN: &str = "ann@acme.example";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    async fn memory() -> Directory {
        Directory::over(Store::open(&StoreConfig::Memory).await.unwrap())
    }

    /// An invitation that may set a password, or is for emergencies, or neither.
    async fn invite(
        directory: &Directory,
        password: bool,
        break_glass: bool,
    ) -> (Invitation, Secret) {
        let new = NewInvitation {
            email: ANN.to_owned(),
            name: None,
            grants: Vec::new(),
            password,
            break_glass,
            expires_at: now() + SignedDuration::from_hours(1),
        };
        let by = By::system();
        directory.invite(&new, &by, now()).await.unwrap()
    }

    async fn set(directory: &Directory, link: &Secret) -> Result<Credential, SetError> {
        let new = NewCredential {
            login_key: ANN.to_owned(),
            password_hash: "hash".to_owned(),
            totp_sealed: "sealed".to_owned(),
            totp_step: 10,
        };
        let by = By::system();
        directory
            .set_credential(link.expose(), &new, &by, now())
            .await
    }

    #[tokio::test]
    async fn a_link_sets_a_password_once_and_only_if_it_is_for_one() {
        let directory = memory().await;
        let (_, link) = invite(&directory, false, false).await;
        let refused = set(&directory, &link).await;
        assert!(matches!(refused, Err(SetError::NoPassword)), "{refused:?}");
        let (_, link) = invite(&directory, true, false).await;
        set(&directory, &link).await.unwrap();
        let again = set(&directory, &link).await;
        assert!(
            matches!(again, Err(SetError::Link(Link::Used))),
            "{again:?}"
        );
    }

    #[tokio::test]
    async fn who_is_deactivated_sets_no_password() {
        let directory = memory().await;
        let (invitation, link) = invite(&directory, true, false).await;
        let block = Block {
            source: BlockSource::Admin,
            deleted: false,
            why: "left".to_owned(),
            at: now(),
        };
        let by = By::system();
        let blocked = directory.block(&invitation.user, &block, &by).await;
        assert!(blocked.unwrap());
        let refused = set(&directory, &link).await;
        assert!(
            matches!(refused, Err(SetError::Deactivated(_))),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn an_account_for_emergencies_stays_one_with_a_new_password() {
        let directory = memory().await;
        for break_glass in [true, false] {
            let (_, link) = invite(&directory, true, break_glass).await;
            set(&directory, &link).await.unwrap();
            let known = directory.credential(ANN).await.unwrap().unwrap();
            assert!(known.break_glass);
        }
    }

    #[tokio::test]
    async fn a_code_counts_once_and_none_before_it_any_more() {
        let directory = memory().await;
        let (invitation, link) = invite(&directory, true, false).await;
        set(&directory, &link).await.unwrap();
        for (step, counts) in [
            (10, false),
            (12, true),
            (12, false),
            (11, false),
            (13, true),
        ] {
            let used = directory.use_code(&invitation.user, step, now()).await;
            assert_eq!(used.unwrap(), counts, "{step}");
        }
    }
}
