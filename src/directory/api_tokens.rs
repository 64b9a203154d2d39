//! Tokens of the admin API; only their hash is kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;

use super::Directory;
use crate::audit::{Action, By, Entry};
use crate::identity::hash;
use crate::secret::Secret;
use crate::store::StoreError;

/// A secret begins so, so that scanners of sources find it.
const PREFIX: &str = "usht_";
/// Characters of a secret after it: 32 bytes in Base64.
const SECRET_LEN: usize = 43;
/// Seconds between two writes of the last use.
const USED_EVERY: i64 = 60;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

impl Scope {
    /// The name in the store and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn from_text(text: &str) -> Result<Self, StoreError> {
        [Self::Read, Self::Write]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| StoreError("a token has an unknown scope".to_owned()))
    }
}

/// A token as admins see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// `tok_…`.
    pub id: String,
    /// Its name, for the log.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub used_at: Option<Timestamp>,
}

/// Whether a token may have that name: 1 to 64 letters, digits, `-`, `_` or `.`.
pub fn is_token_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// A row of `api_tokens`: id, name, scope, created_at, expires_at, used_at.
/// Whether a text has the form of the secrets that are made here.
fn is_secret(text: &str) -> bool {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let rest = text.strip_prefix(PREFIX).unwrap_or_default();
    rest.len() == SECRET_LEN && rest.bytes().all(base64)
}

type Row = (String, String, String, i64, Option<i64>, Option<i64>);

fn token((id, name, scope, created_at, expires_at, used_at): Row) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id,
        name,
        scope: Scope::from_text(&scope)?,
        created_at: time(created_at)?,
        expires_at: expires_at.map(time).transpose()?,
        used_at: used_at.map(time).transpose()?,
    })
}

fn time(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second)
        .map_err(|_| StoreError("a token has a time out of range".to_owned()))
}

impl Directory {
    /// Makes a token and gives its secret (256 random bits), which is kept nowhere. Its times count in whole seconds.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn make_api_token(
        &self,
        name: &str,
        scope: Scope,
        expires_at: Option<Timestamp>,
        by: &By,
        now: Timestamp,
    ) -> Result<(ApiToken, Secret), StoreError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| StoreError("no random numbers".to_owned()))?;
        let secret = Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
        let made = token((
            format!("tok_{}", uuid::Uuid::now_v7().simple()),
            name.to_owned(),
            scope.as_str().to_owned(),
            now.as_second(),
            expires_at.map(Timestamp::as_second),
            None,
        ))?;
        let entry = Entry::new(Action::ApiToken, by, "a token was made").with(json!({
            "id": made.id, "name": name, "scope": scope.as_str(), "expires_at": made.expires_at,
        }));
        let work = async {
            let mut transaction = self.store.begin().await?;
            sqlx::query(
                "INSERT INTO api_tokens (id, name, hash, scope, created_by, created_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&made.id)
            .bind(name)
            .bind(hash(secret.expose()))
            .bind(scope.as_str())
            .bind(by.actor.to_text())
            .bind(now.as_second())
            .bind(made.expires_at.map(Timestamp::as_second))
            .execute(&mut *transaction)
            .await?;
            self.audit.append(&mut transaction, &entry, now).await?;
            Ok::<_, StoreError>(transaction.commit().await?)
        };
        self.store.within(work).await?;
        Ok((made, secret))
    }

    /// The live token with that secret. It is found by its hash, so that the time tells nothing of the secret. What has not the form of a
    /// secret is none, without a look into the store.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn api_token(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<ApiToken>, StoreError> {
        if !is_secret(secret) {
            return Ok(None);
        }
        let work = async {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, name, scope, created_at, expires_at, used_at FROM api_tokens \
                 WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
            )
            .bind(hash(secret))
            .bind(now.as_second())
            .fetch_optional(&self.store.pool)
            .await?;
            let Some(mut found) = row.map(token).transpose()? else {
                return Ok(None);
            };
            let used_before = found.used_at.map_or(i64::MIN, Timestamp::as_second);
            if now.as_second().saturating_sub(used_before) >= USED_EVERY {
                sqlx::query("UPDATE api_tokens SET used_at = $2 WHERE id = $1")
                    .bind(&found.id)
                    .bind(now.as_second())
                    .execute(self.store.writer())
                    .await?;
                found.used_at = Some(now);
            }
            Ok(Some(found))
        };
        self.store.within(work).await
    }

    /// All that were not revoked, the newest first; those that are over are among them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        let work = async {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT id, name, scope, created_at, expires_at, used_at FROM api_tokens \
                 WHERE revoked_at IS NULL ORDER BY id DESC",
            )
            .fetch_all(&self.store.pool)
            .await?;
            rows.into_iter().map(token).collect()
        };
        self.store.within(work).await
    }

    /// Revokes one; false: there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn revoke_api_token(
        &self,
        id: &str,
        by: &By,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let revoked: Option<(String, String)> = sqlx::query_as(
                "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL \
                 RETURNING name, scope",
            )
            .bind(id)
            .bind(now.as_second())
            .fetch_optional(&mut *transaction)
            .await?;
            let Some((name, scope)) = revoked else {
                return Ok(false);
            };
            let entry = Entry::new(Action::ApiToken, by, "a token was revoked")
                .with(json!({ "id": id, "name": name, "scope": scope }));
            self.audit.append(&mut transaction, &entry, now).await?;
            transaction.commit().await?;
            Ok(true)
        };
        self.store.within(work).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::SignedDuration;

    use super::*;
    use crate::config::StoreConfig;
    use crate::store::Store;

    async fn directory() -> (Store, Directory) {
        let store = Store::open(&StoreConfig::Memory).await.unwrap();
        (store.clone(), Directory::over(store))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_found_by_its_secret_until_it_is_revoked_or_over() {
        let (_, directory) = directory().await;
        let by = By::system();
        let ends = Some(at(0) + SignedDuration::from_hours(1));
        let made = directory.make_api_token("ci", Scope::Read, ends, &by, at(0));
        let (made, secret) = made.await.unwrap();
        let found = directory.api_token(secret.expose(), at(1)).await.unwrap();
        assert_eq!(found.unwrap().id, made.id);
        let almost = secret.expose().replace("usht_", "usht-");
        assert_eq!(directory.api_token(&almost, at(1)).await.unwrap(), None);
        let over = directory
            .api_token(secret.expose(), at(3600))
            .await
            .unwrap();
        assert_eq!(over, None);
        assert!(
            directory
                .revoke_api_token(&made.id, &by, at(2))
                .await
                .unwrap()
        );
        assert!(
            !directory
                .revoke_api_token(&made.id, &by, at(2))
                .await
                .unwrap()
        );
        let revoked = directory.api_token(secret.expose(), at(3)).await.unwrap();
        assert_eq!(revoked, None);
        assert_eq!(directory.api_tokens().await.unwrap(), []);
    }

    #[tokio::test]
    async fn no_secret_is_stored_and_the_last_use_is_written_once_a_minute() {
        let (store, directory) = directory().await;
        let by = By::system();
        let made = directory.make_api_token("ci", Scope::Write, None, &by, at(0));
        let (_, secret) = made.await.unwrap();
        assert!(is_secret(secret.expose()));
        let stored: (String, String) = sqlx::query_as("SELECT hash, name FROM api_tokens")
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert!(!stored.0.contains(secret.expose()), "{stored:?}");
        for (second, used) in [(10, 10), (60, 10), (70, 70)] {
            directory
                .api_token(secret.expose(), at(second))
                .await
                .unwrap();
            let listed = directory.api_tokens().await.unwrap();
            assert_eq!(listed[0].used_at, Some(at(used)), "{second}");
        }
    }

    #[tokio::test]
    async fn each_change_has_its_line_in_the_log() {
        let (store, directory) = directory().await;
        let by = By::system();
        let made = directory.make_api_token("ci", Scope::Write, None, &by, at(0));
        let (made, _) = made.await.unwrap();
        directory
            .revoke_api_token(&made.id, &by, at(1))
            .await
            .unwrap();
        let lines: Vec<String> = sqlx::query_scalar("SELECT action FROM audit ORDER BY number")
            .fetch_all(&store.pool)
            .await
            .unwrap();
        assert_eq!(lines, ["api_token", "api_token"]);
    }

    #[tokio::test]
    async fn what_has_not_the_form_of_a_secret_is_refused_without_the_store() {
        let (store, directory) = directory().await;
        store.close().await;
        let whole = format!("{PREFIX}{}", "a".repeat(SECRET_LEN));
        for text in [
            "",
            PREFIX,
            &whole[..whole.len() - 1],
            &format!("{whole}a"),
            &whole.replace("usht_", "usht-"),
            &whole.replace("aaaa", "a.a="),
            &whole[PREFIX.len()..],
        ] {
            assert_eq!(
                directory.api_token(text, at(0)).await.unwrap(),
                None,
                "{text}"
            );
        }
        assert!(directory.api_token(&whole, at(0)).await.is_err());
    }

    #[test]
    fn names_are_plain() {
        for name in ["ci", "a.b-c_9", &"x".repeat(64)] {
            assert!(is_token_name(name), "{name}");
        }
        for name in ["", "a b", "a\n", "é", "a/b", &"x".repeat(65)] {
            assert!(!is_token_name(name), "{name}");
        }
    }
}
