//! Persons with their accounts in the apps.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{Directory, Event};
use crate::identity::{Account, AccountState, AppId, Attributes, Person, Role, Subject, UserId};
use crate::store::StoreError;

/// `accounts.state` where the app has the account.
const OPEN: &str = "open";
/// `accounts.state` where the app refused it.
const REFUSED: &str = "refused";

impl Directory {
    /// The person behind a subject, with the accounts in all apps. `None` also for a deactivated user.
    pub async fn person(&self, subject: &Subject) -> Result<Option<Person>, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            let row: Option<(String, String)> = sqlx::query_as(
                "SELECT u.id, s.attributes FROM subjects s JOIN users u ON u.id = s.user_id \
                 WHERE s.idp = $1 AND s.issuer = $2 AND s.format = $3 AND s.value = $4 \
                 AND u.active = 1",
            )
            .bind(subject.idp.as_str())
            .bind(&subject.issuer)
            .bind(&subject.format)
            .bind(&subject.value)
            .fetch_optional(&mut *on)
            .await?;
            let Some((user, attributes)) = row else {
                return Ok(None);
            };
            let user = UserId::new(user);
            let mut attributes: Attributes = serde_json::from_str(&attributes)?;
            attributes.groups =
                super::scim::groups(&mut on, subject, &user, attributes.groups).await?;
            let accounts = read(&mut on, &user).await?;
            let grants = super::grants::read(&mut on, &user).await?;
            Ok(Some(Person {
                user,
                subject: subject.clone(),
                attributes,
                accounts,
                grants,
            }))
        };
        self.store.within(work).await
    }

    /// Whether a user is known and not deactivated.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_active(&self, user: &UserId) -> Result<bool, StoreError> {
        let work = async {
            let active: Option<i64> = sqlx::query_scalar("SELECT active FROM users WHERE id = $1")
                .bind(user.as_str())
                .fetch_optional(&self.store.pool)
                .await?;
            Ok(active == Some(1))
        };
        self.store.within(work).await
    }

    /// Writes an account that changes without an event, because there is nobody to tell.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_account(
        &self,
        user: &UserId,
        account: &Account,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            write(&mut transaction, user, account, None, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }

    /// The account of a user in an app, where that app was asked already.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn account(&self, user: &UserId, app: &AppId) -> Result<Option<Account>, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            let accounts = read(&mut on, user).await?;
            Ok(accounts.into_iter().find(|account| account.app == *app))
        };
        self.store.within(work).await
    }

    /// The body of the event that the app answered last, with the old values that `previous` tells.
    pub async fn told_body(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<Option<String>, StoreError> {
        let work = async {
            let body: Option<Option<String>> = sqlx::query_scalar(
                "SELECT told_body FROM accounts WHERE user_id = $1 AND app = $2",
            )
            .bind(user.as_str())
            .bind(app.as_str())
            .fetch_optional(&self.store.pool)
            .await?;
            Ok(body.flatten())
        };
        self.store.within(work).await
    }
}

/// Writes an account as it is now, with the body of the event that was answered.
pub(super) async fn write(
    on: &mut SqliteConnection,
    user: &UserId,
    account: &Account,
    event: Option<&Event>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (state, message, reason) = match &account.state {
        AccountState::Open => (OPEN, None, None),
        AccountState::Refused { message, reason } => (REFUSED, message.clone(), reason.clone()),
    };
    sqlx::query(
        "INSERT INTO accounts (user_id, app, account, roles, state, message, reason, told, \
         told_body, changed_at, active) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (user_id, app) DO UPDATE SET account = excluded.account, \
         roles = excluded.roles, state = excluded.state, message = excluded.message, \
         reason = excluded.reason, told = excluded.told, \
         told_body = COALESCE(excluded.told_body, accounts.told_body), \
         changed_at = excluded.changed_at, active = excluded.active",
    )
    .bind(user.as_str())
    .bind(account.app.as_str())
    .bind(&account.id)
    .bind(serde_json::to_string(&account.roles)?)
    .bind(state)
    .bind(message)
    .bind(reason)
    .bind(&account.told)
    .bind(event.map(|event| &event.body))
    .bind(now.as_second())
    .bind(i64::from(account.active))
    .execute(on)
    .await?;
    Ok(())
}

/// A row of `accounts`: app, account, roles, state, message, reason, told, active.
type Row = (
    String,
    Option<String>,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    i64,
);

/// The accounts of a user in all apps.
pub(super) async fn read(
    on: &mut SqliteConnection,
    user: &UserId,
) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT app, account, roles, state, message, reason, told, active FROM accounts \
         WHERE user_id = $1 ORDER BY app",
    )
    .bind(user.as_str())
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|(app, id, roles, state, message, reason, told, active)| {
            let roles: Vec<Role> = serde_json::from_str(&roles)?;
            let state = match state.as_str() {
                OPEN => AccountState::Open,
                REFUSED => AccountState::Refused { message, reason },
                _ => return Err(StoreError("an account has an unknown state".to_owned())),
            };
            Ok(Account {
                app: AppId::new(app),
                id,
                roles,
                state,
                active: active == 1,
                told,
            })
        })
        .collect()
}
