//! Logout from the IdP: every check of a logout token (OIDC Back-Channel Logout 1.0, 2.6), and whom a front-channel call is about.

use jiff::Timestamp;
use serde_json::Value;

use super::claims::wrong_type;
use super::id_token::{Rules, SKEW, SUB, subject};
use super::signed_jwt::{Kind, Signed};
use super::{OidcError, OidcIdp};

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long ago a logout token may have been issued, in seconds: it is sent at once.
const ISSUED_WITHIN: i64 = 300;

/// A logout token whose every check passed: at least one of `sub` and `sid` is there.
#[derive(Debug)]
pub struct VerifiedLogoutToken {
    sub: Option<String>,
    sid: Option<String>,
    jti: String,
    valid_until: Timestamp,
}

impl VerifiedLogoutToken {
    /// Whose sessions end.
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }

    /// Which session of the IdP ends; none: all of `sub`.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// `jti`: claimed once.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Until when `jti` must be remembered.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}

impl OidcIdp {
    /// Verifies a logout token.
    ///
    /// # Errors
    /// [`OidcError::Invalid`] names the check that failed; [`OidcError::Unavailable`] if there are no keys to verify with.
    pub async fn verify_logout_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<VerifiedLogoutToken, OidcError> {
        super::within(self.check_logout_token(token, now)).await
    }

    /// Whether `iss` of a front-channel call is this IdP (OIDC Front-Channel Logout 1.0, 3).
    pub fn is_issuer(&self, iss: &str) -> bool {
        self.oidc.issuer == iss
    }

    /// The issuer of its subjects.
    pub fn issuer(&self) -> &str {
        &self.oidc.issuer
    }

    async fn check_logout_token(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<VerifiedLogoutToken, OidcError> {
        let entry = self.metadata().await?;
        let Signed { claims, algorithm } = self
            .verify_signature(token, Kind::LogoutToken, &entry.value)
            .await?;
        let rules = Rules {
            issuer: &self.oidc.issuer,
            client_id: &self.oidc.client_id,
            algorithm,
            now: now.as_second(),
        };
        rules.check_issuer(&claims)?;
        rules.check_audience(&claims)?;
        let required = |name: &str| {
            let seconds = claims.seconds(name)?;
            seconds.ok_or_else(|| OidcError::Invalid(format!("{name} is missing")))
        };
        let (iat, exp) = (required("iat")?, required("exp")?);
        if rules.now - exp > SKEW || iat - rules.now >= SKEW || rules.now - iat > ISSUED_WITHIN {
            let now = rules.now;
            let text = format!("iat is {iat}, exp is {exp}, now is {now}; are the clocks right?");
            return Err(OidcError::Invalid(text));
        }
        match claims.get("events") {
            Some(Value::Object(events)) if events.get(EVENT).is_some_and(Value::is_object) => {}
            Some(other) => return Err(wrong_type("events", "that of a logout", other)),
            None => return Err(OidcError::Invalid("events is missing".to_owned())),
        }
        // Even one that is null: it could be taken for an ID token (2.4).
        if claims.get("nonce").is_some() {
            return Err(OidcError::Invalid("a logout token has no nonce".to_owned()));
        }
        let sub = match claims.get("sub") {
            Some(_) => Some(subject(&claims)?),
            None => None,
        };
        let sid = claims.text("sid", SUB)?.filter(|sid| !sid.is_empty());
        if sub.is_none() && sid.is_none() {
            return Err(OidcError::Invalid("it has neither sub nor sid".to_owned()));
        }
        let jti = claims.text("jti", SUB)?.filter(|jti| !jti.is_empty());
        Ok(VerifiedLogoutToken {
            sub,
            sid,
            jti: jti.ok_or_else(|| OidcError::Invalid("jti is missing".to_owned()))?,
            // Nothing is taken that was issued longer ago, whatever exp says.
            valid_until: Timestamp::from_second(iat + ISSUED_WITHIN + SKEW)
                .map_err(|_| OidcError::Invalid("iat is out of range".to_owned()))?,
        })
    }
}
