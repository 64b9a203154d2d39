//! One resource: made, shown, replaced, modified, deleted (RFC 7644 sections 3.3 to 3.6).

use http::StatusCode;
use serde_json::{Map, Value};

use super::Call;
use super::error::{ScimError, ScimType};
use super::filter::PatchPath;
use super::json::member;
use super::list::{Query, related, related_name};
use super::patch::{self, Op, Operation};
use super::project::Projection;
use super::render::{Row, etag, render, take};
use super::reply::Reply;
use super::resource;
use super::route::opaque;
use super::schema::ResourceKind;
use crate::directory::scim::{
    GroupData, GroupKey, GroupRow, MemberChange, UserData, UserRow, Write,
};
use crate::identity::UserId;
use crate::revoke::Why;

/// Members that one request names at most.
const MEMBERS: usize = 20_000;

/// A resource, and which state of it the client knows.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: ResourceKind,
    pub(super) id: String,
    /// `If-Match`; none: any state.
    pub(super) if_match: Option<Vec<String>>,
}

impl Target {
    fn check(&self, version: i64) -> Result<(), ScimError> {
        match &self.if_match {
            Some(tags) if !names(tags, version) => Err(ScimError::plain(
                StatusCode::PRECONDITION_FAILED,
                "the resource was changed meanwhile",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

fn names(tags: &[String], version: i64) -> bool {
    let own = etag(version);
    tags.iter().any(|tag| tag == "*" || tag == opaque(&own))
}

impl Call {
    /// One resource; `unless`: the states that the client has (`If-None-Match`).
    pub(super) async fn get(
        &self,
        target: &Target,
        unless: Option<&[String]>,
        query: &Query,
    ) -> Result<Reply, ScimError> {
        let (directory, idp) = (&self.usher.directory, &self.idp.id);
        let row = match target.kind {
            ResourceKind::User => directory.scim_user(idp, &target.id).await?.map(Row::User),
            ResourceKind::Group => {
                let key = GroupKey::Id(target.id.clone());
                let mut found = directory.scim_groups_by(idp, &key).await?;
                found.pop().map(Row::Group)
            }
        };
        let row = row.ok_or_else(ScimError::not_found)?;
        target.check(row.version())?;
        if unless.is_some_and(|tags| names(tags, row.version())) {
            let mut reply = Reply::empty(StatusCode::NOT_MODIFIED);
            reply.version = Some(etag(row.version()));
            return Ok(reply);
        }
        self.show(StatusCode::OK, row, &query.projection(target.kind))
            .await
    }

    /// A resource as the client wants to see it.
    async fn show(
        &self,
        status: StatusCode,
        row: Row,
        projection: &Projection,
    ) -> Result<Reply, ScimError> {
        let mut memberships = match projection.shows(related_name(row.kind())) {
            true => Some(related(self, std::slice::from_ref(&row)).await?),
            false => None,
        };
        let meta = row.meta(&self.base);
        let memberships = take(&mut memberships, row.id());
        let shown = projection.apply(render(row, memberships, &self.base));
        Ok(Reply::resource(status, shown, meta))
    }

    /// Makes a resource (POST).
    pub(super) async fn create(
        &self,
        kind: ResourceKind,
        sent: &Map<String, Value>,
        query: &Query,
    ) -> Result<Reply, ScimError> {
        let projection = query.projection(kind);
        let row = match kind {
            ResourceKind::User => {
                let mut document = resource::read(kind, sent)?;
                document
                    .entry("active")
                    .or_insert_with(|| Value::Bool(true));
                let data = self.user_data(document)?;
                let work = async |write: &mut Write| Ok(write.create_user(&data).await?);
                Row::User(self.write(Why::Deactivated, work).await?)
            }
            ResourceKind::Group => {
                let (data, members) = self.group(sent)?;
                let work = async |write: &mut Write| {
                    Ok(write.create_group(&data, members.clone()).await?)
                };
                Row::Group(self.write(Why::AccessLost, work).await?)
            }
        };
        self.show(StatusCode::CREATED, row, &projection).await
    }

    /// Replaces a resource (PUT).
    pub(super) async fn replace(
        &self,
        target: &Target,
        sent: &Map<String, Value>,
        query: &Query,
    ) -> Result<Reply, ScimError> {
        let row = match target.kind {
            ResourceKind::User => {
                let sent = resource::read(target.kind, sent)?;
                let work = async |write: &mut Write| {
                    let former = self.current_user(write, target).await?;
                    let mut document = sent.clone();
                    // What is not said of `active` must not let somebody in again.
                    if let (None, Some(active)) =
                        (document.get("active"), former.document.get("active"))
                    {
                        document.insert("active".to_owned(), active.clone());
                    }
                    let data = self.changed_user_data(&former, document)?;
                    Ok(write.update_user(&former, &data).await?)
                };
                Row::User(self.write(Why::Deactivated, work).await?)
            }
            ResourceKind::Group => {
                let (data, members) = self.group(sent)?;
                let work = async |write: &mut Write| {
                    let former = self.current_group(write, target).await?;
                    let members = vec![MemberChange::Set(members.clone())];
                    Ok(write.update_group(&former, &data, members).await?)
                };
                Row::Group(self.write(Why::AccessLost, work).await?)
            }
        };
        let projection = query.projection(target.kind);
        self.show(StatusCode::OK, row, &projection).await
    }

    /// Modifies a resource (PATCH). A group is shown only where the client says what of it: it may have many members.
    pub(super) async fn patch(
        &self,
        target: &Target,
        message: &Map<String, Value>,
        query: &Query,
    ) -> Result<Reply, ScimError> {
        let operations = patch::read(target.kind, message)?;
        let projection = query.projection(target.kind);
        match target.kind {
            ResourceKind::User => {
                let work = async |write: &mut Write| {
                    let former = self.current_user(write, target).await?;
                    let document = patched(&former.document, &operations, target.kind)?;
                    let data = self.changed_user_data(&former, document)?;
                    Ok(write.update_user(&former, &data).await?)
                };
                let row = self.write(Why::Deactivated, work).await?;
                self.show(StatusCode::OK, Row::User(row), &projection).await
            }
            ResourceKind::Group => {
                let work =
                    async |write: &mut Write| self.patch_group(write, target, &operations).await;
                let row = Row::Group(self.write(Why::AccessLost, work).await?);
                if projection.is_chosen() {
                    return self.show(StatusCode::OK, row, &projection).await;
                }
                let mut reply = Reply::empty(StatusCode::NO_CONTENT);
                reply.version = Some(etag(row.version()));
                Ok(reply)
            }
        }
    }

    async fn patch_group(
        &self,
        write: &mut Write,
        target: &Target,
        operations: &[Operation],
    ) -> Result<GroupRow, ScimError> {
        let former = self.current_group(write, target).await?;
        let (members, others): (Vec<_>, Vec<_>) = operations
            .iter()
            .cloned()
            .partition(|operation| operation.is_about("members"));
        let document = patched(&former.document, &others, target.kind)?;
        let data = group_data(document)?;
        let mut changes = Vec::new();
        for operation in &members {
            changes.push(self.member_change(write, &former.id, operation).await?);
        }
        Ok(write.update_group(&former, &data, changes).await?)
    }

    /// What an operation on `members` means.
    async fn member_change(
        &self,
        write: &mut Write,
        group: &str,
        operation: &Operation,
    ) -> Result<MemberChange, ScimError> {
        let PatchPath::Attribute { at, filter } = &operation.path else {
            return Err(ScimError::bad(ScimType::InvalidPath, "not a member"));
        };
        let named = || member_ids(&operation.value);
        let Some(filter) = filter else {
            return match (operation.op, operation.value.is_null()) {
                (Op::Add, _) => Ok(MemberChange::Add(named()?)),
                (Op::Replace, _) => Ok(MemberChange::Set(named()?)),
                (Op::Remove, true) => Ok(MemberChange::Set(Vec::new())),
                (Op::Remove, false) => Ok(MemberChange::Remove(named()?)),
            };
        };
        if at.sub.is_some() || operation.op != Op::Remove {
            return Err(ScimError::bad(
                ScimType::Mutability,
                "a member can be added or removed, not changed",
            ));
        }
        if let Some(ids) = filter.listed_values() {
            return Ok(MemberChange::Remove(ids));
        }
        let all = write.members(group).await?;
        let chosen = all.iter().filter(|one| {
            let shown = super::render::member_of(one, &self.base);
            shown.as_object().is_some_and(|parts| filter.matches(parts))
        });
        let ids = chosen.map(|one| one.member.clone()).collect();
        Ok(MemberChange::Remove(ids))
    }

    /// Deletes a resource.
    pub(super) async fn delete(&self, target: &Target) -> Result<Reply, ScimError> {
        match target.kind {
            ResourceKind::User => {
                let work = async |write: &mut Write| {
                    let former = self.current_user(write, target).await?;
                    Ok(write.delete_user(&former).await?)
                };
                self.write(Why::Deactivated, work).await?;
            }
            ResourceKind::Group => {
                let work = async |write: &mut Write| {
                    let former = self.current_group(write, target).await?;
                    Ok(write.delete_group(&former).await?)
                };
                self.write(Why::AccessLost, work).await?;
            }
        }
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    /// Runs `work` in one transaction, commits it, and lets it take effect.
    async fn write<T>(
        &self,
        why: Why,
        work: impl AsyncFnOnce(&mut Write) -> Result<T, ScimError>,
    ) -> Result<T, ScimError> {
        let (directory, idp) = (&self.usher.directory, &self.idp.id);
        let step = async {
            let mut write = directory.scim_write(idp, self.by.clone(), self.now).await?;
            let done = work(&mut write).await?;
            let touched: Vec<UserId> = write.commit().await?;
            Ok::<_, ScimError>((done, touched))
        };
        let (done, touched) = self.usher.store().within(step).await?;
        self.follow(touched, why).await?;
        Ok(done)
    }

    async fn current_user(&self, write: &mut Write, target: &Target) -> Result<UserRow, ScimError> {
        let row = write.user(&target.id).await?;
        let row = row.ok_or_else(ScimError::not_found)?;
        target.check(row.version)?;
        Ok(row)
    }

    async fn current_group(
        &self,
        write: &mut Write,
        target: &Target,
    ) -> Result<GroupRow, ScimError> {
        let row = write.group(&target.id).await?;
        let row = row.ok_or_else(ScimError::not_found)?;
        target.check(row.version)?;
        Ok(row)
    }

    fn user_data(&self, document: Map<String, Value>) -> Result<UserData, ScimError> {
        resource::check(ResourceKind::User, &document)?;
        resource::user_data(document, &self.idp)
    }

    /// As [`Call::user_data`]; `active` without a value leaves the person as they are.
    fn changed_user_data(
        &self,
        former: &UserRow,
        document: Map<String, Value>,
    ) -> Result<UserData, ScimError> {
        let said = document.contains_key("active");
        let mut data = self.user_data(document)?;
        if !said {
            data.active = former.active;
        }
        Ok(data)
    }

    fn group(&self, sent: &Map<String, Value>) -> Result<(GroupData, Vec<String>), ScimError> {
        let mut sent = sent.clone();
        let members = member(&sent, "members").map(member_ids).transpose()?;
        sent.retain(|name, _| !name.eq_ignore_ascii_case("members"));
        let document = resource::read(ResourceKind::Group, &sent)?;
        Ok((group_data(document)?, members.unwrap_or_default()))
    }
}

fn group_data(document: Map<String, Value>) -> Result<GroupData, ScimError> {
    resource::check(ResourceKind::Group, &document)?;
    Ok(GroupData {
        display_name: resource::group_name(&document)?,
        external_id: resource::text(&document, "externalId").map(str::to_owned),
        document,
    })
}

fn patched(
    document: &Map<String, Value>,
    operations: &[Operation],
    kind: ResourceKind,
) -> Result<Map<String, Value>, ScimError> {
    let mut document = document.clone();
    for operation in operations {
        patch::apply(&mut document, operation, kind)?;
    }
    Ok(document)
}

/// The ids in `members`: a list of objects with `value`, one of them, or plain ids.
fn member_ids(value: &Value) -> Result<Vec<String>, ScimError> {
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list.as_slice(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    if list.len() > MEMBERS {
        return Err(ScimError::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("one request names at most {MEMBERS} members"),
        ));
    }
    let id = |one: &Value| {
        let id = match one {
            Value::Object(parts) => member(parts, "value").and_then(Value::as_str),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => one.as_str(),
        };
        id.map(str::to_owned)
            .ok_or_else(|| ScimError::value("`members`: every member has a `value`"))
    };
    list.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_names_so_many_members_each_by_its_id() {
        let ids = |value: Value| member_ids(&value).map_err(|error| error.status.as_u16());
        let named = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(ids(json!([{ "value": "a" }, "b"])), Ok(named));
        assert_eq!(ids(Value::Null), Ok(Vec::new()));
        assert_eq!(ids(json!([{ "display": "a" }])), Err(400));
        assert_eq!(
            ids(json!(vec!["a"; MEMBERS])).map(|ids| ids.len()),
            Ok(MEMBERS)
        );
        assert_eq!(ids(json!(vec!["a"; MEMBERS + 1])), Err(413));
    }
}
