//! SCIM resources in the store, one name space for each IdP; and what they mean for the people in the directory.

mod groups;
mod pages;
mod person;
mod rows;
mod write;

pub use pages::{GroupOrder, UserOrder};
pub use rows::{GroupKey, GroupRow, Membership, UserKey, UserRow};
pub use write::{GroupData, MemberChange, UserData, Write, WriteError};

pub(super) use groups::groups;

use sqlx::SqliteConnection;

use super::{AdmitError, blocks};
use crate::identity::{Attributes, Subject, UserId};

/// How many ids stand in one statement.
const CHUNK: usize = 400;

/// `scim_marks.kind` of the value by which a deleted user signed in.
const MATCH: &str = "match";
/// `scim_marks.kind` of the `userName` of a deleted user, as names are compared.
const USER_NAME: &str = "user_name";

/// The user whom a subject is by its IdP's SCIM: by [`Attributes::directory_key`]. For a subject that is known already it says
/// only whether SCIM shut that person out.
///
/// # Errors
/// `Deactivated` where SCIM deleted or deactivated that person.
pub(super) async fn known(
    on: &mut SqliteConnection,
    subject: &Subject,
    attributes: &Attributes,
) -> Result<Option<UserId>, AdmitError> {
    let Some(key) = &attributes.directory_key else {
        return Ok(None);
    };
    let mut found: Option<(String, i64)> = sqlx::query_as(
        "SELECT u.id, u.active FROM scim_users s JOIN users u ON u.id = s.user_id \
         WHERE s.idp = $1 AND s.match_value = $2",
    )
    .bind(subject.idp.as_str())
    .bind(key)
    .fetch_optional(&mut *on)
    .await?;
    if found.is_none() {
        found = sqlx::query_as(
            "SELECT u.id, u.active FROM scim_marks m JOIN users u ON u.id = m.user_id \
             WHERE m.idp = $1 AND m.kind = $2 AND m.value = $3",
        )
        .bind(subject.idp.as_str())
        .bind(MATCH)
        .bind(key)
        .fetch_optional(&mut *on)
        .await?;
    }
    match found {
        Some((user, 1)) => Ok(Some(UserId::new(user))),
        Some((user, _)) => Err(blocks::refusal(on, UserId::new(user)).await?),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
