//! Answers on the wire.

use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::error::ScimError;

/// A success.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
    /// The URI of the resource that was made or changed.
    pub(super) location: Option<String>,
    /// The entity-tag of the resource.
    pub(super) version: Option<String>,
}

impl Reply {
    /// 200 with a document.
    pub(super) fn document(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
            location: None,
            version: None,
        }
    }

    /// A resource, with what stands in its `meta` as header fields too.
    pub(super) fn resource(status: StatusCode, resource: Map<String, Value>, meta: Meta) -> Self {
        Self {
            status,
            body: Some(Value::Object(resource)),
            location: Some(meta.location),
            version: Some(meta.version),
        }
    }

    /// A status alone.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            body: None,
            location: None,
            version: None,
        }
    }

    pub(super) fn into_response(self) -> Response<String> {
        let body = self.body.map(|body| body.to_string()).unwrap_or_default();
        let mut response = json_response(self.status, body);
        let mut set = |name: HeaderName, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                response.headers_mut().insert(name, value);
            }
        };
        set(ETAG, self.version);
        if self.status == StatusCode::CREATED {
            set(LOCATION, self.location);
        }
        response
    }
}

/// Where a resource is, and which state of it was shown.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub(super) location: String,
    pub(super) version: String,
}

/// The body of a refusal (RFC 7644 section 3.12).
pub(super) fn error_body(error: &ScimError) -> Value {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": error.status.as_str(),
        "detail": error.detail,
    });
    if let Some(kind) = error.kind {
        body["scimType"] = kind.as_str().into();
    }
    body
}

/// A refusal.
pub(super) fn error(error: &ScimError) -> Response<String> {
    json_response(error.status, error_body(error).to_string())
}

fn json_response(status: StatusCode, body: String) -> Response<String> {
    let has_body = !body.is_empty();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if has_body {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/scim+json"),
        );
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
