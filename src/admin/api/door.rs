//! Who may ask the API: never a foreign page of a browser, and nobody without a token. Before any routing.

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::ApiAsked;
use super::error::ApiError;
use crate::config::AdminConfig;
use crate::directory::Scope;
use crate::refusal::{Reason, Refusal};
use crate::secret::Secret;
use crate::usher::Usher;

/// The name of `admin.token` in the log; no other token can have it.
pub const CONFIG_TOKEN: &str = "config";

/// Whoever holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name of the token.
    pub(super) token: String,
    /// What it may do.
    pub(super) scope: Scope,
}

impl Caller {
    /// As the log writes it.
    pub fn to_text(&self) -> String {
        format!("token:{}", self.token)
    }
}

/// Lets a request in by its head alone.
pub(super) async fn admit(
    usher: &Usher,
    parts: &Parts,
    asked: &ApiAsked<'_>,
) -> Result<Caller, ApiError> {
    let Some(admin) = &usher.config.admin else {
        return Err(ApiError::not_found("the API is switched off"));
    };
    refuse_foreign_pages(&parts.headers, admin)?;
    refuse_foreign_names(usher, asked.host)?;
    let caller = caller(usher, admin, &parts.headers, asked.now).await?;
    let looks_only = matches!(parts.method, Method::GET | Method::HEAD);
    match caller.scope {
        Scope::Write => Ok(caller),
        Scope::Read if looks_only => Ok(caller),
        Scope::Read => {
            let message = "this token may only read";
            let error = ApiError::new(StatusCode::FORBIDDEN, "insufficient_scope", message);
            let challenge = "Bearer realm=\"usher\", error=\"insufficient_scope\", scope=\"write\"";
            Err(error.with_challenge(challenge))
        }
    }
}

/// A page of another origin has no business here, whatever token it holds.
fn refuse_foreign_pages(headers: &HeaderMap, admin: &AdminConfig) -> Result<(), ApiError> {
    let own = admin.site.as_ref().map(|site| &*site.public_url.origin);
    let is_own = |origin: &http::HeaderValue| own.is_some_and(|own| origin == own);
    let from_here = headers.get_all(ORIGIN).iter().all(is_own)
        && headers
            .get_all("sec-fetch-site")
            .iter()
            .all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    if from_here {
        return Ok(());
    }
    let message = "a page of another origin may not use the API";
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "foreign_origin",
        message,
    ))
}

/// Against DNS rebinding: a name that somebody else can point here is refused. Addresses, names that the config has, and names
/// that are only of an inner network cannot be somebody else's.
fn refuse_foreign_names(usher: &Usher, host: &str) -> Result<(), ApiError> {
    const INNER: [&str; 4] = [".localhost", ".local", ".internal", ".svc"];
    let config = &usher.config;
    let is_admin = || {
        let admin = config.admin.as_ref()?;
        Some(admin.site.as_ref()?.public_url.host == host)
    };
    let is_address = host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    let is_inner = !host.contains('.') || INNER.iter().any(|end| host.ends_with(end));
    if is_address || is_inner || is_admin() == Some(true) || config.site(host).is_some() {
        return Ok(());
    }
    let cause = format!("`{host}` is no name of the admin listener");
    Err(Refusal::new(Reason::UnknownHost, cause).into())
}

/// The holder of the one bearer token in `Authorization` (RFC 6750 2.1); a token anywhere else counts for nothing.
async fn caller(
    usher: &Usher,
    admin: &AdminConfig,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Caller, ApiError> {
    let Some(given) = bearer(headers) else {
        let message = "send the token as `Authorization: Bearer …`";
        let error = ApiError::new(StatusCode::UNAUTHORIZED, "token_missing", message);
        return Err(error.with_challenge("Bearer realm=\"usher\""));
    };
    if admin.token.as_ref().is_some_and(|own| is_same(own, given)) {
        return Ok(Caller {
            token: CONFIG_TOKEN.to_owned(),
            scope: Scope::Write,
        });
    }
    if let Some(token) = usher.directory.api_token(given, now).await? {
        return Ok(Caller {
            token: token.name,
            scope: token.scope,
        });
    }
    let message = "the token is unknown, expired or revoked";
    let error = ApiError::new(StatusCode::UNAUTHORIZED, "invalid_token", message);
    Err(error.with_challenge("Bearer realm=\"usher\", error=\"invalid_token\""))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next()?.to_str().ok()?;
    if fields.next().is_some() {
        return None;
    }
    let (scheme, token) = field.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Compares digests, so that neither the bytes nor the length tell by time.
fn is_same(own: &Secret, given: &str) -> bool {
    let own = digest(&SHA256, own.expose().as_bytes());
    let given = digest(&SHA256, given.as_bytes());
    own.as_ref().ct_eq(given.as_ref()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;

    #[test]
    fn exactly_one_bearer_field_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        for (field, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("abc", None),
        ] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(field));
            assert_eq!(bearer(&headers), token, "{field}");
        }
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer abc"));
        assert_eq!(bearer(&headers), None);
    }

    #[test]
    fn tokens_are_compared_whole() {
        let own = Secret::new("0123456789abcdef0123456789abcdef");
        assert!(is_same(&own, "0123456789abcdef0123456789abcdef"));
        for other in [
            "",
            "0123456789abcdef0123456789abcde",
            "0123456789ABCDEF0123456789abcdef",
        ] {
            assert!(!is_same(&own, other), "{other}");
        }
    }
}
