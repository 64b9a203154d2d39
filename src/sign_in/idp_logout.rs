//! An OIDC IdP signs somebody out: by a call of its own (Back-Channel Logout 1.0), or through the browser (Front-Channel Logout 1.0).

use jiff::{SignedDuration, Timestamp};

use super::pending::VALID_FOR;
use super::{SignIn, oidc_refusal, store_refusal};
use crate::audit::{Actor, By};
use crate::claims;
use crate::identity::IdpId;
use crate::idp::Idp;
use crate::idp::oidc::{OidcError, OidcIdp};
use crate::refusal::{Reason, Refusal};
use crate::revoke;
use crate::session::{OfSubject, Which};

/// What is claimed of a session that its IdP ended.
const ENDED: &str = "idp session";

impl SignIn {
    /// Takes a logout token, also of an IdP that is switched off: access ends in any case.
    ///
    /// # Errors
    /// `UnknownIdp`; `BadRequest` for a token that fails a check or was used before; `IdpDown` without keys to verify it;
    /// `StoreDown` where the end of the sessions could not be written.
    pub async fn backchannel_logout(
        &self,
        idp: &str,
        token: &str,
        by: &By,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let oidc = self.oidc_idp(idp)?;
        let id = &oidc.config().id;
        let token = oidc
            .verify_logout_token(token, now)
            .await
            .map_err(|error| match error {
                OidcError::Invalid(cause) => Refusal::new(Reason::BadRequest, cause),
                OidcError::Unavailable(_) | OidcError::Refused(_) | OidcError::Internal(_) => {
                    oidc_refusal(&error)
                }
            })?;
        let is_new = self
            .claims
            .claim(
                "logout",
                &claims::id_of(id, token.jti()),
                token.valid_until(),
            )
            .await
            .map_err(|error| store_refusal(&error))?;
        if !is_new {
            let cause = "the logout token was used before";
            return Err(Refusal::new(Reason::BadRequest, cause));
        }
        let of = OfSubject {
            idp: id,
            sub: token.sub(),
            idp_session: token.sid(),
        };
        self.ended_there(of, by, now).await
    }

    /// Takes a front-channel call. It is not signed; what it names is a session that only the IdP and usher know of.
    ///
    /// # Errors
    /// `UnknownIdp`; `BadRequest` if `iss` is not the IdP; `StoreDown`.
    pub async fn frontchannel_logout(
        &self,
        idp: &str,
        iss: &str,
        sid: &str,
        by: &By,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let oidc = self.oidc_idp(idp)?;
        if !oidc.is_issuer(iss) {
            let cause = "iss is not the identity provider of this address";
            return Err(Refusal::new(Reason::BadRequest, cause));
        }
        let of = OfSubject {
            idp: &oidc.config().id,
            sub: None,
            idp_session: Some(sid),
        };
        self.ended_there(of, by, now).await
    }

    /// First the mark, then the end: a sign-in that is finishing meanwhile sees the one or is hit by the other.
    async fn ended_there(&self, of: OfSubject<'_>, by: &By, now: Timestamp) -> Result<(), Refusal> {
        if let Some(sid) = of.idp_session {
            let until = now + SignedDuration::from_secs(VALID_FOR);
            self.claims
                .claim(ENDED, &claims::id_of(of.idp, sid), until)
                .await
                .map_err(|error| store_refusal(&error))?;
        }
        let by = by.as_actor(Actor::Idp(of.idp.clone()));
        self.revoke(Which::Subject(of), revoke::Why::IdpEnded, &by, now)
            .await?;
        Ok(())
    }

    /// Whether the IdP ended the session that somebody is just signing in with.
    pub(super) async fn was_ended_there(&self, idp: &IdpId, sid: &str) -> Result<bool, Refusal> {
        self.claims
            .is_claimed(ENDED, &claims::id_of(idp, sid))
            .await
            .map_err(|error| store_refusal(&error))
    }

    fn oidc_idp(&self, id: &str) -> Result<&OidcIdp, Refusal> {
        match self.idps.get(&IdpId::new(id)) {
            Some(Idp::Oidc(idp)) => Ok(idp),
            Some(Idp::Saml(_)) | None => Err(Refusal::new(
                Reason::UnknownIdp,
                "no OIDC identity provider has that id",
            )),
        }
    }
}
