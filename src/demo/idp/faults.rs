//! What the IdP can be told to do wrong: one value for each fault, used once (`next`) or until cleared (`always`).

use std::time::Duration;

use serde_json::Value;

/// One wrong thing, and where it happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The whole answer of an endpoint, or the time it takes.
    Endpoint(Endpoint, EndpointFault),
    /// The discovery document.
    Discovery(DiscoveryFault),
    /// The published keys.
    Jwks(JwksFault),
    /// The parameters that come back to the redirect URI.
    Authorize(AuthorizeFault),
    /// The ID token of the code exchange.
    IdToken(TokenFault),
    /// The ID token of a refresh.
    RefreshIdToken(TokenFault),
    /// The JSON of the code exchange.
    TokenResponse(ResponseFault),
    /// The JSON of a refresh.
    RefreshResponse(ResponseFault),
    /// The claims of userinfo.
    Userinfo(UserinfoFault),
    /// Groups left out of the ID token, as Entra does for people with very many.
    Overage(Overage),
}

/// How long a fault stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Next,
    Always,
}

/// An endpoint of the IdP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/openid-configuration`
    Discovery,
    /// `/jwks`
    Jwks,
    /// `/authorize`
    Authorize,
    /// `/token`, whatever the grant.
    Token,
    /// `/userinfo`
    Userinfo,
    /// `/end-session`
    EndSession,
    /// `/graph/v1.0/…`
    Graph,
}

/// What an endpoint does instead of its work (`Delay` and `Header`: besides it).
#[derive(Clone, Debug, PartialEq)]
pub enum EndpointFault {
    /// Answers after this time.
    Delay(Duration),
    /// Never answers; the connection stays open.
    Hang,
    /// This status with this body, as JSON.
    Status(u16, String),
    /// 200 with a body that is no JSON.
    Garbage,
    /// 200 with a JSON string of this many bytes, streamed.
    Huge(usize),
    /// 302 to this URL.
    Redirect(String),
    /// The connection is reset (RST) before any byte of the answer.
    Reset,
    /// The work is done, and the connection is reset instead of the answer.
    ResetAfter,
    /// Half of the promised body, then the connection ends.
    CutShort,
    /// The work is done, and this header is added to the answer.
    Header(String, String),
}

/// A fault in the discovery document.
#[derive(Clone, Debug, PartialEq)]
pub enum DiscoveryFault {
    /// A member with another value, such as `issuer` or `token_endpoint`.
    Field(String, Value),
    /// A member that is missing.
    Remove(String),
}

/// A fault in the published keys.
#[derive(Clone, Debug, PartialEq)]
pub enum JwksFault {
    /// `{"keys":[]}`
    Empty,
    /// A symmetric key beside the others.
    OctKey,
    /// A foreign RSA key under the kid of the real one; first in the list if `true`.
    DuplicateKid {
        /// Whether the foreign key stands before the real one.
        first: bool,
    },
    /// This many foreign RSA keys before the real ones.
    Many(usize),
    /// An RSA key of 1024 bits stands where the real one was.
    WeakRsa,
    /// Keys without `kid`.
    NoKid,
    /// Every key with this member, such as `use: enc`.
    Field(String, Value),
    /// Every key without this member.
    Remove(String),
}

/// A fault in the parameters that come back to the redirect URI.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthorizeFault {
    /// `error` and `error_description` instead of a code.
    Error(String, String),
    /// A parameter with another value (`iss`, `state`, `code`).
    Param(String, String),
    /// A parameter that is missing.
    Remove(String),
    /// A parameter besides the others, also a second time.
    Add(String, String),
    /// The code of the sign-in before this one.
    SwapCode,
}

/// A fault in a token. Several together are applied in the order in which they were set.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenFault {
    /// A claim with another value, any JSON.
    Claim(String, Value),
    /// A claim that is missing.
    RemoveClaim(String),
    /// A time claim (`exp`, `iat`, `nbf`, `auth_time`) at now plus so many seconds.
    Time(String, i64),
    /// A claim written as this text, also what no JSON library would write (`NaN`, `1e400`).
    RawClaim(String, String),
    /// A claim that stands twice; the second time with this value.
    DuplicateClaim(String, Value),
    /// A header member with another value. The signature is right over the changed header.
    Header(String, Value),
    /// A header member that is missing.
    RemoveHeader(String),
    /// `alg` as given (`None`: left out) and an empty signature.
    Unsigned(Option<Value>),
    /// An HMAC with a secret that is none; `alg` says so.
    Hmac(Hmac, HmacKey),
    /// Signed by a key that the IdP does not publish, under the real kid.
    AttackerKey(KeyHint),
    /// Signed by this PKCS#8 PEM (RSA: RS256, P-256: ES256) under this kid.
    ForeignKey {
        /// The private key.
        pem: String,
        /// The `kid` in the header.
        kid: String,
    },
    /// One bit of the signature flipped.
    CorruptSignature,
    /// Nothing after the second dot.
    StripSignature,
    /// The first half of the token.
    Truncated,
    /// Five parts as an encrypted token has them.
    Encrypted,
    /// This text instead of the token.
    Garbage(String),
}

/// The HMAC to abuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hmac {
    /// HS256
    Sha256,
    /// HS384
    Sha384,
    /// HS512
    Sha512,
}

/// What is used as the HMAC's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HmacKey {
    /// The public key as SPKI PEM.
    PublicPem,
    /// The public key as SPKI DER.
    PublicDer,
    /// The bytes of the published key set.
    Jwks,
    /// The client's secret.
    ClientSecret,
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// How the header points to the attacker's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyHint {
    /// Not at all.
    Nothing,
    /// The key itself as `jwk`.
    Jwk,
    /// A URL of the attacker's key set as `jku`.
    Jku(String),
    /// A URL of the attacker's certificate as `x5u`.
    X5u(String),
    /// The attacker's self-signed certificate as `x5c`.
    X5c,
}

/// A fault in the JSON of the token endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFault {
    /// A member with another value.
    Field(String, Value),
    /// A member that is missing (`id_token`, `refresh_token`).
    Remove(String),
    /// An OAuth error: status and `error`. The code or refresh token is not used up by it.
    Error(u16, String),
}

/// A fault in userinfo.
#[derive(Clone, Debug, PartialEq)]
pub enum UserinfoFault {
    /// A claim with another value.
    Claim(String, Value),
    /// A claim that is missing.
    Remove(String),
    /// The claims as a signed JWT, `application/jwt`.
    Jwt,
}

/// How Entra says that groups are to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overage {
    /// `_claim_names` and `_claim_sources`, as in the code flow.
    ClaimNames,
    /// `hasgroups: true`, as in the implicit flow.
    HasGroups,
}

/// The faults that are set now.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(Fault, Times)>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault, times: Times) {
        self.0.push((fault, times));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What `pick` finds, in the order it was set. What was set for the next use only is gone after.
    pub(super) fn take<T>(&mut self, pick: impl Fn(&Fault) -> Option<T>) -> Vec<T> {
        let mut found = Vec::new();
        self.0.retain(|(fault, times)| match pick(fault) {
            None => true,
            Some(hit) => {
                found.push(hit);
                *times == Times::Always
            }
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_for_the_next_use_is_gone_after_it_and_an_always_one_stays() {
        let mut faults = Faults::default();
        faults.add(Fault::Jwks(JwksFault::Empty), Times::Next);
        faults.add(Fault::Jwks(JwksFault::NoKid), Times::Always);
        faults.add(Fault::Overage(Overage::HasGroups), Times::Always);
        let pick = |fault: &Fault| {
            let Fault::Jwks(jwks) = fault else {
                return None;
            };
            Some(jwks.clone())
        };
        assert_eq!(faults.take(pick), [JwksFault::Empty, JwksFault::NoKid]);
        assert_eq!(faults.take(pick), [JwksFault::NoKid]);
    }
}
