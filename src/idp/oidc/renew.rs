//! Attributes as they are now, for a session that goes on: by refresh token (OIDC Core 12), or by userinfo.

use std::time::Duration;

use jiff::Timestamp;

use super::claims::Claims;
use super::id_token::Expected;
use super::metadata::Metadata;
use super::redeem::{TokenError, TokenResponse};
use super::{OidcError, OidcIdp, Renewed};
use crate::config::Userinfo;
use crate::identity::{Attributes, Subject};
use crate::secret::Secret;
use crate::session::Tokens;

/// For what follows a refresh: keys, userinfo and groups.
const AFTER_REFRESH: Duration = Duration::from_secs(4);

impl OidcIdp {
    pub(super) async fn renew_tokens(
        &self,
        tokens: &Tokens,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Renewed, OidcError> {
        if subject.issuer != self.oidc.issuer || subject.idp != self.config.id {
            return Err(OidcError::Invalid(format!(
                "the session is of issuer {:?}, the config says {:?}",
                subject.issuer, self.oidc.issuer
            )));
        }
        let entry = self.metadata().await?;
        let metadata = &entry.value;
        match (&tokens.refresh_token, &tokens.access_token) {
            (Some(refresh_token), _) => {
                let answer = self.refresh(metadata, refresh_token, now).await?;
                self.read_refreshed(metadata, answer, tokens, subject, now)
                    .await
            }
            (None, Some(access_token)) => {
                let attributes = self
                    .attributes_from_userinfo(metadata, tokens, access_token, subject)
                    .await?;
                Ok(Renewed {
                    attributes: Some(attributes),
                    tokens: tokens.clone(),
                })
            }
            (None, None) => Err(OidcError::Unavailable(
                "the session has no token to renew with".to_owned(),
            )),
        }
    }

    /// Only `invalid_grant` is the IdP's word on the person; `invalid_client` and the like are about usher.
    async fn refresh(
        &self,
        metadata: &Metadata,
        refresh_token: &Secret,
        now: Timestamp,
    ) -> Result<TokenResponse, OidcError> {
        let params = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose()),
        ];
        match self.ask_for_tokens(metadata, &params, now).await {
            Ok(answer) => Ok(answer),
            Err(TokenError::Refused(error)) if error == "invalid_grant" => Err(OidcError::Refused(
                "the token endpoint says invalid_grant".to_owned(),
            )),
            Err(TokenError::Refused(error)) => Err(OidcError::Unavailable(format!(
                "the token endpoint says {error}"
            ))),
            Err(TokenError::Failed(error)) => Err(error),
        }
    }

    /// From here on the former refresh token may be used up: an IdP that fails now must not cost the new one.
    async fn read_refreshed(
        &self,
        metadata: &Metadata,
        answer: TokenResponse,
        former: &Tokens,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Renewed, OidcError> {
        let asking = self.attributes_now(metadata, &answer, former, subject, now);
        let result = tokio::time::timeout(AFTER_REFRESH, asking).await;
        let attributes = match result {
            Ok(Ok(attributes)) => attributes,
            Ok(Err(OidcError::Unavailable(error))) => {
                tracing::warn!(idp = %self.config.id, error, "refreshed, but the attributes stay");
                None
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                tracing::warn!(idp = %self.config.id, "refreshed, but the attributes took too long");
                None
            }
        };
        Ok(Renewed {
            attributes,
            tokens: Tokens {
                id_token: answer.id_token.or_else(|| former.id_token.clone()),
                refresh_token: answer
                    .refresh_token
                    .or_else(|| former.refresh_token.clone()),
                access_token: Some(answer.access_token),
                name_id: None,
            },
        })
    }

    async fn attributes_now(
        &self,
        metadata: &Metadata,
        answer: &TokenResponse,
        former: &Tokens,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Option<Attributes>, OidcError> {
        let access_token = &answer.access_token;
        if let Some(id_token) = &answer.id_token {
            let expected = Expected {
                nonce: None,
                sub: Some(&subject.value),
                code: None,
                access_token: access_token.expose(),
            };
            let verified = self
                .verify_id_token(id_token.expose(), metadata, &expected, now)
                .await?;
            let userinfo = self
                .userinfo_where_needed(metadata, &verified, access_token)
                .await?;
            let mut sources = vec![&verified.claims];
            sources.extend(userinfo.as_ref());
            return self.attributes(&sources, access_token).await.map(Some);
        }
        let may_ask = match self.oidc.userinfo {
            Userinfo::Never => false,
            Userinfo::WhenNeeded | Userinfo::Always => metadata.userinfo_endpoint.is_some(),
        };
        if !may_ask {
            return Ok(None);
        }
        self.attributes_from_userinfo(metadata, former, access_token, subject)
            .await
            .map(Some)
    }

    /// What userinfo says now; what it does not speak of stays as the last ID token said it.
    async fn attributes_from_userinfo(
        &self,
        metadata: &Metadata,
        former: &Tokens,
        access_token: &Secret,
        subject: &Subject,
    ) -> Result<Attributes, OidcError> {
        let userinfo = self
            .userinfo(metadata, &subject.value, access_token)
            .await?;
        let last = former.id_token.as_ref().and_then(claims_of_kept);
        let mut sources = vec![&userinfo];
        sources.extend(last.as_ref());
        self.attributes(&sources, access_token).await
    }
}

/// The claims of an ID token that was verified when it came and has been kept sealed since.
fn claims_of_kept(id_token: &Secret) -> Option<Claims> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let payload = id_token.expose().split('.').nth(1)?;
    Claims::parse(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
