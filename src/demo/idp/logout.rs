//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::authorize::{SESSION_COOKIE, cookie};
use super::login_page;
use super::params::Params;
use super::state::{self, Inner, Shared};

pub(super) async fn by_query(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    end(
        &shared,
        &headers,
        &Params::parse(query.unwrap_or_default().as_bytes()),
    )
}

pub(super) async fn by_form(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    end(&shared, &headers, &Params::parse(&body))
}

fn end(shared: &Shared, headers: &HeaderMap, params: &Params) -> Response {
    let mut inner = shared.lock();
    inner.recorded.end_session.push(state::pairs(params));
    let hint = params
        .get("id_token_hint")
        .map(|token| hinted(shared, &inner, token));
    let hint = match hint {
        Some(None) => return login_page::problem("The id_token_hint is none of ours."),
        Some(Some(hint)) => Some(hint),
        None => None,
    };
    let client_id = hint
        .as_ref()
        .map(|hint| hint.client_id.as_str())
        .or(params.get("client_id"));
    let Some(to) = params.get("post_logout_redirect_uri") else {
        end_session(&mut inner, headers, hint.as_ref());
        return login_page::signed_out();
    };
    // Without a hint or client_id nobody can say whether the URI is registered (section 3).
    let client = client_id.and_then(|id| inner.client(id));
    if !client.is_some_and(|client| client.post_logout_redirect_uris.allow(to)) {
        return login_page::problem("This post-logout redirect URI is not registered.");
    }
    end_session(&mut inner, headers, hint.as_ref());
    let Ok(mut url) = url::Url::parse(to) else {
        return login_page::problem("This post-logout redirect URI is no URL.");
    };
    if let Some(state) = params.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    (StatusCode::SEE_OTHER, [(LOCATION, url.as_str())]).into_response()
}

struct Hint {
    client_id: String,
    sid: String,
}

/// Reads the hint, expired or not (section 2 of the specification).
fn hinted(shared: &Shared, inner: &Inner, token: &str) -> Option<Hint> {
    if !inner.keys.signed(token) {
        return None;
    }
    let payload = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    if text("iss")? != shared.issuer {
        return None;
    }
    let client_id = text("aud")?;
    inner.client(&client_id)?;
    let sid = text("sid")?;
    Some(Hint { client_id, sid })
}

/// Ends the hint's session, else the browser's own.
fn end_session(inner: &mut Inner, headers: &HeaderMap, hint: Option<&Hint>) {
    match hint {
        Some(hint) => inner.sessions.retain(|_, session| session.sid != hint.sid),
        None => {
            if let Some(id) = cookie(headers, SESSION_COOKIE) {
                inner.sessions.remove(&id);
            }
        }
    }
}
