//! What an app is told: the body of an event, and the fingerprint by which a change is seen.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::directory::Event;
use crate::identity::{AppId, Person, Role};
use crate::store::StoreError;

/// `type` of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first visit to the app.
    Created,
    /// Something changed since.
    Updated,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "user.created",
            Self::Updated => "user.updated",
        }
    }
}

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
        kind: Kind,
        app: &AppId,
        person: &Person,
        told_body: Option<&str>,
        now: Timestamp,
    ) -> Result<Event, StoreError> {
        let before = match kind {
            Kind::Created => None,
            Kind::Updated => told_body.and_then(Self::of_body),
        };
        let attributes = &person.attributes;
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
                    active: true,
                },
                identity: Identity {
                    idp: person.subject.idp.as_str(),
                    protocol: person.subject.protocol.as_str(),
                    issuer: &person.subject.issuer,
                    subject: &person.subject.value,
                },
                previous: match before {
                    Some(before) => self.changes_since(&before)?,
                    None => Map::new(),
                },
                account: person
                    .account(app)
                    .and_then(|account| account.id.as_deref()),
            },
        };
        Ok(Event {
            id: format!("evt_{}", uuid::Uuid::now_v7().simple()),
            user: person.user.clone(),
            app: app.clone(),
            body: serde_json::to_string(&body)?,
            told: self.fingerprint()?,
        })
    }
}
