//! Roles that do not come from groups.

use sqlx::SqliteConnection;

use crate::identity::{AppId, Grant, GrantSource, Role, UserId};
use crate::store::StoreError;

/// What a user was given, in all apps.
pub(super) async fn read(
    on: &mut SqliteConnection,
    user: &UserId,
) -> Result<Vec<Grant>, StoreError> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT app, role, source FROM grants WHERE user_id = $1 ORDER BY app, role, source",
    )
    .bind(user.as_str())
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|(app, role, source)| {
            Ok(Grant {
                app: AppId::new(app),
                role: (!role.is_empty()).then(|| Role::new(role)),
                source: GrantSource::from_text(&source)
                    .ok_or_else(|| StoreError("a grant has an unknown source".to_owned()))?,
            })
        })
        .collect()
}
