//! How it goes, in a few numbers.

use jiff::Timestamp;

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
