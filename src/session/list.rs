//! Sessions as admins see them: who is signed in, from which IdP, since when. Never a cookie, its hash, or a token.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::Sessions;
use crate::directory::Page;
use crate::identity::{IdpId, UserId};
use crate::store::StoreError;

/// One live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its public id (`ses_…`).
    pub sid: String,
    /// Whose it is.
    pub user: UserId,
    /// By which IdP.
    pub idp: IdpId,
    /// The origin of the site that it belongs to.
    pub origin: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last use; known to a minute.
    pub seen_at: Timestamp,
    /// Its absolute end.
    pub expires_at: Timestamp,
    /// When the person signed in.
    pub authenticated_at: Timestamp,
}

/// sid, user, idp, origin, created_at, seen_at, expires_at, authenticated_at.
type Columns = (String, String, String, String, i64, i64, i64, i64);

/// Those of a user that are neither over nor idle.
const OF_USER: &str = "SELECT sid, user_id, idp, origin, created_at, seen_at, expires_at, authenticated_at \
     FROM sessions WHERE expires_at > $1 AND seen_at > $2 AND user_id = $3 \
     ORDER BY created_at DESC, sid DESC";
/// A page of all that are neither over nor idle.
const PAGE: &str = "SELECT sid, user_id, idp, origin, created_at, seen_at, expires_at, authenticated_at \
     FROM sessions WHERE expires_at > $1 AND seen_at > $2 \
     AND (created_at < $3 OR (created_at = $3 AND sid < $4)) \
     ORDER BY created_at DESC, sid DESC LIMIT $5";
/// How many there are.
const COUNT: &str = "SELECT COUNT(*) FROM sessions WHERE expires_at > $1 AND seen_at > $2";

fn row(columns: Columns) -> Result<SessionRow, StoreError> {
    let (sid, user, idp, origin, made, seen, ends, signed_in) = columns;
    let time = |second| {
        Timestamp::from_second(second)
            .map_err(|_| StoreError("a session has a time out of range".to_owned()))
    };
    Ok(SessionRow {
        sid,
        user: UserId::new(user),
        idp: IdpId::new(idp),
        origin,
        created_at: time(made)?,
        seen_at: time(seen)?,
        expires_at: time(ends)?,
        authenticated_at: time(signed_in)?,
    })
}

impl Sessions {
    /// What the store may know of the last use of a session that is not idle yet.
    fn idle_since(&self, now: Timestamp) -> i64 {
        let idle_for = self.idle_for.load(Ordering::Relaxed);
        now.as_second().saturating_sub(idle_for) - 2 * super::sessions::SEEN_EVERY
    }

    /// The live sessions of a user, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, user: &UserId, now: Timestamp) -> Result<Vec<SessionRow>, StoreError> {
        let rows: Vec<Columns> = self
            .store
            .within(async {
                Ok::<_, StoreError>(
                    sqlx::query_as(OF_USER)
                        .bind(now.as_second())
                        .bind(self.idle_since(now))
                        .bind(user.as_str())
                        .fetch_all(&self.store.pool)
                        .await?,
                )
            })
            .await?;
        rows.into_iter().map(row).collect()
    }

    /// A page of all live sessions, newest first. `after` is what [`Page::next`] of the page before said; `limit` is 1 to 200.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn page(
        &self,
        after: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page<SessionRow>, StoreError> {
        let limit = limit.clamp(1, 200);
        let (before, sid) = after.and_then(place).unwrap_or((i64::MAX, ""));
        let (total, mut rows) = self
            .store
            .within(async {
                let total: i64 = sqlx::query_scalar(COUNT)
                    .bind(now.as_second())
                    .bind(self.idle_since(now))
                    .fetch_one(&self.store.pool)
                    .await?;
                let rows: Vec<Columns> = sqlx::query_as(PAGE)
                    .bind(now.as_second())
                    .bind(self.idle_since(now))
                    .bind(before)
                    .bind(sid)
                    .bind(i64::from(limit) + 1)
                    .fetch_all(&self.store.pool)
                    .await?;
                Ok::<_, StoreError>((total, rows))
            })
            .await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| format!("{}.{}", last.4, last.0));
        Ok(Page {
            items: rows.into_iter().map(row).collect::<Result<_, _>>()?,
            total: u64::try_from(total).unwrap_or(0),
            next,
        })
    }
}

/// Of what [`Page::next`] said; anything else is the first page.
fn place(after: &str) -> Option<(i64, &str)> {
    let (second, sid) = after.split_once('.')?;
    Some((second.parse().ok()?, sid))
}
