//! Userinfo (OIDC Core 5.3): only as JSON over TLS, and only of the very subject of the ID token.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};

use super::claims::{Claims, Sources};
use super::id_token::{Verified, same};
use super::metadata::Metadata;
use super::{OidcError, OidcIdp, unreachable_idp};
use crate::config::Userinfo;
use crate::identity::Attributes;
use crate::secret::Secret;
use crate::trace::Call;

/// For one call.
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of what finds somebody in the IdP's directory.
const DIRECTORY_KEY: usize = 512;
/// Bytes of the answer.
const LIMIT: usize = 1024 * 1024;

impl OidcIdp {
    /// Userinfo as the config says: always, never, or where the token lacks an attribute.
    pub(super) async fn userinfo_where_needed(
        &self,
        metadata: &Metadata,
        verified: &Verified,
        access_token: &Secret,
    ) -> Result<Option<Claims>, OidcError> {
        match self.oidc.userinfo {
            Userinfo::Never => return Ok(None),
            Userinfo::Always => {}
            Userinfo::WhenNeeded => {
                let lacks = self.lacks_attributes(&verified.claims);
                if !lacks || metadata.userinfo_endpoint.is_none() {
                    return Ok(None);
                }
            }
        }
        self.userinfo(metadata, &verified.sub, access_token)
            .await
            .map(Some)
    }

    /// Given and family name are wanted only where there is no full name.
    fn lacks_attributes(&self, claims: &Claims) -> bool {
        let paths = &self.oidc.attributes;
        let has = |path: &str| claims.at(path).is_some();
        !(has(&paths.email)
            && has(&paths.name)
            && has(&paths.username)
            && self.match_attribute().is_none_or(has)
            && self.knows_groups(claims))
    }

    /// The claim that finds somebody in this IdP's SCIM, where one is configured.
    fn match_attribute(&self) -> Option<&str> {
        self.config.scim.as_ref()?.match_attribute.as_deref()
    }

    /// Userinfo of `sub`.
    ///
    /// # Errors
    /// [`OidcError::Refused`] where the access token is refused (401).
    pub(super) async fn userinfo(
        &self,
        metadata: &Metadata,
        sub: &str,
        access_token: &Secret,
    ) -> Result<Claims, OidcError> {
        let url = metadata.userinfo_endpoint.as_ref().ok_or_else(|| {
            OidcError::Invalid("the metadata has no userinfo_endpoint".to_owned())
        })?;
        let request = Request::get(url.as_str())
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer(access_token)?)
            .extension(Call::to_idp("userinfo"))
            .body(Bytes::new())
            .map_err(|error| OidcError::Internal(error.to_string()))?;
        let answer = self
            .outbound
            .send(request, LIMIT, WITHIN)
            .await
            .map_err(|error| unreachable_idp("userinfo endpoint", &error))?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(OidcError::Refused(
                    "userinfo refuses the access token".to_owned(),
                ));
            }
            status => {
                return Err(OidcError::Unavailable(format!("userinfo answers {status}")));
            }
        }
        check_media_type(&answer.headers)?;
        let claims = Claims::parse(&answer.body)
            .map_err(|error| OidcError::Unavailable(format!("userinfo is no JSON: {error}")))?;
        // OIDC Core 5.3.2: else it may be somebody else's.
        if !same(claims.required_text("sub")?, sub) {
            return Err(OidcError::Invalid(
                "userinfo has another sub than the ID token".to_owned(),
            ));
        }
        Ok(claims)
    }

    /// Attributes of the first source that has them, with groups looked up where the token only points to them.
    pub(super) async fn attributes(
        &self,
        sources: &[&Claims],
        access_token: &Secret,
    ) -> Result<Attributes, OidcError> {
        let sources = Sources(sources);
        let accept_as_text = self.oidc.allow_unverified_email;
        let mut attributes = sources.attributes(&self.oidc.attributes, accept_as_text)?;
        if self.has_too_many_groups(&sources)? {
            attributes.groups = self.look_up_groups(access_token).await?;
        }
        attributes.directory_key = match &self.config.scim {
            Some(scim) => sources
                .text(self.match_attribute().unwrap_or("sub"), DIRECTORY_KEY)?
                .map(|value| scim.compared(&value)),
            None => None,
        };
        Ok(attributes)
    }
}

pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, OidcError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| OidcError::Invalid("the access token fits no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Signed or encrypted userinfo (`application/jwt`) is something that a client registers for, and usher does not.
fn check_media_type(headers: &HeaderMap) -> Result<(), OidcError> {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    if media_type.eq_ignore_ascii_case("application/jwt") {
        return Err(OidcError::Invalid(
            "userinfo is a JWT: set userinfo_signed_response_alg of the client to none".to_owned(),
        ));
    }
    Err(OidcError::Unavailable(
        "userinfo is not application/json".to_owned(),
    ))
}
