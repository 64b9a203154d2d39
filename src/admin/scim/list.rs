//! Lists and searches (RFC 7644 sections 3.4.2 and 3.4.3): filtered, sorted, in pages.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Call;
use super::error::{ScimError, ScimType};
use super::filter::{Filter, values};
use super::json::member;
use super::project::Projection;
use super::render::{Row, render, take};
use super::reply::Reply;
use super::schema::{Kind, Located, Place, ResourceKind, Returned, locate};
use crate::directory::scim::{GroupOrder, Membership, UserOrder};
use crate::identity::folded;

/// Resources in one answer at most.
pub(super) const MOST: u64 = 200;
/// Resources in one answer where the client does not say.
const USUAL: u64 = 100;
/// Rows that a scan reads at once.
const STEP: i64 = 500;
/// Rows that a scan looks at in all, for what no index finds or sorts: so many take less than a tenth of a second.
const LOOKED_AT: u32 = 4000;

/// What a client asks of a list, by URL or by message; and what of a resource is shown.
#[derive(Clone, Debug)]
pub(super) struct Query {
    filter: Option<String>,
    sort_by: Option<String>,
    descending: bool,
    /// From 1.
    start: u64,
    count: u64,
    only: Vec<String>,
    without: Vec<String>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            filter: None,
            sort_by: None,
            descending: false,
            start: 1,
            count: USUAL,
            only: Vec::new(),
            without: Vec::new(),
        }
    }
}

impl Query {
    /// Of the query of a URL; unknown parameters are left out.
    ///
    /// # Errors
    /// 400 for a number that is none, or a parameter that stands twice.
    pub(super) fn of_url(query: &str) -> Result<Self, ScimError> {
        let mut found = Map::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = match name.as_ref() {
                "attributes" | "excludedAttributes" => value.split(',').collect(),
                _ => Value::String(value.into_owned()),
            };
            if found.insert(name.into_owned(), value).is_some() {
                return Err(ScimError::value("a parameter stands twice"));
            }
        }
        Self::of_message(&found)
    }

    /// Of a `SearchRequest`.
    ///
    /// # Errors
    /// 400 for a member of another type.
    pub(super) fn of_message(message: &Map<String, Value>) -> Result<Self, ScimError> {
        let text = |name: &str| match member(message, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
            Some(_) => Err(ScimError::value(format!("`{name}` must be a text"))),
        };
        let list = |name: &str| -> Result<Vec<String>, ScimError> {
            let wrong = || ScimError::value(format!("`{name}` must be a list of names"));
            match member(message, name) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(names)) => names
                    .iter()
                    .map(|name| name.as_str().map(|name| name.trim().to_owned()))
                    .filter(|name| name.as_deref() != Some(""))
                    .map(|name| name.ok_or_else(wrong))
                    .collect(),
                Some(_) => Err(wrong()),
            }
        };
        let descending = match text("sortOrder")?.map(|order| order.to_ascii_lowercase()) {
            None => false,
            Some(order) if order == "ascending" => false,
            Some(order) if order == "descending" => true,
            Some(_) => return Err(ScimError::value("`sortOrder` is ascending or descending")),
        };
        Ok(Self {
            filter: text("filter")?,
            sort_by: text("sortBy")?,
            descending,
            start: number(message, "startIndex")?.map_or(1, |start| start.max(1)),
            count: number(message, "count")?.map_or(USUAL, |count| count.min(MOST)),
            only: list("attributes")?,
            without: list("excludedAttributes")?,
        })
    }

    /// What of a resource is shown.
    pub(super) fn projection(&self, kind: ResourceKind) -> Projection {
        Projection::new(kind, &self.only, &self.without)
    }
}

/// A number; a negative one is 0 (RFC 7644 table 6), one beyond all bounds the largest that there is.
fn number(message: &Map<String, Value>, name: &str) -> Result<Option<u64>, ScimError> {
    let text = match member(message, name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => String::new(),
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ScimError::value(format!("`{name}` must be a whole number")));
    }
    if text.starts_with('-') {
        return Ok(Some(0));
    }
    // Far beyond any list, and far from overflowing anything.
    const LARGEST: u64 = 1 << 40;
    Ok(Some(digits.parse().unwrap_or(LARGEST).min(LARGEST)))
}

/// A `ListResponse`.
pub(super) fn response(total: u64, start: u64, resources: Vec<Value>) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// A page of the resources of these kinds, one kind after the other.
pub(super) async fn list(
    call: &Call,
    kinds: &[ResourceKind],
    query: &Query,
) -> Result<Reply, ScimError> {
    let (mut total, mut shown) = (0, Vec::new());
    for kind in kinds {
        let search = Search::new(call, *kind, query)?;
        let left = query.count - shown.len() as u64;
        // Where the page begins within this kind.
        let skip = (query.start - 1).saturating_sub(total);
        let (found, rows) = search.page(skip, left).await?;
        total += found;
        shown.extend(search.shown(rows).await?);
    }
    Ok(Reply::document(response(total, query.start, shown)))
}

/// A search for resources of one kind.
struct Search<'a> {
    call: &'a Call,
    kind: ResourceKind,
    filter: Option<Filter>,
    sort_by: Option<Located>,
    descending: bool,
    projection: Projection,
}

impl<'a> Search<'a> {
    fn new(call: &'a Call, kind: ResourceKind, query: &Query) -> Result<Self, ScimError> {
        let filter = query.filter.as_deref();
        Ok(Self {
            call,
            kind,
            filter: filter.map(|text| Filter::read(kind, text)).transpose()?,
            sort_by: match &query.sort_by {
                Some(path) => sortable(kind, path)?,
                None => None,
            },
            descending: query.descending,
            projection: query.projection(kind),
        })
    }

    /// How many there are, and the rows from `skip` on.
    async fn page(&self, skip: u64, count: u64) -> Result<(u64, Vec<Row>), ScimError> {
        let directory = &self.call.usher.directory;
        let idp = &self.call.idp.id;
        let (Some(order), None) = (self.sql_order(), &self.filter) else {
            return self.searched(skip, count).await;
        };
        let (offset, limit) = (signed(skip), signed(count));
        Ok(match order {
            Order::User(order) => {
                let total = directory.scim_user_count(idp).await?;
                if skip >= total || count == 0 {
                    return Ok((total, Vec::new()));
                }
                let order = (order, self.descending);
                let rows = directory.scim_user_page(idp, order, offset, limit).await?;
                (total, rows.into_iter().map(Row::User).collect())
            }
            Order::Group(order) => {
                let total = directory.scim_group_count(idp).await?;
                if skip >= total || count == 0 {
                    return Ok((total, Vec::new()));
                }
                let order = (order, self.descending);
                let rows = directory.scim_group_page(idp, order, offset, limit).await?;
                (total, rows.into_iter().map(Row::Group).collect())
            }
        })
    }

    /// The order that the store knows, if it is one.
    fn sql_order(&self) -> Option<Order> {
        let by = match &self.sort_by {
            None => "id",
            Some(at) if at.extension.is_some() => return None,
            Some(at) => match (at.attribute.name, at.sub.map(|sub| sub.name)) {
                (name @ ("id" | "externalId" | "userName" | "displayName"), None) => name,
                ("meta", Some("created")) => "id",
                ("meta", Some("lastModified")) => "lastModified",
                (_, _) => return None,
            },
        };
        Some(match (self.kind, by) {
            (ResourceKind::User, "id") => Order::User(UserOrder::Id),
            (ResourceKind::User, "userName") => Order::User(UserOrder::UserName),
            (ResourceKind::User, "externalId") => Order::User(UserOrder::ExternalId),
            (ResourceKind::User, "lastModified") => Order::User(UserOrder::Changed),
            (ResourceKind::Group, "id") => Order::Group(GroupOrder::Id),
            (ResourceKind::Group, "displayName") => Order::Group(GroupOrder::DisplayName),
            (ResourceKind::Group, "externalId") => Order::Group(GroupOrder::ExternalId),
            (ResourceKind::Group, "lastModified") => Order::Group(GroupOrder::Changed),
            (_, _) => return None,
        })
    }

    /// By index or by scan, evaluated and sorted here.
    async fn searched(&self, skip: u64, count: u64) -> Result<(u64, Vec<Row>), ScimError> {
        let mut found: Vec<(Option<String>, String)> = Vec::new();
        match self.by_index().await? {
            Some(rows) => self.gather(rows, &mut found).await?,
            None => self.scan(&mut found).await?,
        }
        // One that changed meanwhile was met twice.
        found.sort_by(|one, other| one.1.cmp(&other.1));
        found.dedup_by(|one, other| one.1 == other.1);
        if self.sort_by.is_some() {
            // What has no value comes last, and first where the order is turned round (RFC 7644 section 3.4.2.3).
            found.sort_by(|one, other| {
                let absent = one.0.is_none().cmp(&other.0.is_none());
                absent.then_with(|| one.cmp(other))
            });
        }
        if self.descending {
            found.reverse();
        }
        let total = found.len() as u64;
        let from = usize::try_from(skip).unwrap_or(usize::MAX).min(found.len());
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let ids: Vec<String> = found.drain(from..).take(count).map(|(_, id)| id).collect();
        Ok((total, self.by_ids(&ids).await?))
    }

    /// Looks at all that changed since the time that the filter names, or at all that there are.
    async fn scan(&self, found: &mut Vec<(Option<String>, String)>) -> Result<(), ScimError> {
        let since = self.filter.as_ref().and_then(Filter::changed_since);
        let mut place = (since.map_or(i64::MIN, Timestamp::as_second), String::new());
        if self.has_more_than(LOOKED_AT, place.0).await? {
            return Err(ScimError::bad(
                ScimType::TooMany,
                format!(
                    "there are more than {LOOKED_AT} resources, and no index for that filter or order: name an id, externalId, \
                     userName, displayName, address, member or meta.lastModified"
                ),
            ));
        }
        loop {
            let rows = self.after((place.0, &place.1)).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            place = last.place();
            self.gather(rows, found).await?;
        }
    }

    async fn has_more_than(&self, count: u32, since: i64) -> Result<bool, ScimError> {
        let (directory, idp) = (&self.call.usher.directory, &self.call.idp.id);
        Ok(match self.kind {
            ResourceKind::User => directory.scim_has_more_users(idp, count, since).await?,
            ResourceKind::Group => directory.scim_has_more_groups(idp, count, since).await?,
        })
    }

    async fn by_index(&self) -> Result<Option<Vec<Row>>, ScimError> {
        let (directory, idp) = (&self.call.usher.directory, &self.call.idp.id);
        let Some(filter) = &self.filter else {
            return Ok(None);
        };
        Ok(match self.kind {
            ResourceKind::User => match filter.user_key() {
                Some(key) => {
                    let rows = directory.scim_users_by(idp, &key).await?;
                    Some(rows.into_iter().map(Row::User).collect())
                }
                None => None,
            },
            ResourceKind::Group => match filter.group_key() {
                Some(key) => {
                    let rows = directory.scim_groups_by(idp, &key).await?;
                    Some(rows.into_iter().map(Row::Group).collect())
                }
                None => None,
            },
        })
    }

    async fn after(&self, place: (i64, &str)) -> Result<Vec<Row>, ScimError> {
        let (directory, idp) = (&self.call.usher.directory, &self.call.idp.id);
        Ok(match self.kind {
            ResourceKind::User => {
                let rows = directory.scim_users_after(idp, place, STEP).await?;
                rows.into_iter().map(Row::User).collect()
            }
            ResourceKind::Group => {
                let rows = directory.scim_groups_after(idp, place, STEP).await?;
                rows.into_iter().map(Row::Group).collect()
            }
        })
    }

    /// These resources in that order; one that is gone meanwhile is left out.
    async fn by_ids(&self, ids: &[String]) -> Result<Vec<Row>, ScimError> {
        let (directory, idp) = (&self.call.usher.directory, &self.call.idp.id);
        let rows: Vec<Row> = match self.kind {
            ResourceKind::User => {
                let rows = directory.scim_users_with(idp, ids).await?;
                rows.into_iter().map(Row::User).collect()
            }
            ResourceKind::Group => {
                let rows = directory.scim_groups_with(idp, ids).await?;
                rows.into_iter().map(Row::Group).collect()
            }
        };
        let mut by_id: HashMap<String, Row> = rows
            .into_iter()
            .map(|row| (row.id().to_owned(), row))
            .collect();
        Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
    }

    /// Keeps of these rows what matches, by what it is sorted by.
    async fn gather(
        &self,
        rows: Vec<Row>,
        into: &mut Vec<(Option<String>, String)>,
    ) -> Result<(), ScimError> {
        let needed = self
            .filter
            .as_ref()
            .is_some_and(|f| f.names(related_name(self.kind)));
        let mut related = match needed {
            true => Some(related(self.call, &rows).await?),
            false => None,
        };
        for row in rows {
            let id = row.id().to_owned();
            let memberships = take(&mut related, &id);
            let resource = render(row, memberships, &self.call.base);
            if self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.matches(&resource))
            {
                let key = self.sort_by.as_ref().and_then(|at| sort_key(at, &resource));
                into.push((key, id));
            }
        }
        Ok(())
    }

    async fn shown(&self, rows: Vec<Row>) -> Result<Vec<Value>, ScimError> {
        let mut memberships = match self.projection.shows(related_name(self.kind)) {
            true => Some(related(self.call, &rows).await?),
            false => None,
        };
        let show = |row: Row| {
            let memberships = take(&mut memberships, row.id());
            let resource = render(row, memberships, &self.call.base);
            Value::Object(self.projection.apply(resource))
        };
        Ok(rows.into_iter().map(show).collect())
    }
}

enum Order {
    User(UserOrder),
    Group(GroupOrder),
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The attribute that shows who is in which group.
pub(super) fn related_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::User => "groups",
        ResourceKind::Group => "members",
    }
}

/// Who is in which group, for these rows of one kind.
pub(super) async fn related(
    call: &Call,
    rows: &[Row],
) -> Result<HashMap<String, Vec<Membership>>, ScimError> {
    let (directory, idp) = (&call.usher.directory, &call.idp.id);
    let ids: Vec<String> = rows.iter().map(|row| row.id().to_owned()).collect();
    Ok(match rows.first().map(Row::kind) {
        None => HashMap::new(),
        Some(ResourceKind::User) => directory.scim_groups_of(idp, &ids).await?,
        Some(ResourceKind::Group) => directory.scim_members_of(idp, &ids).await?,
    })
}

/// What a list may be sorted by; what resources of this kind do not have sorts nothing.
fn sortable(kind: ResourceKind, path: &str) -> Result<Option<Located>, ScimError> {
    let known = ResourceKind::ALL
        .into_iter()
        .any(|kind| locate(kind, path).is_some());
    match locate(kind, path) {
        Some(Place::Attribute(at)) if at.last().returned != Returned::Never => Ok(Some(at)),
        None if known => Ok(None),
        Some(_) | None => Err(ScimError::bad(
            ScimType::InvalidPath,
            "`sortBy` names no attribute to sort by",
        )),
    }
}

/// The primary or first value (RFC 7644 section 3.4.2.3).
fn sort_key(at: &Located, resource: &Map<String, Value>) -> Option<String> {
    let primary = || {
        let list = resource.get(at.attribute.name)?.as_array()?;
        let one = list.iter().find(|one| one["primary"] == true)?;
        let sub = at.sub.or_else(|| at.attribute.default_sub())?;
        one.get(sub.name)
    };
    let value = match at.attribute.multi && at.attribute.kind == Kind::Complex {
        true => primary().or_else(|| values(at, resource, true).into_iter().next()),
        false => values(at, resource, true).into_iter().next(),
    }?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let exact = at.sub.unwrap_or(at.attribute).case_exact;
    Some(if exact { text } else { folded(&text) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_is_of_two_hundred_at_most_and_of_one_reading() {
        let query = |text: &str| Query::of_url(text);
        assert_eq!(query("count=201").unwrap().count, MOST);
        assert_eq!(query("count=99999999999999999999").unwrap().count, MOST);
        assert_eq!(query("count=-1").unwrap().count, 0);
        assert_eq!(query("").unwrap().count, USUAL);
        for twice in ["count=1&count=2", "filter=id+pr&filter=id+pr"] {
            assert_eq!(query(twice).unwrap_err().status.as_u16(), 400, "{twice}");
        }
    }
}
