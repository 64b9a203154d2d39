//! Apps that know nothing of usher's callback are told by what they speak themselves. Every driver reads the stored event and comes to
//! the same verdicts as the callback.

mod rest;
mod scim;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use super::answer::{Verdict, retry_after};
use super::delivery::{AT_LEAST, BODY_LIMIT, ONE_TRY};
use crate::config::{RestTarget, ScimTarget};
use crate::directory::Event;
use crate::outbound::{Answer, Outbound, OutboundError};
use crate::trace::Call;

/// Everything but the unreserved characters of RFC 3986 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One try over a driver; it may take several requests.
pub(super) struct Wire<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) event: &'a Event,
    pub(super) now: Timestamp,
    /// When all of it is over.
    pub(super) deadline: Instant,
}

/// What the stored event tells.
#[derive(Deserialize)]
struct Told {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    user: User,
    account: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    email: Option<String>,
    name: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    username: Option<String>,
    groups: Vec<String>,
    roles: Vec<String>,
}

impl User {
    /// The username; else what stands before the `@`.
    fn username(&self) -> Option<&str> {
        let mail = self.email.as_deref();
        let local = mail.and_then(|mail| mail.split('@').next());
        self.username
            .as_deref()
            .or(local)
            .filter(|it| !it.is_empty())
    }

    /// The full name; else the username.
    fn name(&self) -> Option<&str> {
        self.name.as_deref().or_else(|| self.username())
    }
}

impl Wire<'_> {
    /// Tells an app by its SCIM endpoint.
    pub(super) async fn by_scim(&self, target: &ScimTarget) -> Verdict {
        match serde_json::from_str(&self.event.body) {
            Ok(Told { data }) => scim::tell(self, target, &data).await,
            Err(_) => wrong("the stored event cannot be read"),
        }
    }

    /// Tells an app by its API.
    pub(super) async fn by_rest(&self, target: &RestTarget) -> Verdict {
        match serde_json::from_str(&self.event.body) {
            Ok(Told { data }) => rest::tell(self, target, &data).await,
            Err(_) => wrong("the stored event cannot be read"),
        }
    }

    /// Sends one request. What is worth another try, or can never work, is a verdict already.
    async fn send(&self, mut request: Request<Bytes>) -> Result<Answer, Verdict> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left < AT_LEAST {
            return Err(again("no time was left for all of its requests", None));
        }
        request.extensions_mut().insert(Call::to_app("driver"));
        let answer = self
            .outbound
            .send(request, BODY_LIMIT, ONE_TRY.min(left))
            .await;
        match answer {
            Ok(answer) if is_temporary(answer.status) => {
                let after = retry_after(&answer.headers, self.now);
                Err(again(format!("the app answered {}", answer.status), after))
            }
            Ok(answer) => Ok(answer),
            Err(error @ (OutboundError::Connect(_) | OutboundError::Timeout(_))) => {
                Err(again(error.to_string(), None))
            }
            Err(error @ (OutboundError::TooLarge(_) | OutboundError::Invalid(_))) => {
                Err(wrong(error.to_string()))
            }
        }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

fn again(cause: impl Into<String>, after: Option<Duration>) -> Verdict {
    Verdict::Again {
        cause: cause.into(),
        after,
    }
}

fn wrong(cause: impl Into<String>) -> Verdict {
    Verdict::Wrong {
        cause: cause.into(),
    }
}

fn allowed(account: Option<String>) -> Verdict {
    Verdict::Allowed {
        account,
        roles: None,
    }
}

/// A value within a path or query. One that a URL would read as a step up is none.
fn encoded(value: &str) -> Option<String> {
    let encoded = utf8_percent_encode(value, ENCODED).to_string();
    (!matches!(encoded.as_str(), "" | "." | "..")).then_some(encoded)
}

/// A URL with a path after its own.
fn below(base: &url::Url, path: &str) -> String {
    format!("{}{path}", base.as_str().trim_end_matches('/'))
}
