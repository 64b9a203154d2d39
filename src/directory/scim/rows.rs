//! Reading resources.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite, SqliteConnection};

use super::CHUNK;
use crate::directory::Directory;
use crate::identity::{IdpId, UserId};
use crate::store::StoreError;

/// Rows that an index may find before the search is a scan.
const FOUND: i64 = 1000;

/// A user resource.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// `id`.
    pub id: String,
    /// The user in the directory.
    pub user: UserId,
    /// Whether SCIM lets the person sign in.
    pub active: bool,
    /// What a sign-in binds by; see [`super::UserData::match_value`].
    pub match_value: Option<String>,
    /// The resource without `id`, `meta` and `groups`.
    pub document: Map<String, Value>,
    /// Grows with every change.
    pub version: i64,
    /// `meta.created`.
    pub created_at: Timestamp,
    /// `meta.lastModified`.
    pub changed_at: Timestamp,
}

/// A group resource.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// `id`.
    pub id: String,
    /// `displayName`.
    pub display_name: String,
    /// The resource without `id`, `meta` and `members`.
    pub document: Map<String, Value>,
    /// Grows with every change.
    pub version: i64,
    /// `meta.created`.
    pub created_at: Timestamp,
    /// `meta.lastModified`.
    pub changed_at: Timestamp,
}

/// Who is in which group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// `id` of the group.
    pub group: String,
    /// `displayName` of the group.
    pub group_name: String,
    /// `id` of the member.
    pub member: String,
}

/// What an index finds users by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserKey {
    /// `id`.
    Id(String),
    /// `userName`, as names are compared.
    UserName(String),
    /// `externalId`.
    ExternalId(String),
    /// The value of any of `emails`, as names are compared.
    Email(String),
}

/// What an index finds groups by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKey {
    /// `id`.
    Id(String),
    /// `displayName`, as names are compared.
    DisplayName(String),
    /// `externalId`.
    ExternalId(String),
    /// `id` of a member.
    Member(String),
}

pub(super) const USERS: &str = "SELECT u.id, u.user_id, u.active, u.match_value, u.document, u.version, u.created_at, \
     u.changed_at FROM scim_users u ";
pub(super) const GROUPS: &str = "SELECT g.id, g.display_name, g.document, g.version, g.created_at, g.changed_at FROM scim_groups g ";
const MEMBERSHIPS: &str = "SELECT g.id, g.display_name, m.member_id FROM scim_members m \
     JOIN scim_groups g ON g.idp = m.idp AND g.id = m.group_id ";

fn document(row: &SqliteRow) -> Result<Map<String, Value>, sqlx::Error> {
    let text: &str = row.try_get("document")?;
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    let seconds: i64 = row.try_get(column)?;
    Timestamp::from_second(seconds).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

impl FromRow<'_, SqliteRow> for UserRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            user: UserId::new(row.try_get::<String, _>("user_id")?),
            active: row.try_get::<i64, _>("active")? == 1,
            match_value: row.try_get("match_value")?,
            document: document(row)?,
            version: row.try_get("version")?,
            created_at: time(row, "created_at")?,
            changed_at: time(row, "changed_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for GroupRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            display_name: row.try_get("display_name")?,
            document: document(row)?,
            version: row.try_get("version")?,
            created_at: time(row, "created_at")?,
            changed_at: time(row, "changed_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Membership {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            group: row.try_get(0)?,
            group_name: row.try_get(1)?,
            member: row.try_get(2)?,
        })
    }
}

/// The users that a key finds; more than any page has are not looked at.
pub(super) async fn users_by(
    on: &mut SqliteConnection,
    idp: &IdpId,
    key: &UserKey,
) -> Result<Vec<UserRow>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(USERS);
    query.push("WHERE u.idp = ").push_bind(idp.as_str());
    match key {
        UserKey::Id(value) => query.push(" AND u.id = ").push_bind(value.as_str()),
        UserKey::UserName(value) => query
            .push(" AND u.user_name_key = ")
            .push_bind(value.as_str()),
        UserKey::ExternalId(value) => query
            .push(" AND u.external_id = ")
            .push_bind(value.as_str()),
        UserKey::Email(value) => query
            .push(" AND u.id IN (SELECT id FROM scim_emails WHERE idp = ")
            .push_bind(idp.as_str())
            .push(" AND email_key = ")
            .push_bind(value.as_str())
            .push(")"),
    };
    // Without an order: for one, SQLite would rather walk all rows in it than use the index of the key.
    query.push(" LIMIT ").push_bind(FOUND);
    let mut rows: Vec<UserRow> = query.build_query_as().fetch_all(on).await?;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(rows)
}

/// The groups that a key finds.
pub(super) async fn groups_by(
    on: &mut SqliteConnection,
    idp: &IdpId,
    key: &GroupKey,
) -> Result<Vec<GroupRow>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(GROUPS);
    query.push("WHERE g.idp = ").push_bind(idp.as_str());
    match key {
        GroupKey::Id(value) => query.push(" AND g.id = ").push_bind(value.as_str()),
        GroupKey::DisplayName(value) => query
            .push(" AND g.display_name_key = ")
            .push_bind(value.as_str()),
        GroupKey::ExternalId(value) => query
            .push(" AND g.external_id = ")
            .push_bind(value.as_str()),
        GroupKey::Member(value) => query
            .push(" AND g.id IN (SELECT group_id FROM scim_members WHERE idp = ")
            .push_bind(idp.as_str())
            .push(" AND member_id = ")
            .push_bind(value.as_str())
            .push(")"),
    };
    query.push(" LIMIT ").push_bind(FOUND);
    let mut rows: Vec<GroupRow> = query.build_query_as().fetch_all(on).await?;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(rows)
}

/// Who is in which group, of these groups or of these users (`column` says which).
async fn memberships(
    on: &mut SqliteConnection,
    idp: &IdpId,
    column: &'static str,
    ids: &[String],
) -> Result<Vec<Membership>, StoreError> {
    let mut found = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let mut query = QueryBuilder::<Sqlite>::new(MEMBERSHIPS);
        query.push("WHERE m.idp = ");
        push_ids(&mut query, idp, column, ids);
        let query = query.build_query_as::<Membership>().persistent(false);
        found.extend(query.fetch_all(&mut *on).await?);
    }
    Ok(found)
}

/// The groups of these users, by the user's `id`.
pub(super) async fn groups_of(
    on: &mut SqliteConnection,
    idp: &IdpId,
    users: &[String],
) -> Result<HashMap<String, Vec<Membership>>, StoreError> {
    let mut by_user: HashMap<_, Vec<_>> = HashMap::new();
    for one in memberships(on, idp, "m.member_id", users).await? {
        by_user.entry(one.member.clone()).or_default().push(one);
    }
    Ok(by_user)
}

impl Directory {
    /// The user resource with that id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_user(&self, idp: &IdpId, id: &str) -> Result<Option<UserRow>, StoreError> {
        Ok(self
            .scim_users_by(idp, &UserKey::Id(id.to_owned()))
            .await?
            .pop())
    }

    /// The user resources that a key finds; at most 1000.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_users_by(
        &self,
        idp: &IdpId,
        key: &UserKey,
    ) -> Result<Vec<UserRow>, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            users_by(&mut on, idp, key).await
        };
        self.store.within(work).await
    }

    /// The group resources that a key finds; at most 1000.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_groups_by(
        &self,
        idp: &IdpId,
        key: &GroupKey,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            groups_by(&mut on, idp, key).await
        };
        self.store.within(work).await
    }

    /// The user resources with these ids, in no order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_users_with(
        &self,
        idp: &IdpId,
        ids: &[String],
    ) -> Result<Vec<UserRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(USERS);
        query.push("WHERE u.idp = ");
        push_ids(&mut query, idp, "u.id", ids);
        let query = query.build_query_as().persistent(false);
        let work = async { Ok(query.fetch_all(&self.store.pool).await?) };
        self.store.within(work).await
    }

    /// The group resources with these ids, in no order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_groups_with(
        &self,
        idp: &IdpId,
        ids: &[String],
    ) -> Result<Vec<GroupRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(GROUPS);
        query.push("WHERE g.idp = ");
        push_ids(&mut query, idp, "g.id", ids);
        let query = query.build_query_as().persistent(false);
        let work = async { Ok(query.fetch_all(&self.store.pool).await?) };
        self.store.within(work).await
    }

    /// The groups of these users, by the user's `id`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_groups_of(
        &self,
        idp: &IdpId,
        users: &[String],
    ) -> Result<HashMap<String, Vec<Membership>>, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            groups_of(&mut on, idp, users).await
        };
        self.store.within(work).await
    }

    /// The members of these groups, by the group's `id`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_members_of(
        &self,
        idp: &IdpId,
        groups: &[String],
    ) -> Result<HashMap<String, Vec<Membership>>, StoreError> {
        let work = async {
            let mut on = self.store.pool.acquire().await?;
            members_of(&mut on, idp, groups).await
        };
        self.store.within(work).await
    }
}

/// `… = idp AND column IN (ids)`.
pub(super) fn push_ids(
    query: &mut QueryBuilder<Sqlite>,
    idp: &IdpId,
    column: &'static str,
    ids: &[String],
) {
    query.push_bind(idp.as_str().to_owned());
    query.push(" AND ").push(column).push(" IN (");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id.clone());
    }
    query.push(")");
}

/// The members of these groups, by the group's `id`.
pub(super) async fn members_of(
    on: &mut SqliteConnection,
    idp: &IdpId,
    groups: &[String],
) -> Result<HashMap<String, Vec<Membership>>, StoreError> {
    let mut by_group: HashMap<_, Vec<_>> = HashMap::new();
    for one in memberships(on, idp, "m.group_id", groups).await? {
        by_group.entry(one.group.clone()).or_default().push(one);
    }
    Ok(by_group)
}
