//! What an app's answer to the callback means.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::config::{Callback, Provisioning};
use crate::identity::Role;
use crate::outbound::{Answer, OutboundError};

/// Characters of an account id.
const ACCOUNT_LEN: usize = 256;
/// The longest `Retry-After` that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Characters of `user_message` and `reason` that are kept.
const MESSAGE_LEN: usize = 500;

/// The meaning of one answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The app has the account.
    Allowed {
        /// Its id, where the answer says one.
        account: Option<String>,
        /// Roles, where they count and the answer says some; only those that the config lists.
        roles: Option<Vec<Role>>,
    },
    /// The app does not let the user in.
    Refused {
        /// For the page.
        message: Option<String>,
        /// For the log.
        reason: Option<String>,
    },
    /// Worth another try.
    Again {
        /// What happened.
        cause: String,
        /// What `Retry-After` says.
        after: Option<Duration>,
    },
    /// A final error.
    Wrong {
        /// What happened.
        cause: String,
    },
}

impl Verdict {
    /// The outcome in the metrics and in the log.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Allowed { .. } => "allowed",
            Self::Refused { .. } => "refused",
            Self::Again { .. } => "try_again",
            Self::Wrong { .. } => "failed",
        }
    }

    /// What the log says besides.
    pub(super) fn cause(&self) -> Option<&str> {
        match self {
            Self::Allowed { .. } => None,
            Self::Refused { reason, .. } => reason.as_deref(),
            Self::Again { cause, .. } | Self::Wrong { cause } => Some(cause),
        }
    }
}

/// Reads the outcome of one try.
pub(super) fn verdict(
    answer: Result<Answer, OutboundError>,
    provisioning: &Provisioning,
    callback: &Callback,
    now: Timestamp,
) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ (OutboundError::Connect(_) | OutboundError::Timeout(_))) => {
            return Verdict::Again {
                cause: error.to_string(),
                after: None,
            };
        }
        Err(error @ (OutboundError::TooLarge(_) | OutboundError::Invalid(_))) => {
            return wrong(error.to_string());
        }
    };
    let status = answer.status;
    match status {
        StatusCode::OK | StatusCode::CREATED => success(&answer.body, provisioning, callback),
        StatusCode::NO_CONTENT => nothing_said(),
        // It exists already. Only what is JSON can say more.
        StatusCode::CONFLICT if serde_json::from_slice::<Value>(&answer.body).is_err() => {
            nothing_said()
        }
        StatusCode::CONFLICT => success(&answer.body, provisioning, callback),
        StatusCode::FORBIDDEN => refused(&serde_json::from_slice(&answer.body).unwrap_or_default()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            again(status, &answer.headers, now)
        }
        _ if status.is_server_error() => again(status, &answer.headers, now),
        _ => wrong(format!("the callback answered {status}")),
    }
}

fn nothing_said() -> Verdict {
    Verdict::Allowed {
        account: None,
        roles: None,
    }
}

fn wrong(cause: impl Into<String>) -> Verdict {
    Verdict::Wrong {
        cause: cause.into(),
    }
}

fn again(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Verdict {
    Verdict::Again {
        cause: format!("the callback answered {status}"),
        after: retry_after(headers, now),
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(date.duration_since(now)).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

fn success(body: &[u8], provisioning: &Provisioning, callback: &Callback) -> Verdict {
    if body.trim_ascii().is_empty() {
        return nothing_said();
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return wrong("the callback's answer is not JSON");
    };
    let Some(fields) = body.as_object() else {
        return wrong("the callback's answer is not a JSON object");
    };
    match fields.get("allow") {
        None | Some(Value::Null | Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return refused(&body),
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            return wrong("`allow` in the callback's answer is neither true nor false");
        }
    }
    let account = match account(fields.get("account")) {
        Ok(account) => account,
        Err(cause) => return wrong(cause),
    };
    let roles = if callback.roles {
        match roles(fields.get("roles"), provisioning) {
            Ok(roles) => roles,
            Err(cause) => return wrong(cause),
        }
    } else {
        None
    };
    Verdict::Allowed { account, roles }
}

fn refused(body: &Value) -> Verdict {
    Verdict::Refused {
        message: sentence(body.get("user_message")),
        reason: sentence(body.get("reason")),
    }
}

/// Text for people or the log: without control characters, and not too long.
fn sentence(value: Option<&Value>) -> Option<String> {
    let text: String = value?
        .as_str()?
        .chars()
        .filter(|one| !one.is_control())
        .take(MESSAGE_LEN)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn account(value: Option<&Value>) -> Result<Option<String>, &'static str> {
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            return Err("`account` in the callback's answer is neither text nor a number");
        }
    };
    if text.chars().count() > ACCOUNT_LEN || text.chars().any(char::is_control) {
        return Err("`account` in the callback's answer is too long or has control characters");
    }
    Ok((!text.is_empty()).then_some(text))
}

fn roles(
    value: Option<&Value>,
    provisioning: &Provisioning,
) -> Result<Option<Vec<Role>>, &'static str> {
    const CAUSE: &str = "`roles` in the callback's answer is not a list of names";
    let listed = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(listed)) => listed,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(CAUSE);
        }
    };
    let mut given = Vec::new();
    for role in listed {
        given.push(role.as_str().ok_or(CAUSE)?);
    }
    Ok(Some(
        provisioning
            .roles
            .iter()
            .filter(|role| given.contains(&role.as_str()))
            .cloned()
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_out_of_bounds() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(read("5"), Some(5));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(read("Sat, 05 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(read("18446744073709551615"), Some(24 * 3600));
        for nonsense in ["-1", "soon", "99999999999999999999", "1.5"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
