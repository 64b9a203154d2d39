//! The two calls of Microsoft Graph by which groups are asked for when a token cannot hold them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::params::Params;
use super::state::Shared;
use super::userinfo::{bearer, unauthorized};

/// `POST …/me/getMemberObjects` with `{"securityEnabledOnly":…}`: ids, all at once.
pub(super) async fn member_objects(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let Some(groups) = groups(&shared, &headers) else {
        return unauthorized();
    };
    let asked: Option<Value> = serde_json::from_slice(&body).ok();
    let asked = asked
        .as_ref()
        .and_then(|body| body.get("securityEnabledOnly")?.as_bool());
    if asked.is_none() {
        let error =
            json!({"error": {"code": "Request_BadRequest", "message": "securityEnabledOnly"}});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    Json(json!({"@odata.context": "…#Collection(Edm.String)", "value": groups})).into_response()
}

/// `GET …/me/transitiveMemberOf`: groups with their names, page by page (`@odata.nextLink`).
pub(super) async fn transitive_member_of(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(groups) = groups(&shared, &headers) else {
        return unauthorized();
    };
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let skip: usize = params
        .get("$skiptoken")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let page = shared.lock().settings.graph_page.max(1);
    let value: Vec<Value> = groups
        .iter()
        .skip(skip)
        .take(page)
        .map(|group| {
            json!({"@odata.type": "#microsoft.graph.group", "id": group, "displayName": group})
        })
        .collect();
    let mut answer = json!({ "value": value });
    if let (true, Value::Object(members)) = (skip + page < groups.len(), &mut answer) {
        let next = format!(
            "{}/graph/v1.0/me/transitiveMemberOf?$skiptoken={}",
            shared.issuer,
            skip + page
        );
        members.insert("@odata.nextLink".to_owned(), json!(next));
    }
    Json(answer).into_response()
}

fn groups(shared: &Shared, headers: &HeaderMap) -> Option<Vec<String>> {
    let inner = shared.lock();
    let grant = bearer(&inner, headers)?;
    Some(inner.user(&grant.session.username)?.groups.clone())
}
