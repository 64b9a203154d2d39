//! Tokens of the admin API; only their hash is kept.

use jiff::Timestamp;

use super::Directory;
use crate::audit::By;
use crate::secret::Secret;
use crate::store::StoreError;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

/// A token as admins see it.
#[derive(Clone, Debug)]
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

impl Directory {
    /// Makes a token and gives its secret, which is kept nowhere.
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
        let _ = (name, scope, expires_at, by, now);
        todo!()
    }

    /// The live token with that secret.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn api_token(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<ApiToken>, StoreError> {
        let _ = (secret, now);
        todo!()
    }

    /// All that were not revoked.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        todo!()
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
        let _ = (id, by, now);
        todo!()
    }
}
