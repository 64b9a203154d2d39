//! The userinfo endpoint (OIDC Core section 5.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::IdpError;
use super::faults::{Fault, UserinfoFault};
use super::mint::{Surroundings, mint};
use super::state::{self, Grant, Inner, Shared};

pub(super) async fn claims(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, IdpError> {
    let mut inner = shared.lock();
    let Some(grant) = bearer(&inner, &headers).cloned() else {
        return Ok(unauthorized());
    };
    let user = inner
        .user(&grant.session.username)
        .filter(|user| user.enabled);
    let Some(user) = user else {
        return Ok(unauthorized());
    };
    let mut claims = state::claims_of(user, &grant.scope);
    claims.insert("sub".to_owned(), json!(user.sub));
    let faults = inner.faults.take(|fault| {
        let Fault::Userinfo(fault) = fault else {
            return None;
        };
        Some(fault.clone())
    });
    let mut as_jwt = false;
    for fault in faults {
        match fault {
            UserinfoFault::Claim(name, value) => {
                claims.insert(name, value);
            }
            UserinfoFault::Remove(name) => {
                claims.remove(&name);
            }
            UserinfoFault::Jwt => as_jwt = true,
        }
    }
    if !as_jwt {
        return Ok(Json(Value::Object(claims)).into_response());
    }
    claims.insert("iss".to_owned(), json!(shared.issuer));
    claims.insert("aud".to_owned(), json!(grant.client_id));
    let around = Surroundings {
        key: inner.keys.current(inner.settings.algorithm)?,
        jwks: "",
        client_secret: "",
        now: inner.now(),
    };
    let token = mint(claims, Vec::new(), &around)?;
    Ok(([(CONTENT_TYPE, "application/jwt")], token).into_response())
}

/// What the bearer token of a request stands for, while it lives.
pub(super) fn bearer<'a>(inner: &'a Inner, headers: &HeaderMap) -> Option<&'a Grant> {
    let line = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let grant = inner.access_tokens.get(line.strip_prefix("Bearer ")?)?;
    (grant.expires_at >= inner.now()).then_some(grant)
}

pub(super) fn unauthorized() -> Response {
    let challenge = [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
    (
        StatusCode::UNAUTHORIZED,
        challenge,
        Json(json!({"error": "invalid_token"})),
    )
        .into_response()
}
