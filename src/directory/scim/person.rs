//! What a user resource means for the user in the directory.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{MATCH, USER_NAME, UserData, WriteError};
use crate::audit::By;
use crate::directory::admit::{self, Names};
use crate::directory::people::{Said, keep_profile};
use crate::directory::{AdmitError, Block, BlockSource, Directory};
use crate::identity::{IdpId, UserId, folded};
use crate::store::StoreError;

/// The format of the subject that stands for a resource.
const FORMAT: &str = "scim";

/// What every step of a write needs.
pub(super) struct Writing<'a> {
    pub(super) directory: &'a Directory,
    pub(super) on: &'a mut SqliteConnection,
    pub(super) idp: &'a IdpId,
    pub(super) by: &'a By,
    pub(super) now: Timestamp,
}

/// The user of a new resource, and how it was found: the one of a deleted resource of the same person, the one who signed in
/// already, or a new one.
pub(super) async fn find_or_make(
    on: &mut SqliteConnection,
    idp: &IdpId,
    data: &UserData,
    now: Timestamp,
) -> Result<(UserId, &'static str), WriteError> {
    let (user, how) = if let Some(user) = deleted(on, idp, data).await? {
        (user, "SCIM brings a deleted user back")
    } else if let Some(user) = signed_in(on, idp, data).await? {
        (user, "SCIM takes over a user who signed in before")
    } else {
        return Ok((admit::new_user(on, now).await.map_err(write_error)?, "SCIM"));
    };
    let other: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM scim_users WHERE idp = $1 AND user_id = $2")
            .bind(idp.as_str())
            .bind(user.as_str())
            .fetch_optional(&mut *on)
            .await?;
    if other.is_some() {
        return Err(WriteError::Taken("person"));
    }
    sqlx::query("DELETE FROM scim_marks WHERE idp = $1 AND user_id = $2")
        .bind(idp.as_str())
        .bind(user.as_str())
        .execute(&mut *on)
        .await?;
    // The subject of the former resource goes with its names.
    let subjects: Vec<(String, String, String)> =
        sqlx::query_as("SELECT idp, format, value FROM subjects WHERE user_id = $1")
            .bind(user.as_str())
            .fetch_all(&mut *on)
            .await?;
    for (of, format, value) in subjects {
        if of != idp.as_str() || format != FORMAT {
            continue;
        }
        sqlx::query(
            "DELETE FROM subjects WHERE idp = $1 AND issuer = '' AND format = $2 AND value = $3",
        )
        .bind(&of)
        .bind(&format)
        .bind(&value)
        .execute(&mut *on)
        .await?;
    }
    Ok((user, how))
}

/// The user of a deleted resource of the same person: with the same value to match by; or with the same `userName`, unless
/// both have such a value and it differs (then the name was given to somebody else).
async fn deleted(
    on: &mut SqliteConnection,
    idp: &IdpId,
    data: &UserData,
) -> Result<Option<UserId>, WriteError> {
    if let Some(value) = &data.match_value
        && let Some(user) = marked(on, idp, MATCH, value).await?
    {
        return Ok(Some(user));
    }
    let Some(user) = marked(on, idp, USER_NAME, &folded(&data.user_name)).await? else {
        return Ok(None);
    };
    let others: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM scim_marks WHERE idp = $1 AND kind = $2 AND user_id = $3",
    )
    .bind(idp.as_str())
    .bind(MATCH)
    .bind(user.as_str())
    .fetch_one(on)
    .await?;
    Ok((data.match_value.is_none() || others == 0).then_some(user))
}

async fn marked(
    on: &mut SqliteConnection,
    idp: &IdpId,
    kind: &str,
    value: &str,
) -> Result<Option<UserId>, WriteError> {
    let user: Option<String> = sqlx::query_scalar(
        "SELECT user_id FROM scim_marks WHERE idp = $1 AND kind = $2 AND value = $3",
    )
    .bind(idp.as_str())
    .bind(kind)
    .bind(value)
    .fetch_optional(on)
    .await?;
    Ok(user.map(UserId::new))
}

/// The user who signed in at this IdP with the value to match by.
async fn signed_in(
    on: &mut SqliteConnection,
    idp: &IdpId,
    data: &UserData,
) -> Result<Option<UserId>, WriteError> {
    let Some(value) = &data.match_value else {
        return Ok(None);
    };
    let mut users: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT user_id FROM subjects WHERE idp = $1 AND directory_key = $2",
    )
    .bind(idp.as_str())
    .bind(value)
    .fetch_all(&mut *on)
    .await?;
    if users.is_empty() && data.by_subject {
        // Signed in before SCIM was configured.
        users = sqlx::query_scalar(
            "SELECT DISTINCT user_id FROM subjects WHERE idp = $1 AND value = $2 \
             AND directory_key IS NULL AND protocol IN ('oidc', 'saml')",
        )
        .bind(idp.as_str())
        .bind(value)
        .fetch_all(on)
        .await?;
    }
    match (users.len(), users.pop()) {
        (0, _) | (_, None) => Ok(None),
        (1, Some(user)) => Ok(Some(UserId::new(user))),
        (_, Some(_)) => Err(WriteError::Taken("value that sign-ins are matched by")),
    }
}

/// Keeps what a resource says of its user: the subject that stands for it, the names, the profile, and whether the user may
/// sign in.
pub(super) async fn keep(
    write: Writing<'_>,
    id: &str,
    user: &UserId,
    data: &UserData,
) -> Result<(), WriteError> {
    let Writing { on, idp, now, .. } = write;
    let names = Names::of(&data.attributes);
    sqlx::query(
        "INSERT INTO subjects (idp, issuer, format, value, protocol, user_id, email_key, username_key, \
         attributes, created_at, signed_in_at) VALUES ($1, '', $2, $3, 'scim', $4, $5, $6, $7, $8, $8) \
         ON CONFLICT (idp, issuer, format, value) DO UPDATE SET email_key = excluded.email_key, \
         username_key = excluded.username_key, attributes = excluded.attributes, \
         signed_in_at = excluded.signed_in_at",
    )
    .bind(idp.as_str())
    .bind(FORMAT)
    .bind(id)
    .bind(user.as_str())
    .bind(names.email())
    .bind(names.username())
    .bind(serde_json::to_string(&data.attributes).map_err(StoreError::from)?)
    .bind(now.as_second())
    .execute(&mut *on)
    .await?;
    for name in [names.email(), names.username()].into_iter().flatten() {
        release(on, idp, user, name).await?;
    }
    admit::hold_names(on, user, &names)
        .await
        .map_err(write_error)?;
    let said = Said {
        email: data.attributes.email.as_deref(),
        name: data.attributes.name.as_deref(),
        username: data.attributes.username.as_deref(),
    };
    keep_profile(on, user, said).await?;
    let_in(Writing { on, ..write }, user, data.active).await
}

/// A user whom this SCIM client deleted lets go of a name that it gives to somebody else.
async fn release(
    on: &mut SqliteConnection,
    idp: &IdpId,
    user: &UserId,
    name: &str,
) -> Result<(), WriteError> {
    sqlx::query(
        "DELETE FROM held_names WHERE name = $1 AND user_id <> $2 AND user_id IN \
         (SELECT user_id FROM user_blocks WHERE source = $3 AND deleted = 1)",
    )
    .bind(name)
    .bind(user.as_str())
    .bind(source(idp).to_text())
    .execute(on)
    .await?;
    Ok(())
}

fn source(idp: &IdpId) -> BlockSource {
    BlockSource::Scim(idp.clone())
}

/// Whether the user may sign in, in the words of this SCIM client; the words of others stand.
async fn let_in(write: Writing<'_>, user: &UserId, active: bool) -> Result<(), WriteError> {
    if !active {
        return block(write, user, false).await;
    }
    let Writing {
        directory,
        on,
        idp,
        by,
        now,
    } = write;
    let source = source(idp);
    directory.unblock_on(on, user, &source, by, now).await?;
    Ok(())
}

/// The word of this SCIM client that the user is deactivated, or deleted.
pub(super) async fn block(
    write: Writing<'_>,
    user: &UserId,
    deleted: bool,
) -> Result<(), WriteError> {
    let block = Block {
        source: source(write.idp),
        deleted,
        why: match deleted {
            true => "deleted by SCIM".to_owned(),
            false => "deactivated by SCIM".to_owned(),
        },
        at: write.now,
    };
    let Writing {
        directory, on, by, ..
    } = write;
    directory.block_on(on, user, &block, by).await?;
    Ok(())
}

fn write_error(error: AdmitError) -> WriteError {
    match error {
        AdmitError::Store(error) => WriteError::Store(error),
        AdmitError::EmailTaken(_) => WriteError::Taken("e-mail address"),
        AdmitError::UsernameTaken(_) => WriteError::Taken("userName"),
        AdmitError::Deactivated { .. } => WriteError::Taken("person"),
    }
}
