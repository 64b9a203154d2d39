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
