//! Why users are deactivated: one row for each source, and each source lifts its own word alone.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::people::time;
use super::{AdmitError, Directory, changes};
use crate::audit::{Action, By, Entry};
use crate::identity::{IdpId, UserId};
use crate::store::StoreError;

/// Why a user is deactivated: each source lifts its own word alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Who said so.
    pub source: BlockSource,
    /// Whether the person was deleted there, and not only switched off.
    pub deleted: bool,
    /// Why, for the log and the admin.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// Who deactivates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockSource {
    /// An admin.
    Admin,
    /// The SCIM client of an IdP.
    Scim(IdpId),
}

impl BlockSource {
    /// Of what [`BlockSource::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        match text.strip_prefix("scim:") {
            Some(idp) => Some(Self::Scim(IdpId::new(idp))),
            None => (text == "admin").then_some(Self::Admin),
        }
    }

    /// As the store writes it: `admin`, `scim:acme`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Scim(idp) => format!("scim:{idp}"),
        }
    }
}

impl Directory {
    /// Deactivates a user, with the line in the log and the mark for the apps, in one transaction. False: that source had said
    /// so already, or there is no such user. The caller goes on with [`crate::revoke::follow`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn block(&self, user: &UserId, block: &Block, by: &By) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let changed = self.block_on(&mut transaction, user, block, by).await?;
            transaction.commit().await?;
            Ok(changed)
        };
        self.store.within(work).await
    }

    /// Takes the word of one source back. False: it had not said so.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unblock(
        &self,
        user: &UserId,
        source: &BlockSource,
        by: &By,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let changed = self
                .unblock_on(&mut transaction, user, source, by, now)
                .await?;
            transaction.commit().await?;
            Ok(changed)
        };
        self.store.within(work).await
    }

    /// Why a user may not sign in (any more); none: they may.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn refusal_of(&self, user: &UserId) -> Result<Option<AdmitError>, StoreError> {
        let work = async {
            let mut transaction = self.store.pool.begin().await?;
            match is_active(&mut transaction, user).await? {
                Some(true) => Ok(None),
                Some(false) | None => Ok(Some(refusal(&mut transaction, user.clone()).await?)),
            }
        };
        self.store.within(work).await
    }

    /// [`Directory::block`] within the caller's transaction.
    pub(super) async fn block_on(
        &self,
        on: &mut SqliteConnection,
        user: &UserId,
        block: &Block,
        by: &By,
    ) -> Result<bool, StoreError> {
        let Some(was_active) = is_active(on, user).await? else {
            return Ok(false);
        };
        let said = read(on, user).await?;
        let said = said.iter().find(|said| said.source == block.source);
        if said.is_some_and(|said| said.deleted == block.deleted) {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO user_blocks (user_id, source, deleted, why, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (user_id, source) DO UPDATE SET deleted = excluded.deleted, \
             why = excluded.why, at = excluded.at",
        )
        .bind(user.as_str())
        .bind(block.source.to_text())
        .bind(i64::from(block.deleted))
        .bind(&block.why)
        .bind(block.at.as_second())
        .execute(&mut *on)
        .await?;
        let change = if block.deleted {
            "deleted"
        } else {
            "deactivated"
        };
        let entry = Entry::new(Action::User, by, &block.why).with(json!({
            "change": change,
            "source": block.source.to_text(),
            "before": { "active": was_active },
            "after": { "active": false },
        }));
        self.changed(on, user, entry, block.at).await?;
        Ok(true)
    }

    /// [`Directory::unblock`] within the caller's transaction.
    pub(super) async fn unblock_on(
        &self,
        on: &mut SqliteConnection,
        user: &UserId,
        source: &BlockSource,
        by: &By,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM user_blocks WHERE user_id = $1 AND source = $2")
            .bind(user.as_str())
            .bind(source.to_text())
            .execute(&mut *on)
            .await?;
        if gone.rows_affected() == 0 {
            return Ok(false);
        }
        let left: Vec<String> = read(on, user)
            .await?
            .iter()
            .map(|block| block.source.to_text())
            .collect();
        let why = if left.is_empty() {
            "the only block was taken back"
        } else {
            "a block was taken back, others stay"
        };
        let entry = Entry::new(Action::User, by, why).with(json!({
            "change": "reactivated",
            "source": source.to_text(),
            "before": { "active": false },
            "after": { "active": left.is_empty() },
            "still_blocked_by": left,
        }));
        self.changed(on, user, entry, now).await?;
        Ok(true)
    }

    /// What every change of the blocks ends with: the flag, the line and the mark.
    async fn changed(
        &self,
        on: &mut SqliteConnection,
        user: &UserId,
        entry: Entry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE users SET active = CASE WHEN EXISTS \
             (SELECT 1 FROM user_blocks WHERE user_id = $1) THEN 0 ELSE 1 END WHERE id = $1",
        )
        .bind(user.as_str())
        .execute(&mut *on)
        .await?;
        self.audit.append(on, &entry.about(user), now).await?;
        changes::mark(on, user, now).await
    }
}

async fn is_active(on: &mut SqliteConnection, user: &UserId) -> Result<Option<bool>, StoreError> {
    let active: Option<i64> = sqlx::query_scalar("SELECT active FROM users WHERE id = $1")
        .bind(user.as_str())
        .fetch_optional(on)
        .await?;
    Ok(active.map(|active| active == 1))
}

/// All blocks of a user, the oldest first.
pub(super) async fn read(
    on: &mut SqliteConnection,
    user: &UserId,
) -> Result<Vec<Block>, StoreError> {
    let rows: Vec<(String, i64, String, i64)> = sqlx::query_as(
        "SELECT source, deleted, why, at FROM user_blocks WHERE user_id = $1 ORDER BY at, source",
    )
    .bind(user.as_str())
    .fetch_all(on)
    .await?;
    rows.into_iter()
        .map(|(source, deleted, why, at)| {
            Ok(Block {
                source: BlockSource::from_text(&source)
                    .ok_or_else(|| StoreError("a block has an unknown source".to_owned()))?,
                deleted: deleted == 1,
                why,
                at: time(at)?,
            })
        })
        .collect()
}

/// Why a sign-in of a deactivated user is refused.
pub(super) async fn refusal(
    on: &mut SqliteConnection,
    user: UserId,
) -> Result<AdmitError, StoreError> {
    let mut sources: Vec<BlockSource> = read(on, &user)
        .await?
        .into_iter()
        .map(|block| block.source)
        .collect();
    sources.sort_by_key(|source| match source {
        BlockSource::Scim(_) => 0,
        BlockSource::Admin => 1,
    });
    Ok(AdmitError::Deactivated {
        user,
        by: sources.into_iter().next(),
    })
}
