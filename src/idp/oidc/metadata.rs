//! Discovery (OpenID Connect Discovery 1.0): lazy, exact, and the last good metadata outlives a failure.

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::algorithm::SignatureAlgorithm;
use super::{OidcError, OidcIdp, printable};
use crate::idp::cached::{Cached, Entry, FetchError};

/// A sign-in that begins needs an IdP that was seen alive so recently: else the browser would be sent to a dead one.
/// Not zero, so that a flood of anonymous requests is one fetch a second for the IdP.
const SEEN_ALIVE: Duration = Duration::from_secs(1);
/// For one fetch of metadata or keys.
pub(super) const FETCH_WITHIN: Duration = Duration::from_millis(2500);
/// For a fetch and for waiting on somebody else's.
const WAIT_WITHIN: Duration = Duration::from_millis(2800);
/// Bytes of the metadata.
const LIMIT: usize = 256 * 1024;
const FRESH_FOR: Duration = Duration::from_secs(3600);
const FRESH_FOR_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// What usher uses of the IdP's metadata, every URL checked.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) jwks_uri: Url,
    pub(super) userinfo_endpoint: Option<Url>,
    pub(super) end_session_endpoint: Option<Url>,
    /// Algorithms of ID tokens that the IdP names and usher accepts.
    pub(super) algorithms: Vec<SignatureAlgorithm>,
    /// Whether every authorization response carries `iss` (RFC 9207 section 3).
    pub(super) always_sends_iss: bool,
}

/// Metadata of RP-Initiated Logout and of RFC 9207.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Extra {
    end_session_endpoint: Option<Url>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for Extra {}

type Document = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

impl OidcIdp {
    /// For a sign-in that begins: asks again unless the IdP answered within the last second. An IdP that answers
    /// nonsense now is used by its last good metadata; one that does not answer is not.
    pub(super) async fn metadata_of_live_idp(&self) -> Result<Arc<Entry<Metadata>>, OidcError> {
        match self
            .fetch_metadata(|entry| entry.age() < SEEN_ALIVE && entry.is_fresh())
            .await
        {
            Ok(entry) => Ok(entry),
            Err(error @ FetchError::NoContact(_)) => Err(unavailable(&error)),
            Err(error @ (FetchError::Useless(_) | FetchError::NotNow)) => {
                self.last_good_metadata(&error)
            }
        }
    }

    /// For everything after the beginning: the last good metadata if there is no newer.
    pub(super) async fn metadata(&self) -> Result<Arc<Entry<Metadata>>, OidcError> {
        match self.fetch_metadata(Entry::is_fresh).await {
            Ok(entry) => Ok(entry),
            Err(error) => self.last_good_metadata(&error),
        }
    }

    fn last_good_metadata(&self, error: &FetchError) -> Result<Arc<Entry<Metadata>>, OidcError> {
        let last_good = self
            .metadata
            .last_good()
            .ok_or_else(|| unavailable(error))?;
        tracing::warn!(idp = %self.config.id, %error, "the last good metadata is used");
        Ok(last_good)
    }

    async fn fetch_metadata(
        &self,
        is_good_enough: impl Fn(&Entry<Metadata>) -> bool,
    ) -> Result<Arc<Entry<Metadata>>, FetchError> {
        let cached: &Cached<Metadata> = &self.metadata;
        let waiting = cached.get(is_good_enough, self.discover());
        match tokio::time::timeout(WAIT_WITHIN, waiting).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::NoContact(format!(
                "no metadata within {WAIT_WITHIN:?}"
            ))),
        }
    }

    async fn discover(&self) -> Result<(Metadata, Duration), FetchError> {
        let issuer = &self.oidc.issuer;
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.strip_suffix('/').unwrap_or(issuer)
        );
        let url = Url::parse(&url).map_err(|error| FetchError::Useless(error.to_string()))?;
        let answer = self.fetch_document("metadata", &url, LIMIT).await?;
        let metadata = Metadata::parse(&answer.body, issuer).map_err(FetchError::Useless)?;
        Ok((metadata, fresh_for(&answer.headers)))
    }
}

impl Metadata {
    /// Reads metadata of `issuer`, which must be named exactly (Discovery section 4.3).
    fn parse(body: &[u8], issuer: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(body).map_err(|error| {
            format!(
                "the metadata cannot be read: {}",
                printable(&error.to_string())
            )
        })?;
        let named = document.issuer().as_str();
        if named != issuer {
            return Err(format!(
                "the metadata is of issuer {:?}, the config says {issuer:?}",
                printable(named)
            ));
        }
        let checked = |name: &str, url: &Url| check_endpoint(name, url, issuer);
        let token_endpoint = document
            .token_endpoint()
            .ok_or("the metadata has no token_endpoint")?
            .url();
        let extra = document.additional_metadata();
        Ok(Self {
            authorization_endpoint: checked(
                "authorization_endpoint",
                document.authorization_endpoint().url(),
            )?,
            token_endpoint: checked("token_endpoint", token_endpoint)?,
            jwks_uri: checked("jwks_uri", document.jwks_uri().url())?,
            userinfo_endpoint: document
                .userinfo_endpoint()
                .map(|url| checked("userinfo_endpoint", url.url()))
                .transpose()?,
            end_session_endpoint: extra
                .end_session_endpoint
                .as_ref()
                .map(|url| checked("end_session_endpoint", url))
                .transpose()?,
            algorithms: document
                .id_token_signing_alg_values_supported()
                .iter()
                .filter_map(|algorithm| serde_json::to_value(algorithm).ok())
                .filter_map(|name| SignatureAlgorithm::from_name(name.as_str()?))
                .collect(),
            always_sends_iss: extra
                .authorization_response_iss_parameter_supported
                .unwrap_or(false),
        })
    }
}

/// https; or http on loopback, where the issuer is of that kind too.
fn check_endpoint(name: &str, url: &Url, issuer: &str) -> Result<Url, String> {
    let of_loopback = Url::parse(issuer).is_ok_and(|issuer| is_plain_loopback(&issuer));
    let safe = url.scheme() == "https" || (of_loopback && is_plain_loopback(url));
    if !safe || url.host().is_none() {
        return Err(format!("the {name} of the metadata is not https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!(
            "the {name} of the metadata has a user name or a fragment"
        ));
    }
    Ok(url.clone())
}

/// `http://` on `localhost`, 127.0.0.0/8 or `[::1]`.
pub(super) fn is_plain_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

/// An hour, or the `max-age` of the answer where that is longer; a day at most.
pub(super) fn fresh_for(headers: &http::HeaderMap) -> Duration {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|directive| directive.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.parse().ok())
        .map_or(FRESH_FOR, Duration::from_secs)
        .clamp(FRESH_FOR, FRESH_FOR_AT_MOST)
}

fn unavailable(error: &FetchError) -> OidcError {
    OidcError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://login.example";

    fn document(name: &str, value: Value) -> Vec<u8> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://login.example/authorize",
            "token_endpoint": "https://login.example/token",
            "jwks_uri": "https://login.example/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256", "XY1"],
        });
        document[name] = value;
        document.to_string().into_bytes()
    }

    #[test]
    fn only_asymmetric_algorithms_are_taken_over() {
        let metadata = Metadata::parse(&document("x", json!(1)), ISSUER).unwrap();
        assert_eq!(metadata.algorithms, [SignatureAlgorithm::RS256]);
        assert!(!metadata.always_sends_iss);
    }

    #[test]
    fn the_issuer_must_be_the_very_same() {
        for issuer in [
            "https://login.example/",
            "http://login.example",
            "https://LOGIN.example",
        ] {
            let error = Metadata::parse(&document("issuer", json!(issuer)), ISSUER).unwrap_err();
            assert!(error.contains(issuer) && error.contains(ISSUER), "{error}");
        }
        Metadata::parse(&document("issuer", Value::Null), ISSUER).unwrap_err();
    }

    #[test]
    fn endpoints_must_be_https() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
        ] {
            for url in [
                "http://login.example/x",
                "http://127.0.0.1/x",
                "javascript:alert(1)",
                "https://u:p@login.example/",
            ] {
                Metadata::parse(&document(name, json!(url)), ISSUER).unwrap_err();
            }
        }
    }

    #[test]
    fn a_loopback_issuer_may_have_plain_loopback_endpoints_only() {
        let loopback = Url::parse("http://127.0.0.1:9/x").unwrap();
        assert!(check_endpoint("x", &loopback, "http://localhost:9").is_ok());
        let elsewhere = Url::parse("http://10.0.0.1/x").unwrap();
        assert!(check_endpoint("x", &elsewhere, "http://localhost:9").is_err());
    }

    #[test]
    fn max_age_is_followed_within_bounds() {
        let headers = |text: &str| {
            [(CACHE_CONTROL, text.parse().unwrap())]
                .into_iter()
                .collect::<http::HeaderMap>()
        };
        assert_eq!(
            fresh_for(&headers("public, max-age=7200")),
            Duration::from_secs(7200)
        );
        assert_eq!(fresh_for(&headers("max-age=1")), FRESH_FOR);
        assert_eq!(fresh_for(&headers("max-age=99999999")), FRESH_FOR_AT_MOST);
    }
}
