//! Reading resources page by page, or one step after another.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::rows::{GROUPS, USERS};
use super::{GroupRow, UserRow};
use crate::directory::Directory;
use crate::identity::IdpId;
use crate::store::StoreError;

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

impl Directory {
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

    /// Whether more than `count` user resources changed since that second.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_has_more_users(
        &self,
        idp: &IdpId,
        count: u32,
        since: i64,
    ) -> Result<bool, StoreError> {
        self.scim_has_more("scim_users", idp, count, since).await
    }

    /// Whether more than `count` group resources changed since that second.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_has_more_groups(
        &self,
        idp: &IdpId,
        count: u32,
        since: i64,
    ) -> Result<bool, StoreError> {
        self.scim_has_more("scim_groups", idp, count, since).await
    }

    async fn scim_has_more(
        &self,
        table: &'static str,
        idp: &IdpId,
        count: u32,
        since: i64,
    ) -> Result<bool, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT 1 FROM ");
        query.push(table).push(" WHERE idp = ");
        query.push_bind(idp.as_str());
        query.push(" AND changed_at >= ").push_bind(since);
        // By the index of changes, up to there and no further.
        query.push(" ORDER BY changed_at, id LIMIT 1 OFFSET ");
        query.push_bind(i64::from(count));
        let work = async {
            let one = query.build().fetch_optional(&self.store.pool).await?;
            Ok(one.is_some())
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
        self.scim_after(USERS, idp, after, limit).await
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
        self.scim_after(GROUPS, idp, after, limit).await
    }

    async fn scim_after<T>(
        &self,
        select: &'static str,
        idp: &IdpId,
        after: (i64, &str),
        limit: i64,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut query = QueryBuilder::<Sqlite>::new(select);
        query.push("WHERE idp = ").push_bind(idp.as_str());
        query.push(" AND (changed_at, id) > (");
        query.push_bind(after.0).push(", ").push_bind(after.1);
        query.push(") ORDER BY changed_at, id LIMIT ");
        query.push_bind(limit);
        let work = async { Ok(query.build_query_as().fetch_all(&self.store.pool).await?) };
        self.store.within(work).await
    }
}

/// Rows in the order of their ids; one that is gone meanwhile is left out.
fn in_order<T>(ids: &[String], rows: Vec<T>, id: impl Fn(&T) -> &String) -> Vec<T> {
    let mut by_id: HashMap<String, T> = rows
        .into_iter()
        .map(|row| (id(&row).clone(), row))
        .collect();
    ids.iter().filter_map(|id| by_id.remove(id)).collect()
}
