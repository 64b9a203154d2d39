//! How it goes, in a few numbers.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite};

use super::Directory;
use crate::store::StoreError;

/// Sign-ins since some time, as the log has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Let in.
    pub sign_ins: u64,
    /// Refused after a login that was verified, or a password that was not right.
    pub refused: u64,
}

impl Directory {
    /// What people are called, by their ids: name, else e-mail address, else username. Who has none of them, or is not known, is left out.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn names(&self, users: &[&str]) -> Result<HashMap<String, String>, StoreError> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let read = async {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT id, COALESCE(name, email, username, '') FROM users WHERE id IN (",
            );
            let mut ids = query.separated(", ");
            for user in users {
                ids.push_bind((*user).to_owned());
            }
            query.push(")");
            let rows: Vec<(String, String)> =
                query.build_query_as().fetch_all(&self.store.pool).await?;
            Ok(rows
                .into_iter()
                .filter(|(_, name)| !name.is_empty())
                .collect())
        };
        self.store.within(read).await
    }

    /// Sign-ins through IdPs and by password since `since`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn pulse(&self, since: Timestamp) -> Result<Pulse, StoreError> {
        let read = async {
            let (sign_ins, refused): (i64, i64) = sqlx::query_as(
                "SELECT COALESCE(SUM(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END), 0), \
                 COALESCE(SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE 1 END), 0) FROM audit \
                 WHERE at >= $1 AND action IN ('sign_in', 'local_sign_in', 'break_glass')",
            )
            .bind(since.as_second())
            .fetch_one(&self.store.pool)
            .await?;
            let unsigned = |number| u64::try_from(number).unwrap_or(0);
            Ok(Pulse {
                sign_ins: unsigned(sign_ins),
                refused: unsigned(refused),
            })
        };
        self.store.within(read).await
    }
}
