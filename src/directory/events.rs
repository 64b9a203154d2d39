//! Events for the apps: stored before the first try, and kept with their id until they are answered or given up.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use super::{Directory, accounts, changes};
use crate::audit::{Action, By, Entry};
use crate::identity::{Account, AppId, UserId};
use crate::store::StoreError;

/// `events.state` of what will be tried (again).
pub(super) const WAITING: &str = "waiting";
/// `events.state` of what was given up.
pub(super) const DEAD: &str = "dead";
/// In the audit log: the app refused the user.
const JIT_DENIED: &str = "jit_denied";

/// `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The user is new to the app.
    Created,
    /// Something changed since.
    Updated,
    /// The user may not use the app any more.
    Deactivated,
    /// The user may use the app again.
    Reactivated,
    /// The user is gone for good.
    Deleted,
}

impl EventKind {
    /// As the body and the store write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "user.created",
            Self::Updated => "user.updated",
            Self::Deactivated => "user.deactivated",
            Self::Reactivated => "user.reactivated",
            Self::Deleted => "user.deleted",
        }
    }

    /// What the app did, as the audit log has it.
    fn code(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deactivated => "deactivated",
            Self::Reactivated => "reactivated",
            Self::Deleted => "deleted",
        }
    }

    /// Of what [`EventKind::as_str`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let all = [
            Self::Created,
            Self::Updated,
            Self::Deactivated,
            Self::Reactivated,
            Self::Deleted,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether it tells that somebody has to go.
    pub fn takes_away(self) -> bool {
        match self {
            Self::Deactivated | Self::Deleted => true,
            Self::Created | Self::Updated | Self::Reactivated => false,
        }
    }
}

/// An event for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`: the webhook-id, the same on every try.
    pub id: String,
    /// The user it is about.
    pub user: UserId,
    /// The app that is told.
    pub app: AppId,
    /// What it tells.
    pub kind: EventKind,
    /// The exact body that is signed and sent; whatever a driver needs is in it.
    pub body: String,
    /// Fingerprint of what the body tells; becomes [`Account::told`].
    pub told: String,
    /// How often it was tried.
    pub tries: u32,
    /// Given up: waits for an admin, or for what comes after it.
    pub dead: bool,
    /// When the present series of tries began.
    pub begun_at: Timestamp,
    /// When it is tried next.
    pub next_at: Timestamp,
}

/// An event that came to an end, with what it says of the account.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Which.
    pub event: &'a Event,
    /// The account from now on.
    pub account: &'a Account,
    /// What the app said, as a stable code: `allowed` or `refused`.
    pub outcome: &'static str,
    /// Why, where the app refused.
    pub reason: Option<&'a str>,
    /// Whether more may have changed than the event told: then the outbox looks again.
    pub look_again: bool,
}

/// A try that came to nothing.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Of which event, with its tries up to now.
    pub event: &'a Event,
    /// What happened.
    pub cause: &'a str,
}

/// id, kind, body, told, tries, state, begun_at, next_at.
type Row = (String, String, String, String, i64, String, i64, i64);

fn time(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second)
        .map_err(|_| StoreError("an event has a time out of range".to_owned()))
}

fn event(user: &UserId, app: &AppId, row: Row) -> Result<Event, StoreError> {
    let (id, kind, body, told, tries, state, begun_at, next_at) = row;
    Ok(Event {
        id,
        user: user.clone(),
        app: app.clone(),
        kind: EventKind::from_text(&kind)
            .ok_or_else(|| StoreError("an event has an unknown kind".to_owned()))?,
        body,
        told,
        tries: u32::try_from(tries).unwrap_or(u32::MAX),
        dead: state == DEAD,
        begun_at: time(begun_at)?,
        next_at: time(next_at)?,
    })
}

impl Directory {
    /// The event for (user, app) that has no answer: it waits, or was given up.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn waiting_event(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<Option<Event>, StoreError> {
        let work = async {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, kind, body, told, tries, state, begun_at, next_at FROM events \
                 WHERE user_id = $1 AND app = $2",
            )
            .bind(user.as_str())
            .bind(app.as_str())
            .fetch_optional(&self.store.pool)
            .await?;
            row.map(|row| event(user, app, row)).transpose()
        };
        self.store.within(work).await
    }

    /// Stores an event before its first try. One is there for each user and app: where there is another already it stays, and
    /// the caller goes on with what [`Directory::waiting_event`] gives; but the one that it `follows`, which was given up, becomes
    /// history.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put_event(
        &self,
        event: &Event,
        follows: Option<&Event>,
    ) -> Result<(), StoreError> {
        let work = async {
            // The app may keep what it is told for ever: its event and its user must not be forgotten here.
            let mut connection = self.store.durable().await?;
            let mut transaction = connection.begin().await?;
            if let Some(dead) = follows {
                let on = &mut *transaction;
                close(on, dead, "dead", None, event.begun_at).await?;
            }
            sqlx::query(
                "INSERT INTO events (id, user_id, app, kind, body, told, created_at, state, tries, \
                 begun_at, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7, $10) \
                 ON CONFLICT (user_id, app) DO NOTHING",
            )
            .bind(&event.id)
            .bind(event.user.as_str())
            .bind(event.app.as_str())
            .bind(event.kind.as_str())
            .bind(&event.body)
            .bind(&event.told)
            .bind(event.begun_at.as_second())
            .bind(if event.dead { DEAD } else { WAITING })
            .bind(i64::from(event.tries))
            .bind(event.next_at.as_second())
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }

    /// Writes the app's answer in one transaction: the account as it is now, the event as history, and a line in the log.
    ///
    /// # Errors
    /// If the store fails; then the event waits on.
    pub async fn put_answer(
        &self,
        answered: &Answered<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let work = async {
            let Answered {
                event,
                account,
                outcome,
                reason,
                look_again,
            } = *answered;
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            accounts::write(on, &event.user, account, Some(event), now).await?;
            close(on, event, outcome, reason, now).await?;
            if look_again {
                changes::mark(on, &event.user, now).await?;
            }
            let why = match reason {
                Some(reason) => format!("the app refused {}: {reason}", event.kind.as_str()),
                None => format!("the app answered {}", event.kind.as_str()),
            };
            let came_to = match reason {
                Some(_) => JIT_DENIED,
                None => event.kind.code(),
            };
            self.log(on, event, came_to, why, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }

    /// Takes an event away that will not be sent again although it has no good answer: with its history and a line in the log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drop_event(&self, failed: Failed<'_>, now: Timestamp) -> Result<(), StoreError> {
        let work = async {
            let Failed { event, cause } = failed;
            let mut transaction = self.store.begin().await?;
            close(&mut transaction, event, "failed", Some(cause), now).await?;
            let why = format!("{} failed: {cause}", event.kind.as_str());
            self.log(&mut transaction, event, "failed", why, now)
                .await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }

    /// Gives an event up: it stays as dead, with a line in the log.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn bury(&self, failed: Failed<'_>, now: Timestamp) -> Result<(), StoreError> {
        let work = async {
            let Failed { event, cause } = failed;
            let mut transaction = self.store.begin().await?;
            sqlx::query(
                "UPDATE events SET state = $2, tries = $3, last_error = $4, next_at = $5 WHERE id = $1",
            )
            .bind(&event.id)
            .bind(DEAD)
            .bind(i64::from(event.tries))
            .bind(cause)
            .bind(now.as_second())
            .execute(&mut *transaction)
            .await?;
            let why = format!("{} was given up: {cause}", event.kind.as_str());
            self.log(&mut transaction, event, "dead", why, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }

    /// Has an event tried again at `next_at`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn postpone(&self, failed: Failed<'_>, next_at: Timestamp) -> Result<(), StoreError> {
        let work = async {
            sqlx::query(
                "UPDATE events SET tries = $2, last_error = $3, next_at = $4 WHERE id = $1",
            )
            .bind(&failed.event.id)
            .bind(i64::from(failed.event.tries))
            .bind(failed.cause)
            .bind(next_at.as_second())
            .execute(self.store.writer())
            .await?;
            Ok(())
        };
        self.store.within(work).await
    }

    /// Events for an app whose time has come, those that wait longest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn due_events(
        &self,
        app: &AppId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(String, UserId)>, StoreError> {
        let work = async {
            let rows: Vec<(String, String)> = sqlx::query_as(
                "SELECT id, user_id FROM events WHERE app = $1 AND state = $2 AND next_at <= $3 \
                 ORDER BY next_at, id LIMIT $4",
            )
            .bind(app.as_str())
            .bind(WAITING)
            .bind(now.as_second())
            .bind(i64::from(limit))
            .fetch_all(&self.store.pool)
            .await?;
            Ok(rows
                .into_iter()
                .map(|(id, user)| (id, UserId::new(user)))
                .collect())
        };
        self.store.within(work).await
    }

    async fn log(
        &self,
        on: &mut SqliteConnection,
        event: &Event,
        outcome: &'static str,
        why: String,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let entry = Entry::new(Action::Provisioning, &By::system(), why)
            .about(&event.user)
            .in_app(&event.app)
            .came_to(outcome)
            .with(json!({ "event": event.id, "kind": event.kind.as_str(), "tries": event.tries }));
        self.audit.append(on, &entry, now).await
    }
}

/// From what waits into the history.
async fn close(
    on: &mut SqliteConnection,
    event: &Event,
    outcome: &str,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO deliveries (id, user_id, app, kind, outcome, tries, created_at, done_at, error) \
         SELECT id, user_id, app, kind, $2, $3, created_at, $4, COALESCE($5, last_error) FROM events WHERE id = $1 \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&event.id)
    .bind(outcome)
    .bind(i64::from(event.tries))
    .bind(now.as_second())
    .bind(error)
    .execute(&mut *on)
    .await?;
    sqlx::query("DELETE FROM events WHERE id = $1")
        .bind(&event.id)
        .execute(on)
        .await?;
    Ok(())
}
