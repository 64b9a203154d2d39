//! Things that may be used once: sign-in states, assertion ids.

use jiff::Timestamp;

use crate::identity::{IdpId, hash};
use crate::store::{Store, StoreError};

/// What is claimed for an id that an IdP gave (of an assertion, a token, a session): its ids are its own, and may be long.
pub fn id_of(idp: &IdpId, id: &str) -> String {
    hash(&format!("{idp}\0{id}"))
}

/// Claims in the store.
#[derive(Clone, Debug)]
pub struct Claims {
    store: Store,
}

impl Claims {
    /// Over an open store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Claims `id` for `kind`, to be remembered until `until`: true for exactly one caller.
    pub async fn claim(&self, kind: &str, id: &str, until: Timestamp) -> Result<bool, StoreError> {
        self.store
            .within(async {
                let done = sqlx::query(
                    "INSERT INTO claims (kind, id, kept_until) VALUES ($1, $2, $3) \
                     ON CONFLICT (kind, id) DO NOTHING",
                )
                .bind(kind)
                .bind(id)
                .bind(until.as_second())
                .execute(self.store.writer())
                .await?;
                Ok(done.rows_affected() == 1)
            })
            .await
    }

    /// Whether `id` is claimed for `kind`.
    pub async fn is_claimed(&self, kind: &str, id: &str) -> Result<bool, StoreError> {
        self.store
            .within(async {
                let found: Option<i64> =
                    sqlx::query_scalar("SELECT kept_until FROM claims WHERE kind = $1 AND id = $2")
                        .bind(kind)
                        .bind(id)
                        .fetch_optional(&self.store.pool)
                        .await?;
                Ok(found.is_some())
            })
            .await
    }

    /// Forgets claims whose time is over; called now and then.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .within(async {
                sqlx::query("DELETE FROM claims WHERE kept_until < $1")
                    .bind(now.as_second())
                    .execute(self.store.writer())
                    .await?;
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::StoreConfig;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_id_of_two_idps_is_claimed_twice() {
        let key = |idp: &str, id: &str| id_of(&IdpId::new(idp), id);
        assert_ne!(key("a", "_1"), key("b", "_1"));
        assert_ne!(key("a", "_1"), key("a", "_2"));
        assert_eq!(key("a", "_1").len(), 64);
    }

    #[tokio::test]
    async fn of_many_that_claim_at_once_exactly_one_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
        let stores = [
            Store::open(&config).await.unwrap(),
            Store::open(&config).await.unwrap(),
        ];
        let claims: Vec<_> = stores.iter().map(|one| Claims::new(one.clone())).collect();
        let tries = (0..50).map(|turn| claims[turn % 2].claim("state", "x", at(100)));
        let won = futures_util::future::join_all(tries).await;
        let won = won.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        assert_eq!(won, 1);
        assert!(claims[0].claim("assertion", "x", at(100)).await.unwrap());
    }

    #[tokio::test]
    async fn a_claim_is_kept_until_its_time_is_over() {
        let claims = Claims::new(Store::open(&StoreConfig::Memory).await.unwrap());
        assert!(claims.claim("state", "x", at(100)).await.unwrap());
        claims.sweep(at(100)).await.unwrap();
        assert!(!claims.claim("state", "x", at(100)).await.unwrap());
        claims.sweep(at(101)).await.unwrap();
        assert!(claims.claim("state", "x", at(200)).await.unwrap());
    }

    #[tokio::test]
    async fn a_failing_store_is_an_error_and_not_a_claim() {
        let store = Store::open(&StoreConfig::Memory).await.unwrap();
        store.close().await;
        assert!(Claims::new(store).claim("state", "x", at(1)).await.is_err());
    }
}
