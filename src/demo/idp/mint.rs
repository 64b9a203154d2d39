//! Tokens, right ones and wrong ones: a header and claims as JSON, signed as they stand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};

use super::IdpError;
use super::faults::{Hmac, HmacKey, KeyHint, TokenFault};
use super::keys::{ATTACKER_X5C, SigningKey};
use super::model::SigningAlgorithm;

/// What the faults of a token may need.
pub(super) struct Surroundings<'a> {
    pub(super) key: SigningKey,
    pub(super) jwks: &'a str,
    pub(super) client_secret: &'a str,
    /// The IdP's clock in seconds.
    pub(super) now: i64,
}

/// A token before it is signed.
struct Draft {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_claims: Vec<(String, String)>,
    signer: Signer,
    damage: Vec<TokenFault>,
}

enum Signer {
    Key(Box<SigningKey>),
    Hmac(Algorithm, Vec<u8>),
    Nobody,
}

/// A token with these claims, signed by the IdP's key unless a fault says otherwise.
pub(super) fn mint(
    claims: Map<String, Value>,
    faults: Vec<TokenFault>,
    around: &Surroundings<'_>,
) -> Result<String, IdpError> {
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(around.key.algorithm));
    header.insert("kid".to_owned(), json!(around.key.kid));
    header.insert("typ".to_owned(), json!("JWT"));
    let mut draft = Draft {
        header,
        claims,
        raw_claims: Vec::new(),
        signer: Signer::Key(Box::new(around.key.clone())),
        damage: Vec::new(),
    };
    for fault in faults {
        draft.apply(fault, around)?;
    }
    let token = sign(&draft)?;
    Ok(draft.damage.iter().fold(token, damaged))
}

/// Any header and any claims, signed by a key.
pub(super) fn sign_raw(
    header: &Value,
    payload: &str,
    key: &SigningKey,
) -> Result<String, IdpError> {
    let message = format!("{}.{}", encode(header.to_string()), encode(payload));
    Ok(format!("{message}.{}", key.sign(message.as_bytes())?))
}

impl Draft {
    fn apply(&mut self, fault: TokenFault, around: &Surroundings<'_>) -> Result<(), IdpError> {
        match fault {
            TokenFault::Claim(name, value) => {
                self.claims.insert(name, value);
            }
            TokenFault::RemoveClaim(name) => {
                self.claims.remove(&name);
            }
            TokenFault::Time(name, offset) => {
                self.claims.insert(name, json!(around.now + offset));
            }
            TokenFault::RawClaim(name, text) => {
                self.claims.remove(&name);
                self.raw_claims.push((name, text));
            }
            TokenFault::DuplicateClaim(name, value) => {
                self.raw_claims.push((name, value.to_string()));
            }
            TokenFault::Header(name, value) => {
                self.header.insert(name, value);
            }
            TokenFault::RemoveHeader(name) => {
                self.header.remove(&name);
            }
            TokenFault::Unsigned(alg) => {
                self.signer = Signer::Nobody;
                match alg {
                    Some(alg) => self.header.insert("alg".to_owned(), alg),
                    None => self.header.remove("alg"),
                };
            }
            TokenFault::Hmac(hash, secret) => self.hmac(hash, secret, around),
            TokenFault::AttackerKey(hint) => self.attacker(hint, around)?,
            TokenFault::ForeignKey { pem, kid } => {
                let key = SigningKey::from_pem(&pem, &kid, SigningAlgorithm::Rs256)
                    .or_else(|_| SigningKey::from_pem(&pem, &kid, SigningAlgorithm::Es256))?;
                self.header.insert("alg".to_owned(), json!(key.algorithm));
                self.header.insert("kid".to_owned(), json!(kid));
                self.signer = Signer::Key(Box::new(key));
            }
            fault @ (TokenFault::CorruptSignature
            | TokenFault::StripSignature
            | TokenFault::Truncated
            | TokenFault::Encrypted
            | TokenFault::Garbage(_)) => self.damage.push(fault),
        }
        Ok(())
    }

    fn hmac(&mut self, hash: Hmac, secret: HmacKey, around: &Surroundings<'_>) {
        let algorithm = match hash {
            Hmac::Sha256 => Algorithm::HS256,
            Hmac::Sha384 => Algorithm::HS384,
            Hmac::Sha512 => Algorithm::HS512,
        };
        let secret = match secret {
            HmacKey::PublicPem => around.key.public_pem().into_bytes(),
            HmacKey::PublicDer => around.key.public_der().to_vec(),
            HmacKey::Jwks => around.jwks.as_bytes().to_vec(),
            HmacKey::ClientSecret => around.client_secret.as_bytes().to_vec(),
            HmacKey::Empty => Vec::new(),
            HmacKey::Bytes(bytes) => bytes,
        };
        self.header.insert("alg".to_owned(), json!(algorithm));
        self.signer = Signer::Hmac(algorithm, secret);
    }

    fn attacker(&mut self, hint: KeyHint, around: &Surroundings<'_>) -> Result<(), IdpError> {
        let key = SigningKey::attacker(&around.key.kid)?;
        let (name, value) = match hint {
            KeyHint::Nothing => ("typ", json!("JWT")),
            KeyHint::Jwk => ("jwk", key.jwk()),
            KeyHint::Jku(url) => ("jku", json!(url)),
            KeyHint::X5u(url) => ("x5u", json!(url)),
            KeyHint::X5c => ("x5c", json!([ATTACKER_X5C.trim()])),
        };
        self.header.insert(name.to_owned(), value);
        self.header.insert("alg".to_owned(), json!(key.algorithm));
        self.signer = Signer::Key(Box::new(key));
        Ok(())
    }

    fn payload(&self) -> String {
        let mut text = Value::Object(self.claims.clone()).to_string();
        for (name, raw) in &self.raw_claims {
            text.pop();
            let comma = if text.len() > 1 { "," } else { "" };
            text.push_str(&format!("{comma}{}:{raw}}}", json!(name)));
        }
        text
    }
}

fn sign(draft: &Draft) -> Result<String, IdpError> {
    let header = Value::Object(draft.header.clone()).to_string();
    let message = format!("{}.{}", encode(header), encode(draft.payload()));
    let signature = match &draft.signer {
        Signer::Key(key) => key.sign(message.as_bytes())?,
        Signer::Hmac(algorithm, secret) => {
            let key = EncodingKey::from_secret(secret);
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, *algorithm)
                .map_err(|_| IdpError::Key)?
        }
        Signer::Nobody => String::new(),
    };
    Ok(format!("{message}.{signature}"))
}

fn damaged(token: String, damage: &TokenFault) -> String {
    match damage {
        TokenFault::CorruptSignature => flip_a_signature_bit(&token),
        TokenFault::StripSignature => match token.rsplit_once('.') {
            Some((signed, _)) => format!("{signed}."),
            None => token,
        },
        TokenFault::Truncated => token.chars().take(token.len() / 2).collect(),
        TokenFault::Encrypted => {
            let header = json!({"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT"});
            let part = |length| encode(vec![7_u8; length]);
            let header = encode(header.to_string());
            format!(
                "{header}.{}.{}.{}.{}",
                part(256),
                part(12),
                part(300),
                part(16)
            )
        }
        TokenFault::Garbage(text) => text.clone(),
        TokenFault::Claim(..)
        | TokenFault::RemoveClaim(_)
        | TokenFault::Time(..)
        | TokenFault::RawClaim(..)
        | TokenFault::DuplicateClaim(..)
        | TokenFault::Header(..)
        | TokenFault::RemoveHeader(_)
        | TokenFault::Unsigned(_)
        | TokenFault::Hmac(..)
        | TokenFault::AttackerKey(_)
        | TokenFault::ForeignKey { .. } => token,
    }
}

fn flip_a_signature_bit(token: &str) -> String {
    let Some((signed, signature)) = token.rsplit_once('.') else {
        return token.to_owned();
    };
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if let Some(byte) = bytes.get_mut(8) {
        *byte ^= 1;
    }
    format!("{signed}.{}", encode(bytes))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
