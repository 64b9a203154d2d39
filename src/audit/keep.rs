//! How long lines are kept.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::Audit;
use super::chain::{ANCHOR, End, end, set_end};
use crate::store::StoreError;

/// Seconds between two looks.
const LOOK_EVERY: i64 = 3600;
/// Lines that one transaction takes away, so that others need not wait for long.
const AT_ONCE: i64 = 500;

impl Audit {
    /// Takes away, once an hour, what is older than `audit.keep_for`. The chain then begins at an anchor: the hash of the last
    /// line that was taken away.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tend(&self, now: Timestamp) -> Result<(), StoreError> {
        let second = now.as_second();
        let due = self.shared.pruned_at.load(Ordering::Relaxed) + LOOK_EVERY;
        if second < due {
            return Ok(());
        }
        let keep_for = self.shared.keep_for.load(Ordering::Relaxed);
        let before = second.saturating_sub(keep_for);
        let mut gone = 0;
        loop {
            let taken = self.store.within(self.take_away(before)).await?;
            gone += taken;
            if taken < AT_ONCE {
                break;
            }
        }
        self.shared.pruned_at.store(second, Ordering::Relaxed);
        if gone > 0 {
            tracing::info!(
                event = "audit_pruned",
                lines = gone,
                "old lines of the audit log were taken away"
            );
        }
        Ok(())
    }

    /// Takes the oldest lines away, up to the first one that is kept; gives how many.
    async fn take_away(&self, before: i64) -> Result<i64, StoreError> {
        let mut transaction = self.store.begin().await?;
        let on = &mut *transaction;
        let anchor = end(on, ANCHOR).await?;
        let oldest: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT number, at, hash FROM audit WHERE number > $1 ORDER BY number LIMIT $2",
        )
        .bind(anchor.number)
        .bind(AT_ONCE)
        .fetch_all(&mut *on)
        .await?;
        let old: Vec<_> = oldest
            .into_iter()
            .take_while(|(_, at, _)| *at < before)
            .collect();
        let count = i64::try_from(old.len()).unwrap_or(AT_ONCE);
        let Some((number, _, hash)) = old.into_iter().next_back() else {
            return Ok(0);
        };
        sqlx::query("DELETE FROM audit WHERE number <= $1")
            .bind(number)
            .execute(&mut *on)
            .await?;
        set_end(on, ANCHOR, &End { number, hash }).await?;
        transaction.commit().await?;
        Ok(count)
    }
}
