//! What a handler gets of a request, and how it reads the rest of it.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::admin::reload::Reloads;
use crate::audit::By;
use crate::usher::Usher;

/// One call of the API that was let in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What exists.
    pub(super) usher: Arc<Usher>,
    /// Who calls, for the log of what happened.
    pub(super) by: By,
    /// Now.
    pub(super) now: Timestamp,
    /// Since when usher runs.
    pub(super) started_at: Timestamp,
    /// Loads the config anew; none: there is no file.
    pub(super) reloads: Option<Reloads>,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Whoever forgot to let the caller in gets nothing done.
        let missing = || {
            ApiError::from(crate::refusal::Refusal::new(
                crate::refusal::Reason::Internal,
                "a call without its caller",
            ))
        };
        parts.extensions.get::<Self>().cloned().ok_or_else(missing)
    }
}

/// The variable parts of a path.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(read)| Self(read))
            .map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// The query; a parameter that the operation does not know is refused, so that a mistyped filter does not list everything.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(read)| Self(read))
            .map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// A body of `application/json`.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body(request, state, "application/json").await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| ApiError::bad_request(format!("the body does not fit: {error}")))
    }
}

/// A body of `text/csv`.
#[derive(Debug)]
pub(super) struct Csv(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Csv {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        body(request, state, "text/csv").await.map(Self)
    }
}

async fn body<S: Send + Sync>(
    request: Request,
    state: &S,
    wanted: &'static str,
) -> Result<Bytes, ApiError> {
    if media_type(request.headers()).as_deref() != Some(wanted) {
        let message = match wanted {
            "text/csv" => "the body must be text/csv",
            _ => "the body must be application/json",
        };
        return Err(ApiError::media_type(message));
    }
    Bytes::from_request(request, state)
        .await
        .map_err(|error| ApiError::bad_request(error.body_text()))
}

/// The media type of a body, in lower case and without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = kind.split(';').next().unwrap_or_default().trim();
    Some(essence.to_ascii_lowercase())
}
