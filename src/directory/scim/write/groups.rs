//! Groups and their members.

use serde_json::{Value, json};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{GroupData, MemberChange, Write, WriteError};
use crate::directory::scim::CHUNK;
use crate::directory::scim::rows::{self, GroupKey, GroupRow, push_ids};
use crate::identity::{IdpId, UserId, folded};
use crate::store::StoreError;

/// Members that a line of the log names.
const NAMED: usize = 50;

impl Write {
    /// Makes a group resource with its members.
    ///
    /// # Errors
    /// `Taken` where another group has that name; `UnknownMember`.
    pub async fn create_group(
        &mut self,
        data: &GroupData,
        members: Vec<String>,
    ) -> Result<GroupRow, WriteError> {
        self.check_group_name(None, data).await?;
        let id = uuid::Uuid::now_v7().to_string();
        sqlx::query(
            "INSERT INTO scim_groups (idp, id, external_id, display_name, display_name_key, document, version, \
             created_at, changed_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7)",
        )
        .bind(self.idp.as_str())
        .bind(&id)
        .bind(&data.external_id)
        .bind(&data.display_name)
        .bind(folded(&data.display_name))
        .bind(serde_json::to_string(&data.document).map_err(StoreError::from)?)
        .bind(self.now.as_second())
        .execute(&mut *self.transaction)
        .await?;
        let row = GroupRow {
            id,
            display_name: data.display_name.clone(),
            document: data.document.clone(),
            version: 1,
            created_at: self.now,
            changed_at: self.now,
        };
        let (added, _) = self
            .change_members(&row.id, vec![MemberChange::Add(members)])
            .await?;
        let details = group_details(&row, &added, &[]);
        self.log("made", None, "SCIM", details).await?;
        self.members_changed(added).await?;
        Ok(row)
    }

    /// Writes a group resource anew, and changes its members.
    ///
    /// # Errors
    /// `Taken` where another group has that name; `UnknownMember`.
    pub async fn update_group(
        &mut self,
        former: &GroupRow,
        data: &GroupData,
        members: Vec<MemberChange>,
    ) -> Result<GroupRow, WriteError> {
        let renamed = former.display_name != data.display_name;
        if renamed {
            self.check_group_name(Some(&former.id), data).await?;
        }
        let (added, removed) = self.change_members(&former.id, members).await?;
        let same = former.document == data.document;
        if same && added.is_empty() && removed.is_empty() {
            return Ok(former.clone());
        }
        sqlx::query(
            "UPDATE scim_groups SET external_id = $3, display_name = $4, display_name_key = $5, document = $6, \
             version = version + 1, changed_at = $7 WHERE idp = $1 AND id = $2",
        )
        .bind(self.idp.as_str())
        .bind(&former.id)
        .bind(&data.external_id)
        .bind(&data.display_name)
        .bind(folded(&data.display_name))
        .bind(serde_json::to_string(&data.document).map_err(StoreError::from)?)
        .bind(self.now.as_second())
        .execute(&mut *self.transaction)
        .await?;
        let row = GroupRow {
            display_name: data.display_name.clone(),
            document: data.document.clone(),
            version: former.version + 1,
            changed_at: self.now,
            ..former.clone()
        };
        let mut details = group_details(&row, &added, &removed);
        if renamed {
            details["displayName"] = json!([former.display_name, data.display_name]);
        }
        self.log("changed", None, "SCIM", details).await?;
        let mut touched = [added, removed].concat();
        if !same {
            let all = self.members(&former.id).await?;
            touched.extend(all.into_iter().map(|one| one.member));
        }
        self.members_changed(touched).await?;
        Ok(row)
    }

    /// Deletes a group resource.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete_group(&mut self, former: &GroupRow) -> Result<(), WriteError> {
        let members = vec![MemberChange::Set(Vec::new())];
        let (_, removed) = self.change_members(&former.id, members).await?;
        sqlx::query("DELETE FROM scim_groups WHERE idp = $1 AND id = $2")
            .bind(self.idp.as_str())
            .bind(&former.id)
            .execute(&mut *self.transaction)
            .await?;
        let details = group_details(former, &[], &removed);
        self.log("deleted", None, "SCIM", details).await?;
        self.members_changed(removed).await?;
        Ok(())
    }

    async fn check_group_name(
        &mut self,
        own: Option<&str>,
        data: &GroupData,
    ) -> Result<(), WriteError> {
        let key = GroupKey::DisplayName(folded(&data.display_name));
        let holders = rows::groups_by(&mut self.transaction, &self.idp, &key).await?;
        if holders.iter().any(|row| Some(row.id.as_str()) != own) {
            return Err(WriteError::Taken("displayName"));
        }
        Ok(())
    }

    /// Changes members; gives the ids of those who came and of those who went.
    async fn change_members(
        &mut self,
        group: &str,
        changes: Vec<MemberChange>,
    ) -> Result<(Vec<String>, Vec<String>), WriteError> {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for change in changes {
            let (add, remove) = match change {
                MemberChange::Add(ids) => (ids, Vec::new()),
                MemberChange::Remove(ids) => (Vec::new(), ids),
                MemberChange::Set(ids) => {
                    let wanted: std::collections::HashSet<&String> = ids.iter().collect();
                    let now = self.members(group).await?.into_iter().map(|one| one.member);
                    let gone = now.filter(|id| !wanted.contains(id)).collect();
                    (ids, gone)
                }
            };
            let on = &mut *self.transaction;
            removed.extend(remove_members(on, &self.idp, group, remove).await?);
            added.extend(add_members(on, &self.idp, group, add).await?);
        }
        Ok((added, removed))
    }

    /// Users see their groups in their own resource: its version grows, and they follow the change.
    async fn members_changed(&mut self, members: Vec<String>) -> Result<(), WriteError> {
        let mut users = Vec::new();
        for ids in members.chunks(CHUNK) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "UPDATE scim_users SET version = version + 1 WHERE idp = ",
            );
            push_ids(&mut query, &self.idp, "id", ids);
            query
                .build()
                .persistent(false)
                .execute(&mut *self.transaction)
                .await?;
            let mut query =
                QueryBuilder::<Sqlite>::new("SELECT user_id FROM scim_users WHERE idp = ");
            push_ids(&mut query, &self.idp, "id", ids);
            let found: Vec<String> = query
                .build_query_scalar()
                .persistent(false)
                .fetch_all(&mut *self.transaction)
                .await?;
            users.extend(found.into_iter().map(UserId::new));
        }
        self.mark(users).await
    }
}

fn group_details(group: &GroupRow, added: &[String], removed: &[String]) -> Value {
    let named = |ids: &[String]| ids.iter().take(NAMED).cloned().collect::<Vec<_>>();
    json!({
        "resource": "Group", "id": group.id, "displayName": group.display_name,
        "added": named(added), "added_count": added.len(),
        "removed": named(removed), "removed_count": removed.len(),
    })
}

/// Which of these are members.
async fn present(
    on: &mut SqliteConnection,
    idp: &IdpId,
    group: &str,
    ids: &[String],
) -> Result<Vec<String>, WriteError> {
    let mut query =
        QueryBuilder::<Sqlite>::new("SELECT member_id FROM scim_members WHERE group_id = ");
    query.push_bind(group.to_owned()).push(" AND idp = ");
    push_ids(&mut query, idp, "member_id", ids);
    let query = query
        .build_query_scalar()
        .persistent(false)
        .fetch_all(on)
        .await;
    Ok(query?)
}

async fn remove_members(
    on: &mut SqliteConnection,
    idp: &IdpId,
    group: &str,
    ids: Vec<String>,
) -> Result<Vec<String>, WriteError> {
    let mut removed = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let there = present(on, idp, group, ids).await?;
        if there.is_empty() {
            continue;
        }
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM scim_members WHERE group_id = ");
        query.push_bind(group.to_owned()).push(" AND idp = ");
        push_ids(&mut query, idp, "member_id", &there);
        query.build().persistent(false).execute(&mut *on).await?;
        removed.extend(there);
    }
    Ok(removed)
}

async fn add_members(
    on: &mut SqliteConnection,
    idp: &IdpId,
    group: &str,
    mut ids: Vec<String>,
) -> Result<Vec<String>, WriteError> {
    ids.sort();
    ids.dedup();
    let mut added = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let there = present(on, idp, group, ids).await?;
        let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM scim_users WHERE idp = ");
        push_ids(&mut query, idp, "id", ids);
        let known: Vec<String> = query
            .build_query_scalar()
            .persistent(false)
            .fetch_all(&mut *on)
            .await?;
        if let Some(unknown) = ids.iter().find(|id| !known.contains(id)) {
            let shown = unknown.chars().take(100).collect();
            return Err(WriteError::UnknownMember(shown));
        }
        let new: Vec<&String> = ids.iter().filter(|id| !there.contains(id)).collect();
        if new.is_empty() {
            continue;
        }
        let mut query =
            QueryBuilder::<Sqlite>::new("INSERT INTO scim_members (idp, group_id, member_id) ");
        query.push_values(&new, |mut row, id| {
            row.push_bind(idp.as_str().to_owned());
            row.push_bind(group.to_owned());
            row.push_bind((*id).clone());
        });
        query.build().persistent(false).execute(&mut *on).await?;
        added.extend(new.into_iter().cloned());
    }
    Ok(added)
}
