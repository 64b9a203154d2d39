//! Tries to sign in by password, counted by account and by address.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::Directory;
use crate::identity;
use crate::store::StoreError;

/// Failures after which an account, or an address, has to wait.
const FAILURES: i64 = 5;
/// Seconds in which they are counted, from the first one; and then it waits until they are over.
const WINDOW: i64 = 15 * 60;

/// By whom tries are counted. Names that nobody has count as well.
#[derive(Clone, Debug)]
pub struct Trying {
    account: String,
    address: String,
}

impl Trying {
    /// `account` folded, so that all spellings are one; of an IPv6 address counts the /64, which is one customer.
    pub fn new(account: &str, client: IpAddr) -> Self {
        let address = match client.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        };
        Self {
            account: identity::hash(account),
            address: identity::hash(&address),
        }
    }

    fn keys(&self) -> [(&'static str, &str); 2] {
        [("account", &self.account), ("address", &self.address)]
    }
}

impl Directory {
    /// Counts one more try before it is judged, so that many at once are no more than one after the other. Some: it is
    /// not to be judged, and this is how long to wait.
    ///
    /// # Errors
    /// If the store fails: then nobody may try.
    pub async fn begin_attempt(
        &self,
        trying: &Trying,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            let mut wait = 0;
            for (kind, key) in trying.keys() {
                wait = wait.max(locked_for(on, kind, key, now).await?);
            }
            if wait > 0 {
                return Ok(Some(Duration::from_secs(wait.unsigned_abs())));
            }
            for (kind, key) in trying.keys() {
                sqlx::query(
                    "INSERT INTO local_failures (kind, key, failures, since) VALUES ($1, $2, 1, $3) \
                     ON CONFLICT (kind, key) DO UPDATE SET failures = local_failures.failures + 1",
                )
                .bind(kind)
                .bind(key)
                .bind(now.as_second())
                .execute(&mut *on)
                .await?;
            }
            transaction.commit().await?;
            Ok(None)
        };
        self.store.within(work).await
    }

    /// The try was no failure: the account's counter begins anew, the address gets this one back.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn attempt_succeeded(&self, trying: &Trying) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            sqlx::query("DELETE FROM local_failures WHERE kind = 'account' AND key = $1")
                .bind(&trying.account)
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "UPDATE local_failures SET failures = failures - 1 WHERE kind = 'address' AND key = $1",
            )
            .bind(&trying.address)
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }

    /// Forgets tries of windows that are over; called every minute.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep_attempts(&self, now: Timestamp) -> Result<(), StoreError> {
        let work = async {
            sqlx::query("DELETE FROM local_failures WHERE since <= $1")
                .bind(now.as_second().saturating_sub(WINDOW))
                .execute(self.store.writer())
                .await?;
            Ok(())
        };
        self.store.within(work).await
    }
}

/// Seconds that are left to wait. A window that is over is forgotten.
async fn locked_for(
    on: &mut SqliteConnection,
    kind: &str,
    key: &str,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT failures, since FROM local_failures WHERE kind = $1 AND key = $2")
            .bind(kind)
            .bind(key)
            .fetch_optional(&mut *on)
            .await?;
    let Some((failures, since)) = row else {
        return Ok(0);
    };
    let left = since.saturating_add(WINDOW) - now.as_second();
    if left > 0 {
        return Ok(if failures >= FAILURES { left } else { 0 });
    }
    sqlx::query("DELETE FROM local_failures WHERE kind = $1 AND key = $2")
        .bind(kind)
        .bind(key)
        .execute(on)
        .await?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::StoreConfig;
    use crate::store::Store;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn trying(account: &str, client: &str) -> Trying {
        Trying::new(account, client.parse().unwrap())
    }

    async fn memory() -> Directory {
        Directory::over(Store::open(&StoreConfig::Memory).await.unwrap())
    }

    async fn wait(directory: &Directory, trying: &Trying, second: i64) -> Option<u64> {
        let wait = directory.begin_attempt(trying, at(second)).await.unwrap();
        wait.map(|wait| wait.as_secs())
    }

    #[tokio::test]
    async fn five_failures_lock_the_account_from_everywhere_until_the_window_is_over() {
        let directory = memory().await;
        for number in 0..5 {
            let from = trying("root", &format!("192.0.2.{number}"));
            assert_eq!(wait(&directory, &from, number).await, None);
        }
        let elsewhere = trying("root", "198.51.100.1");
        assert_eq!(wait(&directory, &elsewhere, 60).await, Some(840));
        assert_eq!(wait(&directory, &elsewhere, 899).await, Some(1));
        assert_eq!(
            wait(&directory, &trying("ann", "198.51.100.1"), 899).await,
            None
        );
        assert_eq!(wait(&directory, &elsewhere, 900).await, None);
    }

    #[tokio::test]
    async fn five_failures_lock_the_address_for_every_account() {
        for same in [
            ["192.0.2.1", "::ffff:192.0.2.1"],
            ["2001:db8::1", "2001:db8::ffff:1"],
        ] {
            let directory = memory().await;
            for number in 0..5 {
                let one = trying(&format!("user{number}"), same[number % 2]);
                assert_eq!(wait(&directory, &one, 0).await, None);
            }
            assert_eq!(
                wait(&directory, &trying("other", same[0]), 1).await,
                Some(899)
            );
            for apart in ["192.0.2.2", "2001:db8:0:1::1"] {
                assert_eq!(wait(&directory, &trying("other", apart), 1).await, None);
            }
        }
    }

    #[tokio::test]
    async fn a_success_clears_the_account_and_gives_the_address_its_try_back() {
        let directory = memory().await;
        let ann = trying("ann", "192.0.2.1");
        for _ in 0..20 {
            assert_eq!(wait(&directory, &ann, 0).await, None);
            directory.attempt_succeeded(&ann).await.unwrap();
        }
        // One good account is no way to try others for ever.
        for number in 0..5 {
            assert_eq!(
                wait(&directory, &trying(&number.to_string(), "192.0.2.1"), 0).await,
                None
            );
            if number < 4 {
                assert!(wait(&directory, &ann, 0).await.is_none());
                directory.attempt_succeeded(&ann).await.unwrap();
            }
        }
        assert_eq!(wait(&directory, &ann, 0).await, Some(900));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_at_once_are_five() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
        let directory = Directory::over(Store::open(&config).await.unwrap());
        let tries = (0..40).map(|number| {
            let directory = directory.clone();
            let one = trying("root", &format!("192.0.2.{number}"));
            async move {
                directory
                    .begin_attempt(&one, at(0))
                    .await
                    .unwrap()
                    .is_none()
            }
        });
        let allowed = futures_util::future::join_all(tries).await;
        assert_eq!(allowed.iter().filter(|one| **one).count(), 5);
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten() {
        let directory = memory().await;
        wait(&directory, &trying("a", "192.0.2.1"), 0).await;
        wait(&directory, &trying("b", "192.0.2.2"), 500).await;
        directory.sweep_attempts(at(900)).await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM local_failures")
            .fetch_one(&directory.store.pool)
            .await
            .unwrap();
        assert_eq!(left, 2);
    }
}
