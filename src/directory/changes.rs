//! Users who changed since the apps were looked at. The mark is written with the change, so that no crash loses it.

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{Directory, accounts};
use crate::identity::{Account, Person, UserId};
use crate::store::StoreError;

/// Rows of one statement.
const MARKED_AT_ONCE: usize = 400;

/// A user who changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Who.
    pub user: UserId,
    /// How often, since the apps were looked at last: tells whether there was another change meanwhile.
    pub number: i64,
}

/// A user as the outbox sees them.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Through the subject that was used last, deactivated or not; none where no subject is left.
    pub person: Option<Person>,
    /// What the apps said so far.
    pub accounts: Vec<Account>,
    /// Whether the user may sign in.
    pub active: bool,
    /// Whether somebody who deactivated the user deleted them.
    pub deleted: bool,
    /// Whether an IdP's SCIM client manages the user.
    pub by_scim: bool,
}

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

impl Directory {
    /// Users who changed and were not looked at since, those who wait longest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changed_users(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Changed>, StoreError> {
        let work = async {
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "SELECT user_id, number FROM changes WHERE look_at <= $1 \
                 ORDER BY look_at, user_id LIMIT $2",
            )
            .bind(now.as_second())
            .bind(i64::from(limit))
            .fetch_all(&self.store.pool)
            .await?;
            Ok(rows
                .into_iter()
                .map(|(user, number)| Changed {
                    user: UserId::new(user),
                    number,
                })
                .collect())
        };
        self.store.within(work).await
    }

    /// Takes the mark away, unless there was another change meanwhile.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn looked_at(&self, changed: &Changed) -> Result<(), StoreError> {
        let work = async {
            sqlx::query("DELETE FROM changes WHERE user_id = $1 AND number = $2")
                .bind(changed.user.as_str())
                .bind(changed.number)
                .execute(self.store.writer())
                .await?;
            Ok(())
        };
        self.store.within(work).await
    }

    /// The user as the outbox sees them; none where there is no such user.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn outlook(&self, user: &UserId) -> Result<Option<Outlook>, StoreError> {
        let work = async {
            let row: Option<(i64, i64, i64)> = sqlx::query_as(
                "SELECT active, \
                 (SELECT COUNT(*) FROM user_blocks b WHERE b.user_id = u.id AND b.deleted = 1), \
                 (SELECT COUNT(*) FROM subjects s WHERE s.user_id = u.id AND s.protocol = 'scim') \
                 FROM users u WHERE u.id = $1",
            )
            .bind(user.as_str())
            .fetch_optional(&self.store.pool)
            .await?;
            let mut on = self.store.pool.acquire().await?;
            let accounts = accounts::read(&mut on, user).await?;
            Ok::<_, StoreError>(row.map(|row| (row, accounts)))
        };
        let Some(((active, deleted, by_scim), accounts)) = self.store.within(work).await? else {
            return Ok(None);
        };
        let latest = self.latest_person(user).await?;
        Ok(Some(Outlook {
            person: latest.map(|(person, _)| person),
            accounts,
            active: active == 1,
            deleted: deleted > 0,
            by_scim: by_scim > 0,
        }))
    }
}
