//! SCIM 2.0 as a client (RFC 7644 3): the app's resource id is the account.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::super::answer::Verdict;
use super::{Data, User, Wire, allowed, below, encoded, wrong};
use crate::config::ScimTarget;
use crate::directory::EventKind;
use crate::outbound::Answer;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const MEDIA_TYPE: &str = "application/scim+json";

/// An app's endpoint, and whom it is told of.
struct Client<'a> {
    wire: &'a Wire<'a>,
    target: &'a ScimTarget,
    user: &'a User,
    name: &'a str,
}

pub(super) async fn tell(wire: &Wire<'_>, target: &ScimTarget, data: &Data) -> Verdict {
    let user = &data.user;
    let Some(name) = user.username.as_deref().or(user.email.as_deref()) else {
        return wrong("the user has neither a username nor an e-mail address");
    };
    let client = Client {
        wire,
        target,
        user,
        name,
    };
    let told = match wire.event.kind {
        EventKind::Created => client.create().await,
        EventKind::Updated | EventKind::Reactivated => {
            match client.known(data.account.as_deref()).await {
                Ok(Some(id)) => client.update(id).await,
                Ok(None) => client.create().await,
                Err(verdict) => Err(verdict),
            }
        }
        EventKind::Deactivated | EventKind::Deleted => {
            match client.known(data.account.as_deref()).await {
                Ok(Some(id)) => client.take_away(id).await,
                Ok(None) => Ok(None),
                Err(verdict) => Err(verdict),
            }
        }
    };
    told.map_or_else(|verdict| verdict, allowed)
}

impl Client<'_> {
    /// The id that is known, or that of whoever has the name.
    async fn known(&self, account: Option<&str>) -> Result<Option<String>, Verdict> {
        match account {
            Some(id) => Ok(Some(id.to_owned())),
            None => self.find().await,
        }
    }

    /// Creates the user; one who exists is found and brought up to date (RFC 7644 3.3).
    async fn create(&self) -> Result<Option<String>, Verdict> {
        let answer = self
            .send(Method::POST, "/Users", Some(self.resource(true)))
            .await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => match id_in(&body(&answer)?) {
                Some(id) => Ok(Some(id)),
                None => Err(wrong("the app's SCIM answer has no id")),
            },
            StatusCode::CONFLICT => {
                let Some(id) = self.find().await? else {
                    return Err(wrong(
                        "the app says that the user exists, and does not find them",
                    ));
                };
                match self.put(&id, true).await? {
                    true => Ok(Some(id)),
                    false => Err(wrong("the app lost the user that it had just found")),
                }
            }
            status => Err(unexpected(status)),
        }
    }

    /// Brings the user up to date; one who is gone there is created anew.
    async fn update(&self, id: String) -> Result<Option<String>, Verdict> {
        match self.put(&id, true).await? {
            true => Ok(Some(id)),
            false => self.create().await,
        }
    }

    /// Switches the user off, or deletes them. Who is gone there already is gone.
    async fn take_away(&self, id: String) -> Result<Option<String>, Verdict> {
        let path = path_of(&id)?;
        let answer = match self.wire.event.kind {
            EventKind::Deleted => self.send(Method::DELETE, &path, None).await?,
            EventKind::Created
            | EventKind::Updated
            | EventKind::Reactivated
            | EventKind::Deactivated => {
                let off = json!({
                    "schemas": [PATCH],
                    "Operations": [{ "op": "replace", "path": "active", "value": false }],
                });
                self.send(Method::PATCH, &path, Some(off)).await?
            }
        };
        match answer.status {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(Some(id)),
            // PATCH is optional (RFC 7644 3.5.2).
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                self.put(&id, false).await?;
                Ok(Some(id))
            }
            status => Err(unexpected(status)),
        }
    }

    /// Replaces the user; false where they are not there.
    async fn put(&self, id: &str, active: bool) -> Result<bool, Verdict> {
        let resource = self.resource(active);
        let answer = self
            .send(Method::PUT, &path_of(id)?, Some(resource))
            .await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(unexpected(status)),
        }
    }

    /// Who has the name there. An answer is believed only where it is about that name, and about nobody else of ours.
    async fn find(&self) -> Result<Option<String>, Verdict> {
        // A JSON string is what a filter takes (RFC 7644 3.4.2.2).
        let filter = format!("userName eq {}", Value::from(self.name));
        let filter = encoded(&filter).unwrap_or_default();
        let path = format!("/Users?filter={filter}");
        let answer = self.send(Method::GET, &path, None).await?;
        if !answer.status.is_success() {
            return Err(unexpected(answer.status));
        }
        let body = body(&answer)?;
        let found = body.get("Resources").and_then(Value::as_array);
        let is_it = |one: &&Value| {
            let name = one.get("userName").and_then(Value::as_str);
            name.is_some_and(|name| name.to_lowercase() == self.name.to_lowercase())
        };
        let Some(found) = found.into_iter().flatten().find(is_it) else {
            return Ok(None);
        };
        let theirs = found.get("externalId").and_then(Value::as_str);
        if theirs.is_some_and(|other| other.starts_with("usr_") && other != self.user.id) {
            return Err(wrong("the app has that username for another user of usher"));
        }
        Ok(id_in(found))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Verdict> {
        let mut request = Request::builder()
            .method(method)
            .uri(below(&self.target.url, path))
            .header(ACCEPT, MEDIA_TYPE)
            .header(
                AUTHORIZATION,
                format!("Bearer {}", self.target.token.expose()),
            );
        if body.is_some() {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE);
        }
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request
            .body(Bytes::from(text))
            .map_err(|error| wrong(error.to_string()))?;
        self.wire.send(request).await
    }

    /// The user as a resource (RFC 7643 4.1).
    fn resource(&self, active: bool) -> Value {
        let user = self.user;
        let roles: Vec<_> = user
            .roles
            .iter()
            .map(|role| json!({ "value": role }))
            .collect();
        let mut resource = json!({
            "schemas": [USER],
            "externalId": user.id,
            "userName": self.name,
            "active": active,
            "roles": roles,
        });
        let Some(fields) = resource.as_object_mut() else {
            return resource;
        };
        if let Some(name) = user.name() {
            fields.insert("displayName".to_owned(), name.into());
        }
        let parts = [
            ("formatted", &user.name),
            ("givenName", &user.given_name),
            ("familyName", &user.family_name),
        ];
        let parts = parts
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.as_deref()?.into())));
        let name: serde_json::Map<String, Value> = parts.collect();
        if !name.is_empty() {
            fields.insert("name".to_owned(), Value::Object(name));
        }
        if let Some(email) = &user.email {
            let email = json!([{ "value": email, "type": "work", "primary": true }]);
            fields.insert("emails".to_owned(), email);
        }
        resource
    }
}

fn path_of(id: &str) -> Result<String, Verdict> {
    match encoded(id) {
        Some(id) => Ok(format!("/Users/{id}")),
        None => Err(wrong("the app gave an id that cannot stand in a URL")),
    }
}

fn id_in(resource: &Value) -> Option<String> {
    let id = resource.get("id").and_then(Value::as_str)?;
    (!id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control)).then(|| id.to_owned())
}

fn body(answer: &Answer) -> Result<Value, Verdict> {
    serde_json::from_slice(&answer.body).map_err(|_| wrong("the app's SCIM answer is not JSON"))
}

fn unexpected(status: StatusCode) -> Verdict {
    wrong(format!("the app's SCIM endpoint answered {status}"))
}
