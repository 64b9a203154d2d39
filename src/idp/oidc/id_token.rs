//! Every check of an ID token (OIDC Core 3.1.3.7), after RFC 8725: the algorithm is chosen by us and by the key, never by
//! the token; keys come from the IdP's own set alone; every claim has its type.

use aws_lc_rs::digest::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::algorithm::SignatureAlgorithm;
use super::claims::{Claims, wrong_type};
use super::metadata::Metadata;
use super::signed_jwt::{Kind, Signed};
use super::{OidcError, OidcIdp, printable};

/// How far clocks may be apart, in seconds.
pub(super) const SKEW: i64 = 60;
/// How long ago a token for a sign-in may have been issued, in seconds. Entra dates `iat` five minutes back.
const ISSUED_WITHIN: i64 = 600;
/// The longest life of a token that is believed, in seconds: the most that a known IdP can be set to is 30 days.
const LIFE: i64 = 31 * 24 * 3600;
/// Bytes of `sub` (OIDC Core 2).
pub(super) const SUB: usize = 255;

/// What the token must agree with.
pub(super) struct Expected<'a> {
    /// The nonce of the sign-in; none at a renewal (OIDC Core 12.2).
    pub(super) nonce: Option<&'a str>,
    /// The subject of the session that is renewed.
    pub(super) sub: Option<&'a str>,
    /// The code that it came for, if any.
    pub(super) code: Option<&'a str>,
    /// The access token that came with it.
    pub(super) access_token: &'a str,
}

/// The claims of a token that passed every check.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Claims,
    pub(super) sub: String,
    pub(super) authenticated_at: Timestamp,
    pub(super) says_when: bool,
    pub(super) acr: Option<String>,
    pub(super) idp_session: Option<String>,
}

impl OidcIdp {
    /// Verifies an ID token.
    ///
    /// # Errors
    /// [`OidcError::Invalid`] names the check that failed; [`OidcError::Unavailable`] if there are no keys to verify with.
    pub(super) async fn verify_id_token(
        &self,
        token: &str,
        metadata: &Metadata,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Verified, OidcError> {
        let Signed { claims, algorithm } = self
            .verify_signature(token, Kind::IdToken, metadata)
            .await?;
        let rules = Rules {
            issuer: &self.oidc.issuer,
            client_id: &self.oidc.client_id,
            algorithm,
            now: now.as_second(),
        };
        rules.check(claims, expected)
    }
}

/// The checks of the claims, once the signature is right.
pub(super) struct Rules<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) now: i64,
}

impl Rules<'_> {
    fn check(&self, claims: Claims, expected: &Expected<'_>) -> Result<Verified, OidcError> {
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        // A logout token is signed by the same key for the same audience.
        if claims.get("events").is_some() {
            return Err(invalid("it has events, so it is no ID token"));
        }
        let sub = subject(&claims)?;
        if expected.sub.is_some_and(|known| known != sub) {
            return Err(invalid("sub is not the one of the session"));
        }
        let issued = self.check_times(&claims, expected.nonce.is_some())?;
        check_nonce(&claims, expected.nonce)?;
        self.check_hash(&claims, "at_hash", Some(expected.access_token))?;
        self.check_hash(&claims, "c_hash", expected.code)?;
        let said = claims.seconds("auth_time")?;
        let authenticated = said.unwrap_or(issued);
        if authenticated - self.now >= SKEW {
            return Err(invalid(format!(
                "auth_time is {} s ahead",
                authenticated - self.now
            )));
        }
        Ok(Verified {
            authenticated_at: Timestamp::from_second(authenticated)
                .map_err(|_| invalid("auth_time is out of range"))?,
            says_when: said.is_some(),
            acr: claims.text("acr", SUB)?,
            idp_session: claims.text("sid", SUB)?,
            sub,
            claims,
        })
    }

    pub(super) fn check_issuer(&self, claims: &Claims) -> Result<(), OidcError> {
        let iss = claims.required_text("iss")?;
        if iss == self.issuer {
            return Ok(());
        }
        Err(invalid(format!(
            "iss is {:?}, the config says {:?}",
            printable(iss),
            self.issuer
        )))
    }

    /// `aud` has us; with other audiences `azp` must name us; and if there, `azp` names us in any case.
    pub(super) fn check_audience(&self, claims: &Claims) -> Result<(), OidcError> {
        let aud = claims.get("aud").ok_or_else(|| invalid("aud is missing"))?;
        let list = aud
            .as_array()
            .map_or(std::slice::from_ref(aud), Vec::as_slice);
        let audiences: Vec<&str> = list
            .iter()
            .map(|one| {
                one.as_str()
                    .ok_or_else(|| wrong_type("aud", "a string or a list of strings", one))
            })
            .collect::<Result<_, _>>()?;
        if !audiences.contains(&self.client_id) {
            let audiences: Vec<_> = audiences.into_iter().take(5).map(printable).collect();
            return Err(invalid(format!(
                "aud is {audiences:?}, the client is {:?}",
                self.client_id
            )));
        }
        let azp = match claims.get("azp") {
            None => None,
            Some(Value::String(azp)) => Some(azp.as_str()),
            Some(other) => return Err(wrong_type("azp", "a string", other)),
        };
        match azp {
            Some(azp) if azp != self.client_id => Err(invalid(format!(
                "azp is {:?}, the client is {:?}",
                printable(azp),
                self.client_id
            ))),
            None if audiences.iter().any(|one| *one != self.client_id) => {
                Err(invalid("aud has other clients too, and azp is missing"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Gives `iat`. The clock may tick between the IdP's stamp and this check, so what lies ahead must be less than the skew.
    fn check_times(&self, claims: &Claims, fresh: bool) -> Result<i64, OidcError> {
        let exp = claims
            .seconds("exp")?
            .ok_or_else(|| invalid("exp is missing"))?;
        let iat = claims
            .seconds("iat")?
            .ok_or_else(|| invalid("iat is missing"))?;
        let ago = self.now - exp;
        if ago > SKEW {
            return Err(invalid(format!(
                "exp was {ago} s ago; are the clocks right?"
            )));
        }
        if exp - iat > LIFE {
            return Err(invalid(format!("exp is {} s after iat", exp - iat)));
        }
        let ahead = iat - self.now;
        if ahead >= SKEW {
            return Err(invalid(format!(
                "iat is {ahead} s ahead; are the clocks right?"
            )));
        }
        if fresh && -ahead > ISSUED_WITHIN {
            return Err(invalid(format!(
                "iat was {} s ago; are the clocks right?",
                -ahead
            )));
        }
        if let Some(nbf) = claims.seconds("nbf")?
            && nbf - self.now >= SKEW
        {
            return Err(invalid(format!(
                "nbf is {} s ahead; are the clocks right?",
                nbf - self.now
            )));
        }
        Ok(iat)
    }

    /// The left half of the hash of `value` (OIDC Core 3.1.3.6), where the token has it.
    fn check_hash(
        &self,
        claims: &Claims,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), OidcError> {
        let given = match claims.get(name) {
            None => return Ok(()),
            Some(Value::String(given)) => given,
            Some(other) => return Err(wrong_type(name, "a string", other)),
        };
        let Some(value) = value else {
            return Ok(());
        };
        let digest = digest(self.algorithm.hash(), value.as_bytes());
        let half = &digest.as_ref()[..digest.as_ref().len() / 2];
        if !same(given, &URL_SAFE_NO_PAD.encode(half)) {
            return Err(invalid(format!(
                "{name} does not fit what it is the hash of"
            )));
        }
        Ok(())
    }
}

/// `sub`: 1 to 255 visible ASCII characters, spaces only within.
pub(super) fn subject(claims: &Claims) -> Result<String, OidcError> {
    let sub = claims.required_text("sub")?;
    let visible = sub.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if sub.is_empty() || sub.len() > SUB || !visible || sub.trim() != sub {
        return Err(invalid("sub is not 1 to 255 visible ASCII characters"));
    }
    Ok(sub.to_owned())
}

fn check_nonce(claims: &Claims, expected: Option<&str>) -> Result<(), OidcError> {
    let Some(expected) = expected else {
        return Ok(());
    };
    if !same(claims.required_text("nonce")?, expected) {
        return Err(invalid("nonce is not the one of this sign-in"));
    }
    Ok(())
}

/// Compares in constant time.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn invalid(text: impl Into<String>) -> OidcError {
    OidcError::Invalid(text.into())
}
