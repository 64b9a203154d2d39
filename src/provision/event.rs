//! What an app is told: the body of an event, and the fingerprint by which a change is seen.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::directory::{Event, EventKind};
use crate::identity::{AppId, Person, Role, UserId};
use crate::store::StoreError;

/// [`Account::told`](crate::identity::Account::told) of who was deactivated. No fingerprint is so short.
pub(super) const DEACTIVATED: &str = "deactivated";
/// The same of who was deleted.
pub(super) const DELETED: &str = "deleted";

/// The part of what is told whose change is told as `user.updated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    name: Option<String>,
    email: Option<String>,
    groups: Vec<String>,
    roles: Vec<Role>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    app: &'a AppId,
    user: User<'a>,
    identity: Identity<'a>,
    previous: Map<String, Value>,
    account: Option<&'a str>,
}

#[derive(Serialize)]
struct User<'a> {
    id: &'a str,
    email: Option<&'a str>,
    email_verified: Option<bool>,
    name: Option<&'a str>,
    given_name: Option<&'a str>,
    family_name: Option<&'a str>,
    username: Option<&'a str>,
    groups: &'a [String],
    roles: &'a [Role],
    active: bool,
}

#[derive(Serialize)]
struct Identity<'a> {
    idp: &'a str,
    protocol: &'static str,
    issuer: &'a str,
    subject: &'a str,
}

/// As much of a body as [`Told::of_body`] reads.
#[derive(Deserialize)]
struct PastBody {
    data: PastData,
}

#[derive(Deserialize)]
struct PastData {
    user: Told,
}

impl Told {
    /// What there is to tell now; `roles` are the mapped ones or the default.
    pub(super) fn new(person: &Person, roles: Vec<Role>) -> Self {
        Self {
            name: person.attributes.name.clone(),
            email: person.attributes.email.clone(),
            groups: person.attributes.groups.clone(),
            roles,
        }
    }

    /// What an earlier body told.
    fn of_body(body: &str) -> Option<Self> {
        let body: PastBody = serde_json::from_str(body).ok()?;
        Some(body.data.user)
    }

    /// Equal for what tells the same; the order of groups tells nothing.
    pub(super) fn fingerprint(&self) -> Result<String, StoreError> {
        let mut sorted = self.clone();
        sorted.groups.sort_unstable();
        let text = serde_json::to_vec(&sorted)?;
        Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, &text)))
    }

    /// The old values of what changed since `before`.
    fn changes_since(&self, before: &Self) -> Result<Map<String, Value>, StoreError> {
        let (Value::Object(now), Value::Object(past)) =
            (serde_json::to_value(self)?, serde_json::to_value(before)?)
        else {
            return Ok(Map::new());
        };
        Ok(past
            .into_iter()
            .filter(|(name, value)| now.get(name) != Some(value))
            .collect())
    }

    /// A new event. `told_body` is the body of the last event that the app answered.
    pub(super) fn event(
        &self,
        kind: EventKind,
        app: &AppId,
        person: &Person,
        told_body: Option<&str>,
        now: Timestamp,
    ) -> Result<Event, StoreError> {
        let attributes = &person.attributes;
        let known = person.account(app).filter(|_| kind != EventKind::Created);
        let body = Body {
            r#type: kind.as_str(),
            timestamp: now.to_string(),
            data: Data {
                app,
                user: User {
                    id: person.user.as_str(),
                    email: attributes.email.as_deref(),
                    email_verified: attributes.email_verified,
                    name: attributes.name.as_deref(),
                    given_name: attributes.given_name.as_deref(),
                    family_name: attributes.family_name.as_deref(),
                    username: attributes.username.as_deref(),
                    groups: &attributes.groups,
                    roles: &self.roles,
                    active: !kind.takes_away(),
                },
                identity: Identity {
                    idp: person.subject.idp.as_str(),
                    protocol: person.subject.protocol.as_str(),
                    issuer: &person.subject.issuer,
                    subject: &person.subject.value,
                },
                previous: self.previous(kind, told_body)?,
                account: known.and_then(|account| account.id.as_deref()),
            },
        };
        let told = match kind {
            EventKind::Deactivated => DEACTIVATED.to_owned(),
            EventKind::Deleted => DELETED.to_owned(),
            EventKind::Created | EventKind::Updated | EventKind::Reactivated => {
                self.fingerprint()?
            }
        };
        let body = serde_json::to_string(&body)?;
        Ok(new_event(kind, (&person.user, app), body, told, now))
    }

    /// The old values of what changes; of who goes or comes back, also that.
    fn previous(
        &self,
        kind: EventKind,
        told_body: Option<&str>,
    ) -> Result<Map<String, Value>, StoreError> {
        let active = match kind {
            EventKind::Created => return Ok(Map::new()),
            EventKind::Updated => None,
            EventKind::Deactivated | EventKind::Deleted => Some(true),
            EventKind::Reactivated => Some(false),
        };
        let mut previous = match told_body.and_then(Self::of_body) {
            Some(before) => self.changes_since(&before)?,
            None => Map::new(),
        };
        if let Some(active) = active {
            previous.insert("active".to_owned(), Value::Bool(active));
        }
        Ok(previous)
    }
}

/// Tells that somebody goes of whom no subject is left: by what the app was told last.
pub(super) fn farewell(
    kind: EventKind,
    (user, app): (&UserId, &AppId),
    told_body: &str,
    account: Option<&str>,
    now: Timestamp,
) -> Result<Event, StoreError> {
    let mut body: Value = serde_json::from_str(told_body)?;
    let roles = body.pointer_mut("/data/user/roles").map(Value::take);
    let mut previous = Map::from_iter([("active".to_owned(), Value::Bool(true))]);
    previous.extend(roles.map(|roles| ("roles".to_owned(), roles)));
    let set = |body: &mut Value, at: &str, value: Value| {
        if let Some(place) = body.pointer_mut(at) {
            *place = value;
        }
    };
    set(&mut body, "/type", kind.as_str().into());
    set(&mut body, "/timestamp", now.to_string().into());
    set(&mut body, "/data/user/roles", Value::Array(Vec::new()));
    set(&mut body, "/data/user/active", Value::Bool(false));
    set(&mut body, "/data/previous", Value::Object(previous));
    set(&mut body, "/data/account", account.into());
    let told = match kind {
        EventKind::Deleted => DELETED,
        EventKind::Created
        | EventKind::Updated
        | EventKind::Reactivated
        | EventKind::Deactivated => DEACTIVATED,
    };
    let body = serde_json::to_string(&body)?;
    Ok(new_event(kind, (user, app), body, told.to_owned(), now))
}

fn new_event(
    kind: EventKind,
    (user, app): (&UserId, &AppId),
    body: String,
    told: String,
    now: Timestamp,
) -> Event {
    Event {
        id: format!("evt_{}", uuid::Uuid::now_v7().simple()),
        user: user.clone(),
        app: app.clone(),
        kind,
        body,
        told,
        tries: 0,
        dead: false,
        begun_at: now,
        next_at: now,
    }
}
