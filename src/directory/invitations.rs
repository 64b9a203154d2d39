//! Invitations: for one person, with roles, used once, and only for a while.

mod accept;
mod csv;
mod make;
mod over;
#[cfg(test)]
mod tests;

pub(super) use accept::{accept, mark_accepted};
pub use csv::{CsvLine, parse as parse_csv};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Directory, Page};
use crate::identity::{AppId, Role, UserId};
use crate::store::StoreError;

/// Somebody to invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvitation {
    /// The address; whoever accepts must have it, verified.
    pub email: String,
    /// Full name, where the admin says it.
    pub name: Option<String>,
    /// Apps with the roles in them; no roles: the app's default.
    pub grants: Vec<(AppId, Vec<Role>)>,
    /// Whether a password may be set.
    pub password: bool,
    /// Whether the account is for emergencies (implies `password`).
    pub break_glass: bool,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

impl NewInvitation {
    /// Whether the link lets its holder set a password.
    pub fn lets_set_password(&self) -> bool {
        self.password || self.break_glass
    }
}

/// An invitation as admins see it.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// `inv_…`.
    pub id: String,
    /// The user that it made (or, for a new password, the one who was there). A user who never came is forgotten once the
    /// invitation is over.
    pub user: UserId,
    /// What was said.
    pub new: NewInvitation,
    /// Who invited, as the log writes it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
}

/// Why somebody is not invited.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A user has that address already, and the invitation lets nobody set a password; or that user is deactivated.
    #[error("{0} has that e-mail address already")]
    Known(UserId),
    /// It is no e-mail address.
    #[error("`{0}` is no e-mail address")]
    Email(String),
    /// The invitation makes no sense: an app or role that is not there, a time that is over. The sentence says which.
    #[error("{0}")]
    Invalid(String),
}

impl From<sqlx::Error> for InviteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Which invitations to list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindInvitations<'a> {
    /// Only those that can still be accepted.
    pub open_only: bool,
    /// What [`Page::next`] said.
    pub after: Option<&'a str>,
    /// How many at most; 1 to 200.
    pub limit: u32,
}

/// What the secret of a link leads to.
#[derive(Clone, Debug)]
pub enum Link {
    /// To nothing.
    Unknown,
    /// To an invitation whose time is over.
    Expired,
    /// To one that was accepted.
    Used,
    /// To one that was taken back.
    Withdrawn,
    /// To this one.
    Open(Box<Invitation>),
}

/// What [`of_row`] reads.
const COLUMNS: &str = "id, user_id, email, name, grants, password, break_glass, created_by, created_at, expires_at, \
                       accepted_at, withdrawn_at";
/// What can still be accepted at `$1`.
const OPEN: &str = "accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $1";

impl Directory {
    /// A page of invitations.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn invitations(
        &self,
        find: &FindInvitations<'_>,
        now: Timestamp,
    ) -> Result<Page<Invitation>, StoreError> {
        let limit = find.limit.clamp(1, 200);
        let (at, id) = find.after.and_then(position).unwrap_or((i64::MAX, ""));
        // `$1` is named in both, so that the binds are the same.
        let wanted = if find.open_only { OPEN } else { "$1 = $1" };
        let count = format!("SELECT COUNT(*) FROM invitations WHERE {wanted}");
        let page = format!(
            "SELECT {COLUMNS} FROM invitations WHERE {wanted} \
             AND (created_at < $2 OR (created_at = $2 AND id < $3)) \
             ORDER BY created_at DESC, id DESC LIMIT $4"
        );
        let work = async {
            let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
                .bind(now.as_second())
                .fetch_one(&self.store.pool)
                .await?;
            let rows = sqlx::query(sqlx::AssertSqlSafe(page))
                .bind(now.as_second())
                .bind(at)
                .bind(id)
                .bind(i64::from(limit) + 1)
                .fetch_all(&self.store.pool)
                .await?;
            let more = rows.len() > limit as usize;
            let items: Vec<Invitation> = rows
                .iter()
                .take(limit as usize)
                .map(of_row)
                .collect::<Result<_, _>>()?;
            let next = items
                .last()
                .filter(|_| more)
                .map(|last| format!("{}.{}", last.created_at.as_second(), last.id));
            Ok(Page {
                items,
                total: u64::try_from(total).unwrap_or(0),
                next,
            })
        };
        self.store.within(work).await
    }

    /// The name (or address) of the person who invited; none: it was no person.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn inviter(&self, invitation: &Invitation) -> Result<Option<String>, StoreError> {
        let Some(user) = invitation.created_by.strip_prefix("user:") else {
            return Ok(None);
        };
        let work = async {
            let row: Option<(Option<String>, Option<String>)> =
                sqlx::query_as("SELECT name, email FROM users WHERE id = $1")
                    .bind(user)
                    .fetch_optional(&self.store.pool)
                    .await?;
            Ok(row.and_then(|(name, email)| name.or(email)))
        };
        self.store.within(work).await
    }

    /// What the secret of a link leads to. Nothing changes: mail scanners open links too.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn invitation_of_link(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Link, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            of_token(&mut on, token, now).await
        };
        self.store.within(work).await
    }
}

/// What the secret of a link leads to, within a transaction or without.
pub(super) async fn of_token(
    on: &mut SqliteConnection,
    token: &str,
    now: Timestamp,
) -> Result<Link, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM invitations WHERE token_hash = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(hash(token))
        .fetch_optional(on)
        .await?;
    let Some(row) = row else {
        return Ok(Link::Unknown);
    };
    let found = of_row(&row)?;
    Ok(if found.withdrawn_at.is_some() {
        Link::Withdrawn
    } else if found.accepted_at.is_some() {
        Link::Used
    } else if found.new.expires_at <= now {
        Link::Expired
    } else {
        Link::Open(Box::new(found))
    })
}

/// Where a page begins, as [`Page::next`] writes it.
fn position(after: &str) -> Option<(i64, &str)> {
    let (at, id) = after.split_once('.')?;
    Some((at.parse().ok()?, id))
}

/// What the store has of the secret of a link.
fn hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

fn of_row(row: &SqliteRow) -> Result<Invitation, StoreError> {
    let time = |name: &str| -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = row.try_get(name)?;
        at.map(at_second).transpose()
    };
    let needed = |name: &str| time(name)?.ok_or_else(|| StoreError(format!("no {name}")));
    let grants: String = row.try_get("grants")?;
    Ok(Invitation {
        id: row.try_get("id")?,
        user: UserId::new(row.try_get::<String, _>("user_id")?),
        new: NewInvitation {
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            grants: serde_json::from_str(&grants)?,
            password: row.try_get::<i64, _>("password")? == 1,
            break_glass: row.try_get::<i64, _>("break_glass")? == 1,
            expires_at: needed("expires_at")?,
        },
        created_by: row.try_get("created_by")?,
        created_at: needed("created_at")?,
        accepted_at: time("accepted_at")?,
        withdrawn_at: time("withdrawn_at")?,
    })
}

fn at_second(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second).map_err(|_| StoreError("a time is out of range".to_owned()))
}
