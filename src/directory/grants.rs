//! Roles that do not come from groups.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::{Directory, changes};
use crate::audit::{Action, By, Entry};
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

impl Directory {
    /// Sets the roles that an admin gives in one app; none: takes them all back. Which roles the app has, and whether the
    /// person's groups decide instead ([`crate::access::standing::origins`]), is for the caller to know.
    ///
    /// # Errors
    /// If the store fails, or there is no such user.
    pub async fn set_roles(
        &self,
        user: &UserId,
        app: &AppId,
        roles: &[Role],
        by: &By,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            let before: Vec<Role> = read(on, user)
                .await?
                .into_iter()
                .filter(|grant| grant.app == *app && grant.source == GrantSource::Admin)
                .filter_map(|grant| grant.role)
                .collect();
            let mut after = roles.to_vec();
            after.sort_unstable();
            after.dedup();
            if before == after {
                return Ok(());
            }
            replace(on, user, app, &after, by, now).await?;
            let entry = Entry::new(Action::Roles, by, "an admin set the roles")
                .about(user)
                .in_app(app)
                .with(json!({ "before": before, "after": after }));
            self.audit.append(on, &entry, now).await?;
            changes::mark(on, user, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }
}

async fn replace(
    on: &mut SqliteConnection,
    user: &UserId,
    app: &AppId,
    roles: &[Role],
    by: &By,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM grants WHERE user_id = $1 AND app = $2 AND source = $3")
        .bind(user.as_str())
        .bind(app.as_str())
        .bind(GrantSource::Admin.as_str())
        .execute(&mut *on)
        .await?;
    for role in roles {
        sqlx::query(
            "INSERT INTO grants (user_id, app, role, source, given_by, given_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(user.as_str())
        .bind(app.as_str())
        .bind(role.as_str())
        .bind(GrantSource::Admin.as_str())
        .bind(by.actor.to_text())
        .bind(now.as_second())
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}
