//! People as admins see them.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::{Block, Directory};
use crate::identity::{Account, Attributes, Grant, IdpId, Person, Protocol, Subject, UserId};
use crate::store::{StoreError, containing};

/// Most lines of one page.
const PAGE_AT_MOST: u32 = 200;

/// What a line of the list is read from.
const SUMMARY: &str =
    "SELECT id, email, name, username, active, invited, created_at, signed_in_at FROM users";

/// Where somebody is between invitation and farewell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Invited, and not here yet.
    Invited,
    /// May sign in.
    Active,
    /// May not.
    Deactivated,
}

/// Which people to list, in the order of their names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Find<'a> {
    /// Part of name, e-mail or username, in any case.
    pub text: Option<&'a str>,
    /// Only those.
    pub status: Option<Status>,
    /// What [`Page::next`] of the page before said.
    pub after: Option<&'a str>,
    /// How many at most; 1 to 200.
    pub limit: u32,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
    /// For the next page; none: this is the last.
    pub next: Option<String>,
}

/// One line of the list of people.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Who.
    pub user: UserId,
    /// As said last, by a sign-in, SCIM or an invitation.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Username.
    pub username: Option<String>,
    /// Where they are.
    pub status: Status,
    /// When they were first known.
    pub created_at: Timestamp,
    /// The last sign-in; none: never.
    pub signed_in_at: Option<Timestamp>,
}

/// Everything that the directory knows of one person.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The line of the list.
    pub summary: Summary,
    /// How they sign in.
    pub subjects: Vec<KnownSubject>,
    /// What the apps answered.
    pub accounts: Vec<Account>,
    /// Roles that do not come from groups.
    pub grants: Vec<Grant>,
    /// Why they are deactivated; empty: they are not.
    pub blocks: Vec<Block>,
}

/// A subject with what was said of it last.
#[derive(Clone, Debug)]
pub struct KnownSubject {
    /// The subject.
    pub subject: Subject,
    /// What the IdP (or SCIM) said last.
    pub attributes: Attributes,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// The last sign-in, or the last change by SCIM.
    pub signed_in_at: Timestamp,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users of any status.
    pub users: u64,
    /// Invited and not here yet.
    pub invited: u64,
    /// Deactivated.
    pub deactivated: u64,
}

impl Directory {
    /// A page of people, in the order of names. `next` is the id of the last one, so that no name stands in an address.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn people(&self, find: &Find<'_>) -> Result<Page<Summary>, StoreError> {
        let work = async {
            let on = &self.store.pool;
            let limit = find.limit.clamp(1, PAGE_AT_MOST);
            let wanted = Wanted::of(find);
            let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT COUNT(*) FROM users{}",
                wanted.clause(false)
            )))
            .bind(&wanted.like)
            .fetch_one(on)
            .await?;
            let (search, id) = match find.after {
                Some(after) => place_of(on, after).await?,
                None => (String::new(), String::new()),
            };
            let query = format!(
                "{SUMMARY}{} ORDER BY search, id LIMIT $4",
                wanted.clause(true)
            );
            let mut rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(query))
                .bind(&wanted.like)
                .bind(search)
                .bind(id)
                .bind(i64::from(limit) + 1)
                .fetch_all(on)
                .await?;
            let is_more = rows.len() > limit as usize;
            rows.truncate(limit as usize);
            let items: Vec<Summary> = rows.into_iter().map(summary).collect::<Result<_, _>>()?;
            let last = items.last().filter(|_| is_more);
            Ok(Page {
                next: last.map(|last| last.user.to_string()),
                total: u64::try_from(total).unwrap_or_default(),
                items,
            })
        };
        self.store.within(work).await
    }

    /// How many people there are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let work = async {
            let (users, invited, deactivated): (i64, i64, i64) = sqlx::query_as(
                "SELECT COUNT(*), COALESCE(SUM(CASE WHEN invited = 1 AND active = 1 THEN 1 ELSE 0 END), 0), \
                 COALESCE(SUM(CASE WHEN active = 0 THEN 1 ELSE 0 END), 0) FROM users",
            )
            .fetch_one(&self.store.pool)
            .await?;
            let count = |number: i64| u64::try_from(number).unwrap_or_default();
            Ok(Counts {
                users: count(users),
                invited: count(invited),
                deactivated: count(deactivated),
            })
        };
        self.store.within(work).await
    }

    /// Everything about one person, deactivated or not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn profile(&self, user: &UserId) -> Result<Option<Profile>, StoreError> {
        let work = async {
            // One snapshot: what is shown together was true together.
            let mut transaction = self.store.pool.begin().await?;
            let on = &mut *transaction;
            let row: Option<Row> =
                sqlx::query_as(sqlx::AssertSqlSafe(format!("{SUMMARY} WHERE id = $1")))
                    .bind(user.as_str())
                    .fetch_optional(&mut *on)
                    .await?;
            let Some(row) = row else {
                return Ok(None);
            };
            Ok(Some(Profile {
                summary: summary(row)?,
                subjects: subjects(on, user).await?,
                accounts: super::accounts::read(on, user).await?,
                grants: super::grants::read(on, user).await?,
                blocks: super::blocks::read(on, user).await?,
            }))
        };
        self.store.within(work).await
    }

    /// A user seen through the subject that was used (or changed by SCIM) last, deactivated or not, with whether the user is active.
    /// None: unknown, or invited and not here yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn latest_person(&self, user: &UserId) -> Result<Option<(Person, bool)>, StoreError> {
        let work = async {
            let mut transaction = self.store.pool.begin().await?;
            let on = &mut *transaction;
            let active: Option<i64> = sqlx::query_scalar("SELECT active FROM users WHERE id = $1")
                .bind(user.as_str())
                .fetch_optional(&mut *on)
                .await?;
            let (Some(active), Some(latest)) =
                (active, subjects(on, user).await?.into_iter().next())
            else {
                return Ok(None);
            };
            let KnownSubject {
                subject,
                mut attributes,
                ..
            } = latest;
            attributes.groups = super::scim::groups(on, &subject, user, attributes.groups).await?;
            let person = Person {
                user: user.clone(),
                subject,
                attributes,
                accounts: super::accounts::read(on, user).await?,
                grants: super::grants::read(on, user).await?,
            };
            Ok(Some((person, active == 1)))
        };
        self.store.within(work).await
    }
}

/// The conditions of a list, as they are bound.
struct Wanted {
    /// `LIKE` over the search text; `%`: everybody.
    like: String,
    status: Option<Status>,
}

impl Wanted {
    fn of(find: &Find<'_>) -> Self {
        let text = find.text.map(str::trim).unwrap_or_default();
        Self {
            like: if text.is_empty() {
                String::new()
            } else {
                containing(&text.to_lowercase())
            },
            status: find.status,
        }
    }

    /// The text is $1, the place to go on from $2 and $3.
    fn clause(&self, from_place: bool) -> String {
        let mut all = vec![if self.like.is_empty() {
            // Bound all the same, so that the numbers stay.
            "$1 = ''"
        } else {
            "search LIKE $1 ESCAPE '\\'"
        }];
        match self.status {
            None => {}
            Some(Status::Active) => all.push("active = 1 AND invited = 0"),
            Some(Status::Invited) => all.push("active = 1 AND invited = 1"),
            Some(Status::Deactivated) => all.push("active = 0"),
        }
        if from_place {
            all.push("(search, id) > ($2, $3)");
        }
        format!(" WHERE {}", all.join(" AND "))
    }
}

/// Where the list goes on after a person.
async fn place_of(on: &sqlx::SqlitePool, id: &str) -> Result<(String, String), StoreError> {
    let search: Option<String> = sqlx::query_scalar("SELECT search FROM users WHERE id = $1")
        .bind(id)
        .fetch_optional(on)
        .await?;
    Ok(search.map_or_else(Default::default, |search| (search, id.to_owned())))
}

/// id, email, name, username, active, invited, created_at, signed_in_at.
type Row = (
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    i64,
    i64,
    i64,
);

fn summary(row: Row) -> Result<Summary, StoreError> {
    let (id, email, name, username, active, invited, created_at, signed_in_at) = row;
    Ok(Summary {
        user: UserId::new(id),
        email,
        name,
        username,
        status: match (active, invited) {
            (0, _) => Status::Deactivated,
            (_, 1) => Status::Invited,
            (_, _) => Status::Active,
        },
        created_at: time(created_at)?,
        signed_in_at: (signed_in_at > 0).then(|| time(signed_in_at)).transpose()?,
    })
}

pub(super) fn time(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second)
        .map_err(|_| StoreError("a user has a time out of range".to_owned()))
}

/// The subjects of a user, the one used last first.
async fn subjects(
    on: &mut SqliteConnection,
    user: &UserId,
) -> Result<Vec<KnownSubject>, StoreError> {
    type Row = (String, String, String, String, String, String, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT idp, protocol, issuer, format, value, attributes, created_at, signed_in_at \
         FROM subjects WHERE user_id = $1 ORDER BY signed_in_at DESC, created_at DESC, idp, issuer, format, value",
    )
    .bind(user.as_str())
    .fetch_all(on)
    .await?;
    let known = |row: Row| {
        let (idp, protocol, issuer, format, value, attributes, created_at, signed_in_at) = row;
        Ok(KnownSubject {
            subject: Subject {
                idp: IdpId::new(idp),
                protocol: Protocol::from_text(&protocol)
                    .ok_or_else(|| StoreError("a subject has an unknown protocol".to_owned()))?,
                issuer,
                format,
                value,
            },
            attributes: serde_json::from_str(&attributes)?,
            created_at: time(created_at)?,
            signed_in_at: time(signed_in_at)?,
        })
    };
    rows.into_iter().map(known).collect()
}

/// What a sign-in, SCIM or an invitation says of a person; what it leaves out stays as it was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    pub(super) email: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) username: Option<&'a str>,
}

/// Keeps what was said last, and the text that the list is searched and ordered by.
pub(super) async fn keep_profile(
    on: &mut SqliteConnection,
    user: &UserId,
    said: Said<'_>,
) -> Result<(), StoreError> {
    let known: (Option<String>, Option<String>, Option<String>) =
        sqlx::query_as("SELECT email, name, username FROM users WHERE id = $1")
            .bind(user.as_str())
            .fetch_one(&mut *on)
            .await?;
    let latest = |said: Option<&str>, known: Option<String>| {
        let said = said.map(str::trim).filter(|said| !said.is_empty());
        said.map(str::to_owned).or(known)
    };
    let email = latest(said.email, known.0);
    let name = latest(said.name, known.1);
    let username = latest(said.username, known.2);
    let words: Vec<&str> = [&name, &email, &username]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    sqlx::query("UPDATE users SET email = $2, name = $3, username = $4, search = $5 WHERE id = $1")
        .bind(user.as_str())
        .bind(&email)
        .bind(&name)
        .bind(&username)
        .bind(words.join(" ").to_lowercase())
        .execute(on)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
