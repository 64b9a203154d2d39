//! Users who changed since the apps were looked at. The mark is written with the change, so that no crash loses it.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use crate::identity::UserId;
use crate::store::StoreError;

/// Marks a user within the transaction that changes them: the outbox compares what each app was told with what holds now.
pub(super) async fn mark(
    on: &mut SqliteConnection,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO changes (user_id, changed_at, number, look_at) VALUES ($1, $2, 1, $2) \
         ON CONFLICT (user_id) DO UPDATE SET number = changes.number + 1, \
         changed_at = excluded.changed_at, look_at = excluded.look_at",
    )
    .bind(user.as_str())
    .bind(now.as_second())
    .execute(on)
    .await?;
    Ok(())
}
