//! The database under `session/`, `directory/`, `claims` and `keys/`: opening and migrating it.
//! SQL here and there stays within what PostgreSQL understands too.

use sqlx::SqlitePool;

use crate::config::StoreConfig;

/// An open, migrated database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) pool: SqlitePool,
}

/// The store failed: the caller answers 503, never "anonymous".
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl Store {
    /// Opens (creating it where missing) and migrates the database.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let _ = config;
        todo!()
    }
}
