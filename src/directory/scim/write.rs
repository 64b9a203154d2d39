//! Writing resources: everything of one request in one transaction, with its line in the log and the marks for the apps.

mod groups;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::person::{self, Writing};
use super::rows::{self, GroupKey, GroupRow, Membership, UserKey, UserRow};
use super::{MATCH, USER_NAME};
use crate::audit::{Action, By, Entry};
use crate::directory::{Directory, changes};
use crate::identity::{Attributes, IdpId, UserId, folded};
use crate::store::StoreError;

/// What is kept of a user besides `id` and `meta`.
#[derive(Clone, Debug)]
pub struct UserData {
    /// `userName`.
    pub user_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// What a sign-in binds by: `scim.match.scim` of the resource, compared whole. None: no sign-in binds to it.
    pub match_value: Option<String>,
    /// Whether a sign-in binds by its subject's own value, and not by an attribute.
    pub by_subject: bool,
    /// Whether the person may sign in.
    pub active: bool,
    /// What the directory and the apps are told.
    pub attributes: Attributes,
    /// The resource without `id`, `meta` and `groups`.
    pub document: Map<String, Value>,
}

/// What is kept of a group besides `id`, `meta` and `members`.
#[derive(Clone, Debug)]
pub struct GroupData {
    /// `displayName`.
    pub display_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// The resource without `id`, `meta` and `members`.
    pub document: Map<String, Value>,
}

/// One change of a group's members, by their `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// They are members too.
    Add(Vec<String>),
    /// They are members no longer.
    Remove(Vec<String>),
    /// They and nobody else are members.
    Set(Vec<String>),
}

/// Why a resource is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another resource, or another user in the directory, has that name.
    #[error("the {0} is taken")]
    Taken(&'static str),
    /// No user resource has that id.
    #[error("there is no user {0}")]
    UnknownMember(String),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A transaction over the resources of one IdP; dropped without [`Write::commit`], nothing was written.
#[derive(Debug)]
pub struct Write {
    directory: Directory,
    transaction: Transaction<'static, Sqlite>,
    idp: IdpId,
    by: By,
    now: Timestamp,
    touched: Vec<UserId>,
}

impl Directory {
    /// Begins to write on behalf of an IdP's SCIM client. To be run within [`crate::store::Store::within`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn scim_write(
        &self,
        idp: &IdpId,
        by: By,
        now: Timestamp,
    ) -> Result<Write, StoreError> {
        Ok(Write {
            directory: self.clone(),
            transaction: self.store.begin().await?,
            idp: idp.clone(),
            by,
            now,
            touched: Vec::new(),
        })
    }
}

impl Write {
    /// Commits. The caller lets the change of these users take effect.
    ///
    /// # Errors
    /// If the store fails; nothing was written then.
    pub async fn commit(self) -> Result<Vec<UserId>, StoreError> {
        self.transaction.commit().await?;
        let mut touched = self.touched;
        touched.sort();
        touched.dedup();
        Ok(touched)
    }

    /// The user resource with that id, as it is now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn user(&mut self, id: &str) -> Result<Option<UserRow>, StoreError> {
        let key = UserKey::Id(id.to_owned());
        Ok(rows::users_by(&mut self.transaction, &self.idp, &key)
            .await?
            .pop())
    }

    /// The group resource with that id, as it is now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn group(&mut self, id: &str) -> Result<Option<GroupRow>, StoreError> {
        let key = GroupKey::Id(id.to_owned());
        Ok(rows::groups_by(&mut self.transaction, &self.idp, &key)
            .await?
            .pop())
    }

    /// The members of a group.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn members(&mut self, group: &str) -> Result<Vec<Membership>, StoreError> {
        let ids = [group.to_owned()];
        let mut found = rows::members_of(&mut self.transaction, &self.idp, &ids).await?;
        Ok(found.remove(group).unwrap_or_default())
    }

    /// The groups of a user.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn groups_of(&mut self, user: &str) -> Result<Vec<Membership>, StoreError> {
        let ids = [user.to_owned()];
        let mut found = rows::groups_of(&mut self.transaction, &self.idp, &ids).await?;
        Ok(found.remove(user).unwrap_or_default())
    }

    /// Lets a user follow the change although nothing of it was written: what an earlier try left undone is done then.
    pub fn touch(&mut self, user: &UserId) {
        self.touched.push(user.clone());
    }

    /// Makes a user resource, and makes, adopts or revives the user in the directory.
    ///
    /// # Errors
    /// `Taken` where a resource or a user has one of its names.
    pub async fn create_user(&mut self, data: &UserData) -> Result<UserRow, WriteError> {
        self.check_free(None, data).await?;
        let id = uuid::Uuid::now_v7().to_string();
        let (on, idp, now) = (&mut *self.transaction, &self.idp, self.now);
        let (user, how) = person::find_or_make(on, idp, data, now).await?;
        sqlx::query(
            "INSERT INTO scim_users (idp, id, user_id, external_id, user_name, user_name_key, match_value, \
             active, document, version, created_at, changed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10)",
        )
        .bind(idp.as_str())
        .bind(&id)
        .bind(user.as_str())
        .bind(&data.external_id)
        .bind(&data.user_name)
        .bind(folded(&data.user_name))
        .bind(&data.match_value)
        .bind(i64::from(data.active))
        .bind(serde_json::to_string(&data.document).map_err(StoreError::from)?)
        .bind(now.as_second())
        .execute(&mut *on)
        .await?;
        keep_emails(&mut self.transaction, &self.idp, &id, &data.document).await?;
        person::keep(self.writing(), &id, &user, data).await?;
        let details = json!({ "resource": "User", "id": id, "userName": data.user_name, "active": data.active });
        self.log("made", Some(&user), how, details).await?;
        self.mark(vec![user.clone()]).await?;
        Ok(UserRow {
            id,
            user,
            active: data.active,
            match_value: data.match_value.clone(),
            document: data.document.clone(),
            version: 1,
            created_at: now,
            changed_at: now,
        })
    }

    /// Writes a user resource anew.
    ///
    /// # Errors
    /// `Taken` where another resource or user has one of its names.
    pub async fn update_user(
        &mut self,
        former: &UserRow,
        data: &UserData,
    ) -> Result<UserRow, WriteError> {
        if former.document == data.document && former.active == data.active {
            self.touch(&former.user);
            return Ok(former.clone());
        }
        self.check_free(Some(&former.id), data).await?;
        let (on, idp, now) = (&mut *self.transaction, &self.idp, self.now);
        sqlx::query(
            "UPDATE scim_users SET external_id = $3, user_name = $4, user_name_key = $5, match_value = $6, \
             active = $7, document = $8, version = version + 1, changed_at = $9 WHERE idp = $1 AND id = $2",
        )
        .bind(idp.as_str())
        .bind(&former.id)
        .bind(&data.external_id)
        .bind(&data.user_name)
        .bind(folded(&data.user_name))
        .bind(&data.match_value)
        .bind(i64::from(data.active))
        .bind(serde_json::to_string(&data.document).map_err(StoreError::from)?)
        .bind(now.as_second())
        .execute(&mut *on)
        .await?;
        keep_emails(&mut self.transaction, &self.idp, &former.id, &data.document).await?;
        person::keep(self.writing(), &former.id, &former.user, data).await?;
        let mut details = json!({
            "resource": "User", "id": former.id, "userName": data.user_name,
            "changed": changed(&former.document, &data.document),
        });
        if former.active != data.active {
            details["active"] = json!([former.active, data.active]);
        }
        let what = match (former.active, data.active) {
            (true, false) => "deactivated",
            (false, true) => "reactivated",
            (true, true) | (false, false) => "changed",
        };
        self.log(what, Some(&former.user), "SCIM", details).await?;
        self.mark(vec![former.user.clone()]).await?;
        Ok(UserRow {
            active: data.active,
            match_value: data.match_value.clone(),
            document: data.document.clone(),
            version: former.version + 1,
            changed_at: now,
            ..former.clone()
        })
    }

    /// Deletes a user resource. The user stays, deactivated, known by the marks of the resource.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete_user(&mut self, former: &UserRow) -> Result<(), WriteError> {
        let (on, idp, now) = (&mut *self.transaction, &self.idp, self.now);
        let statements = [
            "UPDATE scim_groups SET version = version + 1 WHERE idp = $1 AND id IN \
             (SELECT group_id FROM scim_members WHERE idp = $1 AND member_id = $2)",
            "DELETE FROM scim_members WHERE idp = $1 AND member_id = $2",
            "DELETE FROM scim_emails WHERE idp = $1 AND id = $2",
            "DELETE FROM scim_users WHERE idp = $1 AND id = $2",
        ];
        for statement in statements {
            sqlx::query(statement)
                .bind(idp.as_str())
                .bind(&former.id)
                .execute(&mut *on)
                .await?;
        }
        let user_name = former.document.get("userName").and_then(Value::as_str);
        let marks = [
            (MATCH, former.match_value.clone()),
            (USER_NAME, user_name.map(folded)),
        ];
        for (kind, value) in marks {
            let Some(value) = value else { continue };
            sqlx::query(
                "INSERT INTO scim_marks (idp, kind, value, user_id, at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (idp, kind, value) DO UPDATE SET user_id = excluded.user_id, at = excluded.at",
            )
            .bind(idp.as_str())
            .bind(kind)
            .bind(value)
            .bind(former.user.as_str())
            .bind(now.as_second())
            .execute(&mut *on)
            .await?;
        }
        person::block(self.writing(), &former.user, true).await?;
        let details = json!({ "resource": "User", "id": former.id, "userName": user_name });
        self.log("deleted", Some(&former.user), "SCIM", details)
            .await?;
        self.mark(vec![former.user.clone()]).await?;
        Ok(())
    }

    fn writing(&mut self) -> Writing<'_> {
        Writing {
            directory: &self.directory,
            on: &mut self.transaction,
            idp: &self.idp,
            by: &self.by,
            now: self.now,
        }
    }

    async fn check_free(&mut self, own: Option<&str>, data: &UserData) -> Result<(), WriteError> {
        let name = UserKey::UserName(folded(&data.user_name));
        let holders = rows::users_by(&mut self.transaction, &self.idp, &name).await?;
        if holders.iter().any(|row| Some(row.id.as_str()) != own) {
            return Err(WriteError::Taken("userName"));
        }
        let holder: Option<String> =
            sqlx::query_scalar("SELECT id FROM scim_users WHERE idp = $1 AND match_value = $2")
                .bind(self.idp.as_str())
                .bind(&data.match_value)
                .fetch_optional(&mut *self.transaction)
                .await?;
        if holder.is_some_and(|id| Some(id.as_str()) != own) {
            return Err(WriteError::Taken("value that sign-ins are matched by"));
        }
        Ok(())
    }

    async fn mark(&mut self, users: Vec<UserId>) -> Result<(), WriteError> {
        changes::mark_all(&mut self.transaction, &users, self.now).await?;
        self.touched.extend(users);
        Ok(())
    }

    async fn log(
        &mut self,
        what: &str,
        user: Option<&UserId>,
        why: &str,
        mut details: Value,
    ) -> Result<(), WriteError> {
        details["op"] = what.into();
        let mut entry = Entry::new(Action::Scim, &self.by, why)
            .at_idp(&self.idp)
            .with(details);
        entry.user = user.cloned();
        let audit = self.directory.audit();
        audit
            .append(&mut self.transaction, &entry, self.now)
            .await?;
        Ok(())
    }
}

/// The names of the attributes that differ.
fn changed(former: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = former
        .keys()
        .chain(new.keys())
        .filter(|name| former.get(*name) != new.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Keeps the addresses of a resource where they are found by.
async fn keep_emails(
    on: &mut SqliteConnection,
    idp: &IdpId,
    id: &str,
    document: &Map<String, Value>,
) -> Result<(), WriteError> {
    sqlx::query("DELETE FROM scim_emails WHERE idp = $1 AND id = $2")
        .bind(idp.as_str())
        .bind(id)
        .execute(&mut *on)
        .await?;
    let emails = document.get("emails").and_then(Value::as_array);
    let keys = emails.into_iter().flatten();
    for key in keys.filter_map(|one| Some(folded(one.get("value")?.as_str()?))) {
        sqlx::query(
            "INSERT INTO scim_emails (idp, email_key, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(idp.as_str())
        .bind(key)
        .bind(id)
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}
