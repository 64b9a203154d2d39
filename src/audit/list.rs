//! Lines as admins read them: the newest first, filtered, page by page.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite};

use super::Audit;
use super::chain::{COLUMNS, Stored};
use crate::identity::{AppId, IdpId, UserId};
use crate::store::{StoreError, containing};

/// Most lines of one page.
const PAGE_AT_MOST: u32 = 500;
/// Lines that one page looks at, at most, where no index has all conditions.
const LOOK_AT: i64 = 20_000;

/// Which lines; what is none is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// About that user.
    pub user: Option<UserId>,
    /// By that actor, as the log writes it.
    pub actor: Option<String>,
    /// The code of an [`super::Action`].
    pub action: Option<String>,
    /// In that app.
    pub app: Option<String>,
    /// At that IdP.
    pub idp: Option<String>,
    /// With that outcome.
    pub outcome: Option<String>,
    /// Part of the reason, in any case.
    pub text: Option<String>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// One more than the line before.
    pub number: i64,
    /// When, to the second.
    #[serde(rename = "time")]
    pub at: Timestamp,
    /// The code of an [`super::Action`].
    pub action: String,
    /// Who, as [`super::Actor::to_text`] writes it.
    pub actor: String,
    /// About whom.
    pub user: Option<UserId>,
    /// In which app.
    pub app: Option<AppId>,
    /// At which IdP.
    pub idp: Option<IdpId>,
    /// `ok`, or what became of it.
    pub outcome: String,
    /// Why.
    pub why: String,
    /// The address that the request came from.
    pub client: Option<String>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// What changed.
    pub details: Value,
    /// SHA-256 over the line and the hash before it, base64url.
    pub hash: String,
}

/// One page of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The newest first. May be fewer than were asked for, or none, also where there is a next page: a page looks at
    /// 20,000 lines at most.
    pub lines: Vec<Line>,
    /// For the next page; none: this is the last.
    pub next: Option<String>,
    /// How far back this page has looked, where there is a next one.
    pub back_to: Option<Timestamp>,
}

impl Line {
    pub(super) fn of(stored: Stored) -> Result<Self, StoreError> {
        Ok(Self {
            number: stored.number,
            at: time(stored.at)?,
            action: stored.action,
            actor: stored.actor,
            user: stored.user_id.map(UserId::new),
            app: stored.app.map(AppId::new),
            idp: stored.idp.map(IdpId::new),
            outcome: stored.outcome,
            why: stored.why,
            client: stored.client,
            request_id: stored.request_id,
            details: serde_json::from_str(&stored.details)?,
            hash: stored.hash,
        })
    }

    /// As the table has it.
    pub(super) fn to_stored(&self) -> Result<Stored, StoreError> {
        let text = |id: Option<&str>| id.map(str::to_owned);
        Ok(Stored {
            number: self.number,
            at: self.at.as_second(),
            action: self.action.clone(),
            actor: self.actor.clone(),
            user_id: text(self.user.as_ref().map(UserId::as_str)),
            app: text(self.app.as_ref().map(AppId::as_str)),
            idp: text(self.idp.as_ref().map(IdpId::as_str)),
            outcome: self.outcome.clone(),
            why: self.why.clone(),
            client: self.client.clone(),
            request_id: self.request_id.clone(),
            details: serde_json::to_string(&self.details)?,
            hash: self.hash.clone(),
        })
    }
}

fn time(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second)
        .map_err(|_| StoreError("a line of the audit log has a time out of range".to_owned()))
}

/// Where a page begins: after the line with that time and number, in the order of the list.
#[derive(Clone, Copy)]
struct Place {
    at: i64,
    number: i64,
}

impl Place {
    const NEWEST: Self = Self {
        at: i64::MAX,
        number: i64::MAX,
    };

    /// The same, or where the lines before that time begin. One bound for both: of two, the store follows only one, and would
    /// walk from there to the other.
    fn before(self, until: Option<Timestamp>) -> Self {
        match until.map(Timestamp::as_second) {
            Some(at) if at <= self.at => Self {
                at,
                number: i64::MIN,
            },
            Some(_) | None => self,
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        let (at, number) = text.split_once('.')?;
        Some(Self {
            at: at.parse().ok()?,
            number: number.parse().ok()?,
        })
    }

    fn to_text(self) -> String {
        format!("{}.{}", self.at, self.number)
    }
}

/// The conditions by columns that are compared whole: one of them leads through its index, the others are looked at.
struct Conditions<'a> {
    leading: Option<(&'static str, &'a str)>,
    others: Vec<(&'static str, &'a str)>,
    text: Option<String>,
}

impl<'a> Conditions<'a> {
    /// The one that picks fewest lines in most logs leads.
    fn of(filter: &'a Filter) -> Self {
        let mut all: Vec<(&'static str, &str)> = [
            ("user_id", filter.user.as_ref().map(UserId::as_str)),
            ("actor", filter.actor.as_deref()),
            ("outcome", filter.outcome.as_deref()),
            ("app", filter.app.as_deref()),
            ("action", filter.action.as_deref()),
            ("idp", filter.idp.as_deref()),
        ]
        .into_iter()
        .filter_map(|(column, value)| Some((column, value?)))
        .collect();
        let most_are_ok = |(column, value): &(&str, &str)| *column == "outcome" && *value == "ok";
        // Stable: only what is met by nearly every line goes to the end.
        all.sort_by_key(most_are_ok);
        let text = filter.text.as_deref().map(str::trim).unwrap_or_default();
        let mut all = all.into_iter();
        Self {
            leading: all.next(),
            others: all.collect(),
            text: (!text.is_empty()).then(|| containing(&text.to_lowercase())),
        }
    }

    /// Whether the index alone finds the lines.
    fn are_indexed(&self) -> bool {
        self.others.is_empty() && self.text.is_none()
    }
}

impl Audit {
    /// A page of lines after `after` ([`LogPage::next`]); `limit` is 1 to 500. A text that no page gave begins anew.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn page(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<LogPage, StoreError> {
        let limit = limit.clamp(1, PAGE_AT_MOST);
        let place = after.and_then(Place::from_text).unwrap_or(Place::NEWEST);
        let place = place.before(filter.until);
        let conditions = Conditions::of(filter);
        let work = async {
            let horizon = if conditions.are_indexed() {
                None
            } else {
                self.horizon(filter, &conditions, place).await?
            };
            let mut query = QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM audit"));
            narrow(&mut query, filter, &conditions, place);
            for (column, value) in &conditions.others {
                // Not by the column itself: its index would lead past the horizon.
                query.push(format!(" AND COALESCE({column}, '') = "));
                query.push_bind((*value).to_owned());
            }
            if let Some(text) = &conditions.text {
                query.push(" AND LOWER(why) LIKE ").push_bind(text.clone());
                query.push(" ESCAPE '\\'");
            }
            if let Some(horizon) = horizon {
                query.push(" AND (at, number) >= (").push_bind(horizon.at);
                query.push(", ").push_bind(horizon.number).push(")");
            }
            query.push(" ORDER BY at DESC, number DESC LIMIT ");
            query.push_bind(i64::from(limit) + 1);
            let rows: Vec<Stored> = query.build_query_as().fetch_all(&self.store.pool).await?;
            page_of(rows, limit as usize, horizon)
        };
        self.store.within(work).await
    }

    /// The line that this page looks at last; none: the list ends before.
    async fn horizon(
        &self,
        filter: &Filter,
        conditions: &Conditions<'_>,
        place: Place,
    ) -> Result<Option<Place>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT at, number FROM audit");
        narrow(&mut query, filter, conditions, place);
        query.push(" ORDER BY at DESC, number DESC LIMIT 1 OFFSET ");
        query.push_bind(LOOK_AT - 1);
        let row: Option<(i64, i64)> = query
            .build_query_as()
            .fetch_optional(&self.store.pool)
            .await?;
        Ok(row.map(|(at, number)| Place { at, number }))
    }
}

/// What an index finds: the leading condition and the time.
fn narrow(
    query: &mut QueryBuilder<Sqlite>,
    filter: &Filter,
    conditions: &Conditions<'_>,
    place: Place,
) {
    query.push(" WHERE (at, number) < (").push_bind(place.at);
    query.push(", ").push_bind(place.number).push(")");
    if let Some((column, value)) = conditions.leading {
        query.push(format!(" AND {column} = "));
        query.push_bind(value.to_owned());
    }
    if let Some(from) = filter.from {
        query.push(" AND at >= ").push_bind(from.as_second());
    }
}

fn page_of(
    mut rows: Vec<Stored>,
    limit: usize,
    horizon: Option<Place>,
) -> Result<LogPage, StoreError> {
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(|last| Place {
            at: last.at,
            number: last.number,
        })
    } else {
        horizon
    };
    Ok(LogPage {
        lines: rows.into_iter().map(Line::of).collect::<Result<_, _>>()?,
        next: next.map(Place::to_text),
        back_to: next.map(|place| time(place.at)).transpose()?,
    })
}
