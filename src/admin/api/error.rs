//! What the API says when it does not do what was asked.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::IntoResponse;
use http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::refusal::{Reason, Refusal};
use crate::store::StoreError;

/// A problem, as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// Stable code.
    error: &'a str,
    /// What is wrong, for people.
    message: &'a str,
    /// To find it in the log.
    request_id: &'a str,
}

/// A refusal of the API; the cause goes to the log alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    cause: Option<String>,
    challenge: Option<&'static str>,
}

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            cause: None,
            challenge: None,
        }
    }

    /// 400: what was sent makes no sense.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 409: it cannot be done as things are.
    pub(super) fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 415: the body is of another type than the one expected.
    pub(super) fn media_type(message: &'static str) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported_media_type", message)
    }

    /// The same, with a challenge (RFC 6750 3).
    pub(super) fn with_challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// What goes to the log.
    pub(super) fn cause(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.message)
    }

    /// The answer.
    pub(super) fn answer(&self, request_id: &str) -> Response<Body> {
        let problem = Problem {
            error: self.code,
            message: &self.message,
            request_id,
        };
        // Three texts always serialize.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Carried in the answer's extensions: only outside of the router is the request id known.
impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Refusal::new(Reason::StoreDown, error.to_string()).into()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal
            .user_message
            .clone()
            .map_or_else(|| Cow::Borrowed(refusal.sentence()), Cow::Owned);
        let mut error = Self::new(refusal.reason.status(), refusal.reason.code(), message);
        error.cause = Some(refusal.cause).filter(|cause| !cause.is_empty());
        error
    }
}
