//! From a verified subject to a user, in one transaction.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::people::{Said, keep_profile};
use super::{AdmitError, Directory, JoinRule};
use crate::identity::{self, Attributes, IdpId, Person, Subject, UserId};
use crate::store::StoreError;

/// What nobody else may hold, as it is compared.
pub(super) struct Names {
    email: Option<String>,
    username: Option<String>,
}

impl Names {
    pub(super) fn of(attributes: &Attributes) -> Self {
        Self {
            email: folded(attributes.email.as_deref()),
            username: folded(attributes.username.as_deref()),
        }
    }

    pub(super) fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    pub(super) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }
}

/// A name as names are compared; an empty one is none.
pub(super) fn folded(name: Option<&str>) -> Option<String> {
    let name = identity::folded(name?);
    (!name.is_empty()).then_some(name)
}

/// Whether two addresses are one: by case alone. Names that are merely too alike are kept apart, but they are not the same person.
pub(super) fn same_address(one: Option<&str>, other: Option<&str>) -> bool {
    let lower = |email: Option<&str>| email.map(|email| email.trim().to_lowercase());
    lower(one) == lower(other)
}

impl Directory {
    /// Finds or makes the user of a verified subject, and keeps its attributes and the time.
    ///
    /// One transaction: concurrent first sign-ins of one subject end with one user. A known subject keeps its user; a
    /// new one joins an existing user only by `join` and an e-mail that neither IdP states as unverified, and only where that
    /// user has no subject of this IdP yet (else the address was given to somebody else there); else it is a new user.
    /// A user holds the e-mail addresses and usernames of all its subjects, as each said them last.
    ///
    /// # Errors
    /// See [`AdmitError`]; nothing is written then.
    pub async fn admit(
        &self,
        subject: &Subject,
        attributes: &Attributes,
        join: Option<&JoinRule>,
        now: Timestamp,
    ) -> Result<Person, AdmitError> {
        let work = async {
            let names = Names::of(attributes);
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            let user = match known_user(on, subject).await? {
                Some(user) => {
                    super::scim::known(on, subject, attributes).await?;
                    user
                }
                None => match self
                    .expected_user(on, (subject, attributes), &names, join, now)
                    .await?
                {
                    Some(user) => user,
                    None => new_user(on, now).await?,
                },
            };
            if is_news(on, &user, subject, attributes).await? {
                super::changes::mark(on, &user, now).await?;
            }
            keep_subject(on, &user, subject, attributes, &names, now).await?;
            hold_names(on, &user, &names).await?;
            let mut attributes = attributes.clone();
            attributes.groups = super::scim::groups(on, subject, &user, attributes.groups).await?;
            let accounts = super::accounts::read(on, &user).await?;
            let grants = super::grants::read(on, &user).await?;
            transaction.commit().await?;
            Ok(Person {
                user,
                subject: subject.clone(),
                attributes,
                accounts,
                grants,
            })
        };
        self.store.within(work).await
    }

    /// The user that a new subject is: by SCIM, by an invitation, or by `join`.
    async fn expected_user(
        &self,
        on: &mut SqliteConnection,
        (subject, attributes): (&Subject, &Attributes),
        names: &Names,
        join: Option<&JoinRule>,
        now: Timestamp,
    ) -> Result<Option<UserId>, AdmitError> {
        if let Some(user) = super::scim::known(on, subject, attributes).await? {
            return Ok(Some(user));
        }
        let audit = &self.audit;
        let invited = super::invitations::accept(on, audit, subject, attributes, join, now).await?;
        if let Some(user) = invited {
            return Ok(Some(user));
        }
        joined_user(on, subject, attributes, names, join).await
    }
}

async fn known_user(
    on: &mut SqliteConnection,
    subject: &Subject,
) -> Result<Option<UserId>, AdmitError> {
    let row: Option<(String, i64)> = sqlx::query_as(
        "SELECT u.id, u.active FROM subjects s JOIN users u ON u.id = s.user_id \
         WHERE s.idp = $1 AND s.issuer = $2 AND s.format = $3 AND s.value = $4",
    )
    .bind(subject.idp.as_str())
    .bind(&subject.issuer)
    .bind(&subject.format)
    .bind(&subject.value)
    .fetch_optional(&mut *on)
    .await?;
    match row {
        Some((id, active)) => active_only(on, UserId::new(id), active).await.map(Some),
        None => Ok(None),
    }
}

pub(super) async fn active_only(
    on: &mut SqliteConnection,
    user: UserId,
    active: i64,
) -> Result<UserId, AdmitError> {
    if active == 1 {
        Ok(user)
    } else {
        Err(super::blocks::refusal(on, user).await?)
    }
}

/// The user that a new subject joins, where the rule and both IdPs' words allow it.
async fn joined_user(
    on: &mut SqliteConnection,
    subject: &Subject,
    attributes: &Attributes,
    names: &Names,
    join: Option<&JoinRule>,
) -> Result<Option<UserId>, AdmitError> {
    let (Some(join), Some(email)) = (join, &names.email) else {
        return Ok(None);
    };
    // The address as it was said: a domain that is merely like another is not that domain.
    let address = attributes.email.as_deref().unwrap_or_default();
    let address = address.trim().to_lowercase();
    let Some((_, domain)) = address.rsplit_once('@') else {
        return Ok(None);
    };
    if attributes.email_verified == Some(false) || !join.domains.iter().any(|one| one == domain) {
        return Ok(None);
    }
    let rows: Vec<(String, String, i64, String)> = sqlx::query_as(
        "SELECT s.idp, s.attributes, u.active, u.id FROM subjects s JOIN users u ON u.id = s.user_id \
         WHERE s.email_key = $1",
    )
    .bind(email)
    .fetch_all(&mut *on)
    .await?;
    for (idp, known, active, user) in rows {
        let known: Attributes = serde_json::from_str(&known).map_err(StoreError::from)?;
        if !join.with.contains(&IdpId::new(idp)) || known.email_verified == Some(false) {
            continue;
        }
        if !same_address(known.email.as_deref(), attributes.email.as_deref()) {
            continue;
        }
        if has_subject_of(on, &user, &subject.idp).await? {
            continue;
        }
        return active_only(on, UserId::new(user), active).await.map(Some);
    }
    Ok(None)
}

pub(super) async fn has_subject_of(
    on: &mut SqliteConnection,
    user: &str,
    idp: &IdpId,
) -> Result<bool, AdmitError> {
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM subjects WHERE user_id = $1 AND idp = $2")
            .bind(user)
            .bind(idp.as_str())
            .fetch_one(on)
            .await?;
    Ok(count > 0)
}

pub(super) async fn new_user(
    on: &mut SqliteConnection,
    now: Timestamp,
) -> Result<UserId, AdmitError> {
    let user = UserId::generate();
    sqlx::query("INSERT INTO users (id, active, created_at, signed_in_at) VALUES ($1, 1, $2, $2)")
        .bind(user.as_str())
        .bind(now.as_second())
        .execute(on)
        .await?;
    Ok(user)
}

/// The full name, put together where the IdP sends only its parts.
fn display_name(attributes: &Attributes) -> Option<String> {
    let parts = [&attributes.given_name, &attributes.family_name];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    let together = (!parts.is_empty()).then(|| parts.join(" "));
    attributes.name.clone().or(together)
}

/// Whether apps that know the user may have to be told: of other attributes, or of another subject.
async fn is_news(
    on: &mut SqliteConnection,
    user: &UserId,
    subject: &Subject,
    attributes: &Attributes,
) -> Result<bool, AdmitError> {
    let known: Option<String> = sqlx::query_scalar(
        "SELECT attributes FROM subjects \
         WHERE idp = $1 AND issuer = $2 AND format = $3 AND value = $4 AND user_id = $5",
    )
    .bind(subject.idp.as_str())
    .bind(&subject.issuer)
    .bind(&subject.format)
    .bind(&subject.value)
    .bind(user.as_str())
    .fetch_optional(&mut *on)
    .await?;
    let before: Option<Attributes> = match known {
        Some(text) => Some(serde_json::from_str(&text).map_err(StoreError::from)?),
        None => None,
    };
    if before.as_ref() == Some(attributes) {
        return Ok(false);
    }
    // Nobody was told anything of somebody who is new.
    let accounts: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM accounts WHERE user_id = $1")
        .bind(user.as_str())
        .fetch_one(on)
        .await?;
    Ok(accounts > 0)
}

async fn keep_subject(
    on: &mut SqliteConnection,
    user: &UserId,
    subject: &Subject,
    attributes: &Attributes,
    names: &Names,
    now: Timestamp,
) -> Result<(), AdmitError> {
    sqlx::query(
        "INSERT INTO subjects (idp, issuer, format, value, protocol, user_id, email_key, username_key, \
         attributes, directory_key, created_at, signed_in_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $11, $10, $10) \
         ON CONFLICT (idp, issuer, format, value) DO UPDATE SET email_key = excluded.email_key, \
         username_key = excluded.username_key, attributes = excluded.attributes, \
         directory_key = excluded.directory_key, signed_in_at = excluded.signed_in_at",
    )
    .bind(subject.idp.as_str())
    .bind(&subject.issuer)
    .bind(&subject.format)
    .bind(&subject.value)
    .bind(subject.protocol.as_str())
    .bind(user.as_str())
    .bind(&names.email)
    .bind(&names.username)
    .bind(serde_json::to_string(attributes).map_err(StoreError::from)?)
    .bind(now.as_second())
    .bind(&attributes.directory_key)
    .execute(&mut *on)
    .await?;
    sqlx::query("UPDATE users SET signed_in_at = $2, invited = 0 WHERE id = $1")
        .bind(user.as_str())
        .bind(now.as_second())
        .execute(&mut *on)
        .await?;
    let name = display_name(attributes);
    let said = Said {
        email: attributes.email.as_deref(),
        name: name.as_deref(),
        username: attributes.username.as_deref(),
    };
    Ok(keep_profile(on, user, said).await?)
}

/// Lets go of names that no subject of the user has any more, and takes the new ones unless another user holds them.
pub(super) async fn hold_names(
    on: &mut SqliteConnection,
    user: &UserId,
    names: &Names,
) -> Result<(), AdmitError> {
    sqlx::query(
        "DELETE FROM held_names WHERE user_id = $1 AND name NOT IN \
         (SELECT email_key FROM subjects WHERE user_id = $1 AND email_key IS NOT NULL \
          UNION SELECT username_key FROM subjects WHERE user_id = $1 AND username_key IS NOT NULL)",
    )
    .bind(user.as_str())
    .execute(&mut *on)
    .await?;
    if let Some(other) = take(on, user, names.email.as_deref()).await? {
        return Err(AdmitError::EmailTaken(other));
    }
    if let Some(other) = take(on, user, names.username.as_deref()).await? {
        return Err(AdmitError::UsernameTaken(other));
    }
    Ok(())
}

/// Takes a name for a user; gives the other user who holds it, if one does.
async fn take(
    on: &mut SqliteConnection,
    user: &UserId,
    name: Option<&str>,
) -> Result<Option<UserId>, AdmitError> {
    let Some(name) = name else {
        return Ok(None);
    };
    sqlx::query(
        "INSERT INTO held_names (name, user_id) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(user.as_str())
    .execute(&mut *on)
    .await?;
    let holder: String = sqlx::query_scalar("SELECT user_id FROM held_names WHERE name = $1")
        .bind(name)
        .fetch_one(on)
        .await?;
    Ok((holder != user.as_str()).then(|| UserId::new(holder)))
}
