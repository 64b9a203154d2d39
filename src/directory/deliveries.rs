//! The outbox as admins see it: what waits for an app, what is dead, and what was answered.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::events::{DEAD, WAITING};
use super::{Directory, Page, changes};
use crate::audit::{Action, By, Entry};
use crate::identity::{AppId, UserId};
use crate::store::StoreError;

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Will be tried (again).
    Waiting,
    /// Given up; can be replayed.
    Dead,
    /// Answered.
    Done,
}

/// One event on its way to an app, or answered.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    /// `evt_…`, the webhook-id.
    pub id: String,
    /// About whom.
    pub user: UserId,
    /// To which app.
    pub app: AppId,
    /// `user.created` and so on.
    pub kind: String,
    /// Where it is.
    pub state: DeliveryState,
    /// What became of it, as a stable code; empty while it waits.
    pub outcome: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is tried next, or was answered.
    pub next_at: Timestamp,
    /// What went wrong last.
    pub error: Option<String>,
}

/// Which deliveries to list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindDeliveries<'a> {
    /// Only of that user.
    pub user: Option<&'a UserId>,
    /// Only to that app.
    pub app: Option<&'a str>,
    /// Only those; none: all.
    pub state: Option<DeliveryState>,
    /// What [`Page::next`] said.
    pub after: Option<&'a str>,
    /// How many at most; 1 to 200.
    pub limit: u32,
}

/// How much is in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Will be tried (again).
    pub waiting: u64,
    /// Given up.
    pub dead: u64,
}

/// Both tables as one list; `state` is empty for what was answered.
const ALL: &str = "(SELECT id, user_id, app, kind, state, '' AS outcome, tries, created_at, next_at AS at, \
     last_error AS error FROM events \
     UNION ALL SELECT id, user_id, app, kind, '', outcome, tries, created_at, done_at, error \
     FROM deliveries) AS d";

/// id, user, app, kind, state, outcome, tries, created_at, at, error.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    Option<String>,
);

fn delivery(row: Row) -> Result<DeliveryRow, StoreError> {
    let (id, user, app, kind, state, outcome, tries, created_at, at, error) = row;
    let time = |second| {
        Timestamp::from_second(second)
            .map_err(|_| StoreError("a delivery has a time out of range".to_owned()))
    };
    Ok(DeliveryRow {
        id,
        user: UserId::new(user),
        app: AppId::new(app),
        kind,
        state: match state.as_str() {
            WAITING => DeliveryState::Waiting,
            DEAD => DeliveryState::Dead,
            _ => DeliveryState::Done,
        },
        outcome,
        tries: u32::try_from(tries).unwrap_or(u32::MAX),
        created_at: time(created_at)?,
        next_at: time(at)?,
        error,
    })
}

/// What a list is narrowed to, as it is compared; an empty text narrows nothing.
fn narrowed(
    find: &FindDeliveries<'_>,
    mut query: sqlx::QueryBuilder<sqlx::Sqlite>,
) -> sqlx::QueryBuilder<sqlx::Sqlite> {
    query.push(ALL).push(" WHERE 1 = 1");
    if let Some(user) = find.user {
        query
            .push(" AND user_id = ")
            .push_bind(user.as_str().to_owned());
    }
    if let Some(app) = find.app {
        query.push(" AND app = ").push_bind(app.to_owned());
    }
    if let Some(state) = find.state {
        query.push(" AND state = ").push_bind(match state {
            DeliveryState::Waiting => WAITING,
            DeliveryState::Dead => DEAD,
            DeliveryState::Done => "",
        });
    }
    query
}

impl Directory {
    /// A page of deliveries, newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn deliveries(
        &self,
        find: &FindDeliveries<'_>,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        let limit = find.limit.clamp(1, 200);
        let work = async {
            let count = sqlx::QueryBuilder::new("SELECT COUNT(*) FROM ");
            let total: i64 = narrowed(find, count)
                .build_query_scalar()
                .fetch_one(&self.store.pool)
                .await?;
            let columns =
                "SELECT id, user_id, app, kind, state, outcome, tries, created_at, at, error FROM ";
            let mut query = narrowed(find, sqlx::QueryBuilder::new(columns));
            // Ids sort by the time they were made.
            if let Some(after) = find.after {
                query.push(" AND id < ").push_bind(after.to_owned());
            }
            query.push(" ORDER BY id DESC LIMIT ");
            query.push_bind(i64::from(limit) + 1);
            let rows: Vec<Row> = query.build_query_as().fetch_all(&self.store.pool).await?;
            Ok::<_, StoreError>((total, rows))
        };
        let (total, rows) = self.store.within(work).await?;
        let more = rows.len() > limit as usize;
        let items = rows.into_iter().take(limit as usize).map(delivery);
        let items = items.collect::<Result<Vec<_>, _>>()?;
        Ok(Page {
            next: items.last().filter(|_| more).map(|last| last.id.clone()),
            total: u64::try_from(total).unwrap_or(0),
            items,
        })
    }

    /// How much is in the outbox.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        let work = async {
            let (waiting, dead): (i64, i64) = sqlx::query_as(
                "SELECT COALESCE(SUM(CASE WHEN state = 'waiting' THEN 1 ELSE 0 END), 0), \
                 COALESCE(SUM(CASE WHEN state = 'dead' THEN 1 ELSE 0 END), 0) FROM events",
            )
            .fetch_one(&self.store.pool)
            .await?;
            let count = |number| u64::try_from(number).unwrap_or(0);
            Ok(OutboxCounts {
                waiting: count(waiting),
                dead: count(dead),
            })
        };
        self.store.within(work).await
    }

    /// Lets an event that has no answer be tried again at once, with its id; of an answered one, tells the app anew what holds now,
    /// by an event of its own. The caller then wakes the outbox. False: no such event.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn replay(&self, id: &str, by: &By, now: Timestamp) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            let known: Option<(String, String)> = sqlx::query_as(
                "UPDATE events SET state = 'waiting', tries = 0, begun_at = $2, next_at = $2 \
                 WHERE id = $1 RETURNING user_id, app",
            )
            .bind(id)
            .bind(now.as_second())
            .fetch_optional(&mut *on)
            .await?;
            let known = match known {
                Some(known) => Some(known),
                None => forget_told(on, id, now).await?,
            };
            let Some((user, app)) = known else {
                return Ok(false);
            };
            let entry = Entry::new(Action::Admin, by, "an event was sent anew")
                .about(&UserId::new(user))
                .in_app(&AppId::new(app))
                .with(json!({ "event": id }));
            self.audit.append(on, &entry, now).await?;
            transaction.commit().await?;
            Ok(true)
        };
        self.store.within(work).await
    }
}

/// Makes the outbox tell what it told before: as if the app had never heard of it.
async fn forget_told(
    on: &mut SqliteConnection,
    id: &str,
    now: Timestamp,
) -> Result<Option<(String, String)>, StoreError> {
    let known: Option<(String, String)> =
        sqlx::query_as("SELECT user_id, app FROM deliveries WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *on)
            .await?;
    if let Some((user, app)) = &known {
        sqlx::query("UPDATE accounts SET told = '', active = 1 WHERE user_id = $1 AND app = $2")
            .bind(user)
            .bind(app)
            .execute(&mut *on)
            .await?;
        changes::mark(on, &UserId::new(user.as_str()), now).await?;
    }
    Ok(known)
}
