//! A new P-256 key pair and its name.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::fill;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::StoreError;

/// Bytes of one coordinate of a point on P-256.
const COORDINATE: usize = 32;

/// A P-256 key pair, freshly made.
pub(super) struct Pair {
    /// Private part, PKCS#8 in DER.
    pub(super) pkcs8: Vec<u8>,
    /// Public part: the coordinates as a JWK writes them (RFC 7518 6.2.1).
    pub(super) x: String,
    /// The other coordinate.
    pub(super) y: String,
}

impl Pair {
    /// Makes one.
    pub(super) fn generate() -> Result<Self, StoreError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| StoreError("no key could be made".to_owned()))?;
        let pkcs8 = pair
            .to_pkcs8v1()
            .map_err(|_| StoreError("no key could be made".to_owned()))?;
        // SEC 1: 0x04, then both coordinates.
        let point = pair.public_key().as_ref();
        let coordinates = point
            .strip_prefix(&[4])
            .and_then(|rest| rest.split_at_checked(COORDINATE))
            .ok_or_else(|| StoreError("no key could be made".to_owned()))?;
        Ok(Self {
            pkcs8: pkcs8.as_ref().to_vec(),
            x: URL_SAFE_NO_PAD.encode(coordinates.0),
            y: URL_SAFE_NO_PAD.encode(coordinates.1),
        })
    }

    /// The thumbprint of the public part (RFC 7638): members in that order, no spaces.
    pub(super) fn kid(&self) -> String {
        let members = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            self.x, self.y
        );
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }
}

/// Random bytes of the provider.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    fill(&mut bytes).map_err(|_| StoreError("no random numbers".to_owned()))?;
    Ok(bytes)
}
