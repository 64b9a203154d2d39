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

/// What users are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserOrder {
    /// `id`, which is the order in which they were made.
    Id,
    /// `userName`.
    UserName,
    /// `externalId`.
    ExternalId,
    /// `meta.lastModified`.
    Changed,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOrder {
    /// `id`, which is the order in which they were made.
    Id,
    /// `displayName`.
    DisplayName,
    /// `externalId`.
    ExternalId,
    /// `meta.lastModified`.
    Changed,
}

const USERS: &str = "SELECT u.id, u.user_id, u.active, u.match_value, u.document, u.version, u.created_at, \
     u.changed_at FROM scim_users u ";
const GROUPS: &str = "SELECT g.id, g.display_name, g.document, g.version, g.created_at, g.changed_at FROM scim_groups g ";
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

    /// How many user resources there are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_user_count(&self, idp: &IdpId) -> Result<u64, StoreError> {
        self.scim_count("SELECT COUNT(*) FROM scim_users WHERE idp = $1", idp)
            .await
    }

    /// How many group resources there are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_group_count(&self, idp: &IdpId) -> Result<u64, StoreError> {
        self.scim_count("SELECT COUNT(*) FROM scim_groups WHERE idp = $1", idp)
            .await
    }

    async fn scim_count(&self, query: &'static str, idp: &IdpId) -> Result<u64, StoreError> {
        let work = async {
            let count: i64 = sqlx::query_scalar(query)
                .bind(idp.as_str())
                .fetch_one(&self.store.pool)
                .await?;
            Ok(u64::try_from(count).unwrap_or(0))
        };
        self.store.within(work).await
    }

    /// A page of user resources, sorted, from the one at `offset` (from 0).
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_user_page(
        &self,
        idp: &IdpId,
        order: (UserOrder, bool),
        offset: i64,
        limit: i64,
    ) -> Result<Vec<UserRow>, StoreError> {
        let column = match order.0 {
            UserOrder::Id => "id",
            UserOrder::UserName => "user_name_key",
            UserOrder::ExternalId => "external_id",
            UserOrder::Changed => "changed_at",
        };
        let ids = self
            .scim_page("scim_users", idp, (column, order.1), offset, limit)
            .await?;
        let rows = self.scim_users_with(idp, &ids).await?;
        Ok(in_order(&ids, rows, |row| &row.id))
    }

    /// A page of group resources, sorted, from the one at `offset` (from 0).
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_group_page(
        &self,
        idp: &IdpId,
        order: (GroupOrder, bool),
        offset: i64,
        limit: i64,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let column = match order.0 {
            GroupOrder::Id => "id",
            GroupOrder::DisplayName => "display_name_key",
            GroupOrder::ExternalId => "external_id",
            GroupOrder::Changed => "changed_at",
        };
        let ids = self
            .scim_page("scim_groups", idp, (column, order.1), offset, limit)
            .await?;
        let rows = self.scim_groups_with(idp, &ids).await?;
        Ok(in_order(&ids, rows, |row| &row.id))
    }

    /// The ids of a page. They alone are sorted and skipped; the documents are read of the page only.
    async fn scim_page(
        &self,
        table: &'static str,
        idp: &IdpId,
        (column, descending): (&'static str, bool),
        offset: i64,
        limit: i64,
    ) -> Result<Vec<String>, StoreError> {
        let direction = if descending { " DESC" } else { "" };
        let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM ");
        query
            .push(table)
            .push(" WHERE idp = ")
            .push_bind(idp.as_str());
        query.push(" ORDER BY ").push(column).push(direction);
        if matches!(column, "external_id" | "changed_at") {
            // Where several have the same, else a page could show one of them again.
            query.push(", id").push(direction);
        }
        query.push(" LIMIT ").push_bind(limit);
        query.push(" OFFSET ").push_bind(offset);
        let work = async {
            Ok(query
                .build_query_scalar()
                .fetch_all(&self.store.pool)
                .await?)
        };
        self.store.within(work).await
    }

    /// The next user resources after that time of a change and that id, in the order of both: for reading all of them, or those
    /// that changed since, in steps.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_users_after(
        &self,
        idp: &IdpId,
        after: (i64, &str),
        limit: i64,
    ) -> Result<Vec<UserRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(USERS);
        query.push("WHERE u.idp = ").push_bind(idp.as_str());
        query.push(" AND (u.changed_at, u.id) > (");
        query.push_bind(after.0).push(", ").push_bind(after.1);
        query.push(") ORDER BY u.changed_at, u.id LIMIT ");
        query.push_bind(limit);
        let work = async { Ok(query.build_query_as().fetch_all(&self.store.pool).await?) };
        self.store.within(work).await
    }

    /// The next group resources, likewise.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_groups_after(
        &self,
        idp: &IdpId,
        after: (i64, &str),
        limit: i64,
    ) -> Result<Vec<GroupRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(GROUPS);
        query.push("WHERE g.idp = ").push_bind(idp.as_str());
        query.push(" AND (g.changed_at, g.id) > (");
        query.push_bind(after.0).push(", ").push_bind(after.1);
        query.push(") ORDER BY g.changed_at, g.id LIMIT ");
        query.push_bind(limit);
        let work = async { Ok(query.build_query_as().fetch_all(&self.store.pool).await?) };
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

/// Rows in the order of their ids; one that is gone meanwhile is left out.
fn in_order<T>(ids: &[String], rows: Vec<T>, id: impl Fn(&T) -> &String) -> Vec<T> {
    let mut by_id: HashMap<String, T> = rows
        .into_iter()
        .map(|row| (id(&row).clone(), row))
        .collect();
    ids.iter().filter_map(|id| by_id.remove(id)).collect()
}
