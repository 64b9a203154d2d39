//! An admin's word on an identity provider: it holds until that provider's part of the file changes.

use jiff::Timestamp;
use serde_json::json;

use super::Directory;
use crate::audit::{Action, By, Entry};
use crate::config::Idp;
use crate::identity::IdpId;
use crate::store::StoreError;

/// A switch as an admin set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The IdP.
    pub idp: IdpId,
    /// Whether people may sign in through it.
    pub enabled: bool,
    /// [`Idp::fingerprint`] when it was set.
    pub config: String,
    /// Who set it, as the log writes it.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

impl Directory {
    /// All switches that were set, those included that no longer count since the file changed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn switches(&self) -> Result<Vec<Switch>, StoreError> {
        let read = async {
            let rows: Vec<(String, i64, String, String, i64)> = sqlx::query_as(
                "SELECT idp, enabled, config, set_by, set_at FROM idp_switches ORDER BY idp",
            )
            .fetch_all(&self.store.pool)
            .await?;
            rows.into_iter()
                .map(|(idp, enabled, config, set_by, set_at)| {
                    Ok(Switch {
                        idp: IdpId::new(idp),
                        enabled: enabled == 1,
                        config,
                        set_by,
                        set_at: Timestamp::from_second(set_at)
                            .map_err(|_| StoreError("a switch has no possible time".to_owned()))?,
                    })
                })
                .collect()
        };
        self.store.within(read).await
    }

    /// Sets one, with its line in the log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn set_switch(
        &self,
        idp: &Idp,
        enabled: bool,
        by: &By,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let why = if enabled {
            "switched on"
        } else {
            "switched off"
        };
        let entry = Entry::new(Action::Idp, by, why)
            .at_idp(&idp.id)
            .with(json!({ "enabled": enabled, "file_says": idp.enabled }));
        let work = async {
            let mut transaction = self.store.begin().await?;
            sqlx::query(
                "INSERT INTO idp_switches (idp, enabled, config, set_by, set_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (idp) DO UPDATE SET \
                 enabled = excluded.enabled, config = excluded.config, \
                 set_by = excluded.set_by, set_at = excluded.set_at",
            )
            .bind(idp.id.as_str())
            .bind(i64::from(enabled))
            .bind(&idp.fingerprint)
            .bind(by.actor.to_text())
            .bind(now.as_second())
            .execute(&mut *transaction)
            .await?;
            self.audit.append(&mut transaction, &entry, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::Filter;
    use crate::config::{self, Config, StoreConfig};
    use crate::store::Store;

    fn config(label: &str) -> Config {
        let text = format!(
            "listen: 127.0.0.1:0\npublic_url: https://app.test\nidentity_providers:\n  - id: acme\n    \
             label: {label}\n    oidc: {{ issuer: 'https://login.acme.test', client_id: usher, client_secret: s3cret-enough }}\n\
             apps:\n  - {{ id: app, upstream: 'http://127.0.0.1:1' }}\n"
        );
        config::parse("test.yaml", &text, &|_| None).unwrap()
    }

    #[tokio::test]
    async fn the_last_word_counts_and_both_are_in_the_log() {
        let store = Store::open(&StoreConfig::Memory).await.unwrap();
        let directory = Directory::over(store);
        let (one, other) = (config("Acme"), config("Acme Inc"));
        let by = By::system();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        directory
            .set_switch(&one.idps[0], false, &by, now)
            .await
            .unwrap();
        directory
            .set_switch(&other.idps[0], true, &by, now)
            .await
            .unwrap();
        let switches = directory.switches().await.unwrap();
        let [switch] = switches.as_slice() else {
            unreachable!("{switches:?}")
        };
        assert!(switch.enabled);
        assert_eq!(switch.config, other.idps[0].fingerprint);
        assert_ne!(switch.config, one.idps[0].fingerprint);
        assert_eq!((switch.set_by.as_str(), switch.set_at), ("system", now));
        let filter = Filter {
            idp: Some("acme".to_owned()),
            ..Filter::default()
        };
        let lines = directory
            .audit()
            .page(&filter, None, 10)
            .await
            .unwrap()
            .lines;
        let said: Vec<&str> = lines.iter().map(|line| line.why.as_str()).collect();
        assert_eq!(said, ["switched on", "switched off"]);
    }
}
