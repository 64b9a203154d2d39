//! The path table (RFC 7644 section 3.2).

use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};

use super::change::Target;
use super::error::ScimError;
use super::json;
use super::list::Query;
use super::reply::Reply;
use super::schema::ResourceKind;
use super::{Call, bulk, discovery, list};

/// Answers a request of a client who is known.
pub(super) async fn route(call: &Call) -> Result<Reply, ScimError> {
    let method = match &call.parts.method {
        head if head == Method::HEAD => &Method::GET,
        other => other,
    };
    let path = call.path.strip_prefix('/').unwrap_or(&call.path);
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        (&Method::GET, ["ServiceProviderConfig"]) => Ok(discovery::service_provider_config(call)),
        (&Method::GET, ["Schemas"]) => discovery::schemas(call, None),
        (&Method::GET, ["Schemas", urn]) => discovery::schemas(call, Some(urn)),
        (&Method::GET, ["ResourceTypes"]) => discovery::resource_types(call, None),
        (&Method::GET, ["ResourceTypes", name]) => discovery::resource_types(call, Some(name)),
        (&Method::POST, ["Bulk"]) => bulk::run(call).await,
        (&Method::GET, [""]) => list::list(call, &ResourceKind::ALL, &query(call)?).await,
        (&Method::POST, [".search"]) => search(call, &ResourceKind::ALL).await,
        (_, ["Me", ..]) => Err(ScimError::plain(
            StatusCode::NOT_IMPLEMENTED,
            "a token is not a user here",
        )),
        (
            _,
            ["ServiceProviderConfig" | "Schemas" | "ResourceTypes" | "Bulk" | ".search" | ""]
            | ["Schemas" | "ResourceTypes", _],
        ) => Err(not_allowed()),
        (method, [endpoint, rest @ ..]) => {
            let kind = ResourceKind::of_endpoint(endpoint).ok_or_else(ScimError::not_found)?;
            resources(call, method, kind, rest).await
        }
        (_, []) => Err(ScimError::not_found()),
    }
}

fn not_allowed() -> ScimError {
    ScimError::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        "the path is known, the method is not for it",
    )
}

async fn resources(
    call: &Call,
    method: &Method,
    kind: ResourceKind,
    rest: &[&str],
) -> Result<Reply, ScimError> {
    let id = match (method, rest) {
        (&Method::GET, []) => return list::list(call, &[kind], &query(call)?).await,
        (&Method::POST, []) => {
            let sent = json::body(&call.parts.headers, &call.body)?;
            return call.create(kind, &sent, &query(call)?).await;
        }
        (&Method::POST, [".search"]) => return search(call, &[kind]).await,
        (_, [] | [".search"]) => return Err(not_allowed()),
        (_, [id]) if !id.is_empty() => *id,
        (_, _) => return Err(ScimError::not_found()),
    };
    let target = Target {
        kind,
        id: id.to_owned(),
        if_match: tags(&call.parts.headers, &IF_MATCH),
    };
    let query = query(call)?;
    match *method {
        Method::GET => {
            let unless = tags(&call.parts.headers, &IF_NONE_MATCH);
            call.get(&target, unless.as_deref(), &query).await
        }
        Method::PUT => {
            let sent = json::body(&call.parts.headers, &call.body)?;
            call.replace(&target, &sent, &query).await
        }
        Method::PATCH => {
            let sent = json::body(&call.parts.headers, &call.body)?;
            call.patch(&target, &sent, &query).await
        }
        Method::DELETE => call.delete(&target).await,
        _ => Err(not_allowed()),
    }
}

fn query(call: &Call) -> Result<Query, ScimError> {
    Query::of_url(call.parts.uri.query().unwrap_or_default())
}

async fn search(call: &Call, kinds: &[ResourceKind]) -> Result<Reply, ScimError> {
    let sent = json::body(&call.parts.headers, &call.body)?;
    list::list(call, kinds, &Query::of_message(&sent)?).await
}

/// The entity-tags of a precondition (RFC 9110 section 13.1), compared weakly; none: there is no such field.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    if !headers.contains_key(name) {
        return None;
    }
    let values = headers.get_all(name).iter();
    let tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| opaque(tag).to_owned());
    Some(tags.collect())
}

/// An entity-tag without its mark of weakness.
pub(super) fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}
