//! Who may ask: the bearer of an IdP's own token, for that IdP's tenant alone.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use subtle::{Choice, ConstantTimeEq};

use super::error::ScimError;
use super::reply;
use crate::config::Idp;
use crate::identity::hash;
use crate::usher::Usher;

/// The tenant whose token was sent; whether an IdP exists cannot be told from the answer.
pub(super) fn tenant(usher: &Usher, id: &str, headers: &HeaderMap) -> Option<Arc<Idp>> {
    let presented = hash(bearer(headers)?);
    let idp = usher.config.idp(id)?;
    let tokens = &idp.scim.as_ref()?.tokens;
    // Hashes are of one length, and every token is compared.
    let mut same = Choice::from(0);
    for token in tokens {
        same |= presented.as_bytes().ct_eq(hash(token.expose()).as_bytes());
    }
    bool::from(same).then(|| Arc::clone(idp))
}

/// The one `Authorization: Bearer …` (RFC 6750 section 2.1); the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The same for everybody else.
pub(super) fn refusal() -> Response<String> {
    let mut response = reply::error(&ScimError::plain(
        StatusCode::UNAUTHORIZED,
        "the bearer token of this tenant is required",
    ));
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn exactly_one_bearer_field_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        for (field, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
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
}
