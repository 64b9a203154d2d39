//! The end of an invitation that nobody accepted: withdrawn, or its time is over.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::Directory;
use crate::audit::{Action, By, Entry};
use crate::identity::UserId;
use crate::store::StoreError;

impl Directory {
    /// Withdraws an invitation; false: there is no open one with that id. A user who never came is forgotten with it:
    /// names, roles and all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn withdraw_invitation(
        &self,
        id: &str,
        by: &By,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            let row: Option<(String, String)> = sqlx::query_as(
                "UPDATE invitations SET withdrawn_at = $2 WHERE id = $1 AND accepted_at IS NULL \
                 AND withdrawn_at IS NULL AND expires_at > $2 RETURNING user_id, email",
            )
            .bind(id)
            .bind(now.as_second())
            .fetch_optional(&mut *on)
            .await?;
            let Some((user, email)) = row else {
                return Ok(false);
            };
            let user = UserId::new(user);
            let forgotten = forget(on, &user, now).await?;
            let details = json!({ "invitation": id, "email": email, "forgotten": forgotten });
            let entry = Entry::new(Action::Invitation, by, "withdrawn")
                .about(&user)
                .with(details);
            self.audit.append(on, &entry, now).await?;
            transaction.commit().await?;
            Ok(true)
        };
        self.store.within(work).await
    }

    /// Forgets people who were invited and did not come in time; called every minute.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep_invitations(&self, now: Timestamp) -> Result<(), StoreError> {
        let work = async {
            if overdue(&mut *self.store.pool.acquire().await?, now)
                .await?
                .is_empty()
            {
                return Ok(());
            }
            let mut transaction = self.store.begin().await?;
            for user in forget_all(&mut transaction, now).await? {
                let why = "the invitation expired; the user never came and is forgotten";
                let entry = Entry::new(Action::Invitation, &By::system(), why).about(&user);
                self.audit.append(&mut transaction, &entry, now).await?;
            }
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }
}

/// Users who were invited, never came, and have no invitation left that could be accepted.
async fn overdue(on: &mut SqliteConnection, now: Timestamp) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT u.id FROM users u WHERE u.invited = 1 AND NOT EXISTS (SELECT 1 FROM invitations i \
         WHERE i.user_id = u.id AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL \
         AND i.expires_at > $1) AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.user_id = u.id) \
         ORDER BY u.id LIMIT 200",
    )
    .bind(now.as_second())
    .fetch_all(on)
    .await?;
    Ok(ids.into_iter().map(UserId::new).collect())
}

/// Forgets them, so that an expired invitation holds no address; says whom.
pub(super) async fn forget_all(
    on: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Vec<UserId>, StoreError> {
    let mut gone = Vec::new();
    for user in overdue(on, now).await? {
        if forget(on, &user, now).await? {
            gone.push(user);
        }
    }
    Ok(gone)
}

/// Forgets a user who was invited and never came. Where anything else knows of the user already, only the roles of
/// the invitation go; says whether the user is gone.
async fn forget(
    on: &mut SqliteConnection,
    user: &UserId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let invited: Option<i64> = sqlx::query_scalar("SELECT invited FROM users WHERE id = $1")
        .bind(user.as_str())
        .fetch_optional(&mut *on)
        .await?;
    if invited != Some(1) {
        return Ok(false);
    }
    let taken = sqlx::query("DELETE FROM grants WHERE user_id = $1 AND source = 'invitation'")
        .bind(user.as_str())
        .execute(&mut *on)
        .await?;
    let known: i64 = sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM subjects WHERE user_id = $1) \
         + (SELECT COUNT(*) FROM accounts WHERE user_id = $1) + (SELECT COUNT(*) FROM events WHERE user_id = $1) \
         + (SELECT COUNT(*) FROM scim_users WHERE user_id = $1) + (SELECT COUNT(*) FROM scim_marks WHERE user_id = $1) \
         + (SELECT COUNT(*) FROM local_credentials WHERE user_id = $1)",
    )
    .bind(user.as_str())
    .fetch_one(&mut *on)
    .await?;
    if known > 0 {
        if taken.rows_affected() > 0 {
            super::super::changes::mark(on, user, now).await?;
        }
        return Ok(false);
    }
    for statement in [
        "DELETE FROM grants WHERE user_id = $1",
        "DELETE FROM held_names WHERE user_id = $1",
        "DELETE FROM user_blocks WHERE user_id = $1",
        "DELETE FROM changes WHERE user_id = $1",
        "DELETE FROM users WHERE id = $1",
    ] {
        sqlx::query(statement)
            .bind(user.as_str())
            .execute(&mut *on)
            .await?;
    }
    Ok(true)
}
