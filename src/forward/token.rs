//! The signed header: an ES256 JWT (RFC 7519) bound to one app and to at most five minutes.

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;

use crate::config::{App, PublicUrl};
use crate::identity::{Person, Role};
use crate::keys::SigningKeys;
use crate::refusal::{Reason, Refusal};
use crate::session::Session;

/// Longest life of a token.
const LIFE: SignedDuration = SignedDuration::from_mins(5);
/// Bytes of the `groups` claim as JSON; with more, the token would not fit into a header field of 8 KiB.
const MOST_GROUPS_BYTES: usize = 4096;

/// What the token says. `groups` is left out, and `groups_overage` true, where all of them would not fit: never a part of them.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups_overage: Option<bool>,
    roles: &'a [Role],
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    idp: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    auth_time: i64,
    sid: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

/// Who the token is about, and who signs it for which app.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub(super) session: &'a Session,
    pub(super) person: &'a Person,
    pub(super) roles: &'a [Role],
    pub(super) account: Option<&'a str>,
    pub(super) app: &'a App,
    pub(super) issuer: &'a PublicUrl,
}

/// When a token signed now ends: after five minutes, and never after its session.
pub(super) fn end(session: &Session, now: Timestamp) -> Timestamp {
    session.expires_at.min(now + LIFE)
}

/// Signs the statement.
///
/// # Errors
/// `Internal` if the key cannot sign.
pub(super) fn sign(
    statement: &Statement<'_>,
    keys: &SigningKeys,
    now: Timestamp,
) -> Result<String, Refusal> {
    let attributes = &statement.person.attributes;
    let groups_fit = json_length(&attributes.groups) <= MOST_GROUPS_BYTES;
    let claims = Claims {
        iss: &statement.issuer.origin,
        aud: statement.app.id.as_str(),
        sub: statement.person.user.as_str(),
        email: attributes.email.as_deref(),
        email_verified: attributes.email_verified,
        name: attributes
            .name
            .as_deref()
            .filter(|name| name.len() <= super::identity::MOST_BYTES),
        groups: groups_fit.then_some(attributes.groups.as_slice()),
        groups_overage: (!groups_fit).then_some(true),
        roles: statement.roles,
        account: statement.account,
        idp: statement.person.subject.idp.as_str(),
        acr: statement.session.acr.as_deref(),
        auth_time: statement.session.authenticated_at.as_second(),
        sid: &statement.session.sid,
        jti: uuid::Uuid::now_v7().simple().to_string(),
        iat: now.as_second(),
        exp: end(statement.session, now).as_second(),
    };
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(keys.current.kid.clone());
    jsonwebtoken::encode(&header, &claims, &keys.current.encoding)
        .map_err(|error| Refusal::new(Reason::Internal, format!("cannot sign a token: {error}")))
}

/// Length of the list as JSON, but for the few characters that it escapes.
fn json_length(values: &[String]) -> usize {
    values.iter().map(|value| value.len() + 3).sum()
}
