//! What the server can do (RFC 7644 section 4).

use http::StatusCode;
use serde_json::{Value, json};

use super::error::ScimError;
use super::reply::Reply;
use super::{BODY_LIMIT, Call, bulk, list, schema};

/// `/ServiceProviderConfig` (RFC 7643 section 5).
pub(super) fn service_provider_config(call: &Call) -> Reply {
    Reply::document(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": bulk::OPERATIONS,
            "maxPayloadSize": BODY_LIMIT,
        },
        "filter": { "supported": true, "maxResults": list::MOST },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token that stands under `scim` of this identity provider.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/ServiceProviderConfig", call.base),
        },
    }))
}

/// `/Schemas`, `/Schemas/{urn}`.
///
/// # Errors
/// 404; 403 with a filter.
pub(super) fn schemas(call: &Call, id: Option<&str>) -> Result<Reply, ScimError> {
    one_or_all(call, schema::schemas(&call.base), id)
}

/// `/ResourceTypes`, `/ResourceTypes/{name}`.
///
/// # Errors
/// 404; 403 with a filter.
pub(super) fn resource_types(call: &Call, id: Option<&str>) -> Result<Reply, ScimError> {
    one_or_all(call, schema::resource_types(&call.base), id)
}

fn one_or_all(
    call: &Call,
    all: Vec<(String, Value)>,
    id: Option<&str>,
) -> Result<Reply, ScimError> {
    let query = call.parts.uri.query().unwrap_or_default();
    if url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "filter") {
        // RFC 7644 section 4: so that no client takes an incomplete answer for the whole.
        return Err(ScimError::plain(
            StatusCode::FORBIDDEN,
            "this endpoint has no filters",
        ));
    }
    let Some(id) = id else {
        let all: Vec<Value> = all.into_iter().map(|(_, shown)| shown).collect();
        return Ok(Reply::document(list::response(all.len() as u64, 1, all)));
    };
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
    all.into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&id))
        .map(|(_, shown)| Reply::document(shown))
        .ok_or_else(ScimError::not_found)
}
