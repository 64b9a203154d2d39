//! The signature of a token of the IdP, after RFC 8725: the algorithm is chosen by us and by the key, never by the token;
//! keys come from the IdP's own set alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::algorithm::SignatureAlgorithm;
use super::claims::{Claims, text_of, wrong_type};
use super::metadata::Metadata;
use super::{OidcError, OidcIdp, printable};

/// Bytes of a token.
const TOKEN: usize = 256 * 1024;

/// What a token is for: its `typ` must not say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// OIDC Core 2.
    IdToken,
    /// OIDC Back-Channel Logout 1.0, 2.4.
    LogoutToken,
}

impl Kind {
    fn is_named(self, typ: &str) -> bool {
        let own = match self {
            Self::IdToken => "JWT",
            Self::LogoutToken => "logout+jwt",
        };
        // Many IdPs give a logout token the general type.
        typ.eq_ignore_ascii_case(own) || typ.eq_ignore_ascii_case("JWT")
    }
}

/// The claims of a token whose signature was verified; what they say is still to be checked.
pub(super) struct Signed {
    pub(super) claims: Claims,
    pub(super) algorithm: SignatureAlgorithm,
}

/// The three parts of a signed token, decoded but not believed.
struct RawToken<'a> {
    signed: &'a str,
    signature: &'a str,
    payload: Vec<u8>,
    algorithm: SignatureAlgorithm,
    kid: Option<String>,
}

impl OidcIdp {
    /// Verifies the signature of a token.
    ///
    /// # Errors
    /// [`OidcError::Invalid`] names what is wrong; [`OidcError::Unavailable`] if there are no keys to verify with.
    pub(super) async fn verify_signature(
        &self,
        token: &str,
        kind: Kind,
        metadata: &Metadata,
    ) -> Result<Signed, OidcError> {
        let raw = RawToken::read(token, kind)?;
        let known = &metadata.algorithms;
        if !known.contains(&raw.algorithm) {
            let known: Vec<_> = known.iter().map(|known| known.name()).collect();
            return Err(invalid(format!(
                "alg is {}, the IdP's metadata names {known:?}",
                raw.algorithm.name()
            )));
        }
        let kid = raw.kid.as_deref();
        let keys = self.keys_for(metadata, kid, raw.algorithm).await?;
        let candidates = keys.value.candidates(kid, raw.algorithm);
        if candidates.is_empty() {
            return Err(invalid(format!(
                "the IdP's key set has no single key for kid {:?} and {}",
                kid.map(printable),
                raw.algorithm.name()
            )));
        }
        let verified = candidates.iter().any(|key| {
            jsonwebtoken::crypto::verify(
                raw.signature,
                raw.signed.as_bytes(),
                &key.decoding,
                raw.algorithm.jose(),
            )
            .unwrap_or(false)
        });
        if !verified {
            return Err(invalid("the signature does not fit the IdP's key"));
        }
        let claims = Claims::parse(&raw.payload)
            .map_err(|error| invalid(format!("the claims are no JSON: {error}")))?;
        Ok(Signed {
            claims,
            algorithm: raw.algorithm,
        })
    }
}

impl<'a> RawToken<'a> {
    fn read(token: &'a str, kind: Kind) -> Result<Self, OidcError> {
        if token.len() > TOKEN {
            return Err(invalid(format!("the token is longer than {TOKEN} bytes")));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let (header, payload, signature) = match parts.as_slice() {
            [header, payload, signature] => (*header, *payload, *signature),
            [_, _, _, _, _] => return Err(invalid("the token is encrypted")),
            _ => return Err(invalid("the token does not have three parts")),
        };
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| invalid("a part of the token is not base64url"))
        };
        let header_claims = Claims::parse(&decode(header)?)
            .map_err(|error| invalid(format!("the header is no JSON: {error}")))?;
        let algorithm = check_header(&header_claims, kind)?;
        Ok(Self {
            signed: &token[..header.len() + 1 + payload.len()],
            signature,
            payload: decode(payload)?,
            algorithm,
            kid: header_claims
                .get("kid")
                .map(|kid| text_of("kid", kid, 1024))
                .transpose()?,
        })
    }
}

/// The algorithm, if the header has nothing that changes what the token means. `jwk`, `jku`, `x5u` and `x5c` are never used.
fn check_header(header: &Claims, kind: Kind) -> Result<SignatureAlgorithm, OidcError> {
    let alg = header.required_text("alg")?;
    let algorithm = SignatureAlgorithm::from_name(alg).ok_or_else(|| {
        invalid(format!(
            "alg {:?} is not an asymmetric signature",
            printable(alg)
        ))
    })?;
    for name in ["crit", "b64", "zip", "enc", "cty"] {
        if header.get(name).is_some() {
            return Err(invalid(format!("the header has {name}")));
        }
    }
    match header.get("typ") {
        None => Ok(algorithm),
        Some(Value::String(typ)) if kind.is_named(typ) => Ok(algorithm),
        Some(Value::String(typ)) => Err(invalid(format!("typ is {:?}", printable(typ)))),
        Some(other) => Err(wrong_type("typ", "a string", other)),
    }
}

fn invalid(text: impl Into<String>) -> OidcError {
    OidcError::Invalid(text.into())
}
