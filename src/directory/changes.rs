//! Users who changed since the apps were looked at. The mark is written with the change, so that no crash loses it.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::identity::UserId;
use crate::store::StoreError;

/// Rows of one statement.
const MARKED_AT_ONCE: usize = 400;

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

/// As [`mark`], for many at once.
pub(super) async fn mark_all(
    on: &mut SqliteConnection,
    users: &[UserId],
    now: Timestamp,
) -> Result<(), StoreError> {
    for users in users.chunks(MARKED_AT_ONCE) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO changes (user_id, changed_at, number, look_at) ",
        );
        query.push_values(users, |mut row, user| {
            row.push_bind(user.as_str().to_owned())
                .push_bind(now.as_second())
                .push("1")
                .push_bind(now.as_second());
        });
        query.push(
            " ON CONFLICT (user_id) DO UPDATE SET number = changes.number + 1, \
             changed_at = excluded.changed_at, look_at = excluded.look_at",
        );
        query.build().persistent(false).execute(&mut *on).await?;
    }
    Ok(())
}
