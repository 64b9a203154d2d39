//! The signature algorithms that ID tokens may have: asymmetric ones only (RFC 8725 section 3.1). `none` and the HMACs
//! cannot even be named here.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use jsonwebtoken::Algorithm as Jose;

macro_rules! algorithms {
    ($($name:ident => $text:literal, $family:ident, $hash:ident;)*) => {
        /// An algorithm of RFC 7518 section 3.1 or RFC 8037.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum SignatureAlgorithm {
            $($name,)*
        }

        impl SignatureAlgorithm {
            /// By its name in a header.
            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name in a header.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What a key must be to sign with it.
            pub(super) fn key_kind(self) -> KeyKind {
                match self { $(Self::$name => KeyKind::$family,)* }
            }

            /// The hash of `at_hash` and `c_hash` (OIDC Core 3.1.3.6).
            pub(super) fn hash(self) -> &'static digest::Algorithm {
                match self { $(Self::$name => &$hash,)* }
            }

            /// For jsonwebtoken.
            pub(super) fn jose(self) -> Jose {
                match self { $(Self::$name => Jose::$name,)* }
            }
        }
    };
}

algorithms! {
    RS256 => "RS256", Rsa, SHA256;
    RS384 => "RS384", Rsa, SHA384;
    RS512 => "RS512", Rsa, SHA512;
    PS256 => "PS256", Rsa, SHA256;
    PS384 => "PS384", Rsa, SHA384;
    PS512 => "PS512", Rsa, SHA512;
    ES256 => "ES256", P256, SHA256;
    ES384 => "ES384", P384, SHA384;
    EdDSA => "EdDSA", Ed25519, SHA512;
}

/// A kind of public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_hmac_have_no_name() {
        for name in [
            "none", "None", "", "HS256", "HS384", "HS512", "rs256", "ES512",
        ] {
            assert_eq!(SignatureAlgorithm::from_name(name), None, "{name}");
        }
    }
}
