//! The signing keys. They are for tests: the RSA ones stand in the source tree.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::IdpError;
use super::model::SigningAlgorithm;

const RSA: &str = include_str!("test-only-rsa.pem");
const RSA_NEXT: &str = include_str!("test-only-rsa-next.pem");
const RSA_ATTACKER: &str = include_str!("test-only-rsa-attacker.pem");
/// The attacker's certificate over `RSA_ATTACKER`, base64 of DER.
pub(super) const ATTACKER_X5C: &str = include_str!("test-only-attacker-certificate.txt");
/// The modulus of an RSA key of 1024 bits, base64url.
pub(super) const WEAK_MODULUS: &str = "qzpmikWzXsz-1TyP1W2yJ8WUWbDALeDWUD5JeIfDBWvzbe3wvR6d7wxpQlWEg3MfSBsoGW8m54i95I_QdjGyHfuYYl7w6n2glnjcmamileP5tUG4ZDOq4aSyRMboCdDplFkdWuTkLFYTLp7Fae5fGdwWGxlYwWAzgDVKNuZHqGU";

/// One key with its public half.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pem: String,
    encoding: EncodingKey,
    jwk: Value,
    public_der: Vec<u8>,
}

impl SigningKey {
    /// Reads a PKCS#8 PEM. RSA signs by `algorithm`; for EC and Ed25519 the algorithm must fit the key.
    pub(super) fn from_pem(pem: &str, kid: &str, by: SigningAlgorithm) -> Result<Self, IdpError> {
        let der = der_of(pem)?;
        let (encoding, public_der) = match by {
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
                    .map_err(|_| IdpError::Key)?;
                let public = pair.public_key().as_der().map_err(|_| IdpError::Key)?;
                (EncodingKey::from_ec_pem(pem.as_bytes()), public)
            }
            SigningAlgorithm::EdDsa => {
                let pair =
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| IdpError::Key)?;
                let public = pair.public_key().as_der().map_err(|_| IdpError::Key)?;
                (EncodingKey::from_ed_pem(pem.as_bytes()), public)
            }
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
                let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| IdpError::Key)?;
                let public = pair.public_key().as_der().map_err(|_| IdpError::Key)?;
                (EncodingKey::from_rsa_pem(pem.as_bytes()), public)
            }
        };
        let algorithm = Algorithm::from(by);
        let encoding = encoding.map_err(|_| IdpError::Key)?;
        let jwk = Jwk::from_encoding_key(&encoding, algorithm).map_err(|_| IdpError::Key)?;
        let mut jwk = serde_json::to_value(jwk).map_err(|_| IdpError::Key)?;
        if let Value::Object(members) = &mut jwk {
            members.insert("kid".to_owned(), json!(kid));
            members.insert("use".to_owned(), json!("sig"));
        }
        Ok(SigningKey {
            kid: kid.to_owned(),
            algorithm,
            pem: pem.to_owned(),
            encoding,
            jwk,
            public_der: public_der.as_ref().to_vec(),
        })
    }

    /// The attacker's key under any kid.
    pub(super) fn attacker(kid: &str) -> Result<Self, IdpError> {
        SigningKey::from_pem(RSA_ATTACKER, kid, SigningAlgorithm::Rs256)
    }

    /// The signature over `message`, base64url.
    pub(super) fn sign(&self, message: &[u8]) -> Result<String, IdpError> {
        jsonwebtoken::crypto::sign(message, &self.encoding, self.algorithm)
            .map_err(|_| IdpError::Key)
    }

    fn verifies(&self, message: &str, signature: &str) -> bool {
        let key = serde_json::from_value::<Jwk>(self.jwk.clone())
            .ok()
            .and_then(|jwk| DecodingKey::from_jwk(&jwk).ok());
        key.is_some_and(|key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, self.algorithm)
                .unwrap_or(false)
        })
    }

    pub(super) fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// The private key, PKCS#8.
    pub(super) fn private_pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    pub(super) fn public_pem(&self) -> String {
        pem_of("PUBLIC KEY", &self.public_der)
    }
}

/// Where the first RSA key of an IdP comes from. The other keys are always made at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstRsa {
    /// The one in the source tree, so that the start is fast.
    Fixed,
    /// Made at the start, so that no other IdP has it.
    Own,
}

/// The keys that sign now, and those that are still published.
pub(super) struct KeyRing {
    generation: u32,
    first: FirstRsa,
    signing: Vec<(SigningAlgorithm, SigningKey)>,
    old: Vec<SigningKey>,
}

impl KeyRing {
    pub(super) fn new(first: FirstRsa) -> Result<Self, IdpError> {
        let rsa = match first {
            FirstRsa::Fixed => RSA.to_owned(),
            FirstRsa::Own => fresh_rsa()?,
        };
        Ok(KeyRing {
            generation: 1,
            first,
            signing: generation(1, &rsa)?,
            old: Vec::new(),
        })
    }

    /// New keys under new kids. The old ones stay published if `keep_old`.
    pub(super) fn rotate(&mut self, keep_old: bool) -> Result<(), IdpError> {
        let rsa = match (self.first, self.generation) {
            (FirstRsa::Fixed, 1) => RSA_NEXT.to_owned(),
            (FirstRsa::Fixed | FirstRsa::Own, _) => fresh_rsa()?,
        };
        let fresh = generation(self.generation + 1, &rsa)?;
        let before = std::mem::replace(&mut self.signing, fresh);
        self.generation += 1;
        if keep_old {
            self.old.extend(before.into_iter().map(|(_, key)| key));
        } else {
            self.old.clear();
        }
        Ok(())
    }

    pub(super) fn current(&self, algorithm: SigningAlgorithm) -> Result<SigningKey, IdpError> {
        self.signing
            .iter()
            .find(|(known, _)| *known == algorithm)
            .map(|(_, key)| key.clone())
            .ok_or(IdpError::Key)
    }

    pub(super) fn published(&self) -> Vec<Value> {
        self.all().map(SigningKey::jwk).collect()
    }

    /// Whether one of the published keys signed this token.
    pub(super) fn signed(&self, token: &str) -> bool {
        let Some((message, signature)) = token.rsplit_once('.') else {
            return false;
        };
        self.all().any(|key| key.verifies(message, signature))
    }

    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        let current = self.signing.iter().map(|(_, key)| key);
        current.chain(&self.old)
    }
}

fn fresh_rsa() -> Result<String, IdpError> {
    let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(|_| IdpError::Key)?;
    let der: aws_lc_rs::encoding::Pkcs8V1Der = pair.as_der().map_err(|_| IdpError::Key)?;
    Ok(pem_of("PRIVATE KEY", der.as_ref()))
}

fn generation(number: u32, rsa: &str) -> Result<Vec<(SigningAlgorithm, SigningKey)>, IdpError> {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| IdpError::Key)?;
    let ed = Ed25519KeyPair::generate_pkcs8v1(&random).map_err(|_| IdpError::Key)?;
    let ec = pem_of("PRIVATE KEY", ec.as_ref());
    let ed = pem_of("PRIVATE KEY", ed.as_ref());
    let make = |name: &str, pem: &str, by| {
        let key = SigningKey::from_pem(pem, &format!("{name}-{number}"), by)?;
        Ok((by, key))
    };
    Ok(vec![
        make("rs256", rsa, SigningAlgorithm::Rs256)?,
        make("ps256", rsa, SigningAlgorithm::Ps256)?,
        make("es256", &ec, SigningAlgorithm::Es256)?,
        make("eddsa", &ed, SigningAlgorithm::EdDsa)?,
    ])
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Rs256 => Algorithm::RS256,
            SigningAlgorithm::Ps256 => Algorithm::PS256,
            SigningAlgorithm::Es256 => Algorithm::ES256,
            SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        }
    }
}

fn der_of(pem: &str) -> Result<Vec<u8>, IdpError> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    STANDARD.decode(body.trim()).map_err(|_| IdpError::Key)
}

fn pem_of(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
