//! The verification of a response (design: SAML verification, fixed order): from bytes to a [`VerifiedAssertion`], a pure function.
//!
//! Everything that counts is read from octets whose digest was signed, by parsing those octets anew. What stands outside of them
//! (an unsigned response around a signed assertion) is compared too, but can only refuse.

mod attributes;
pub(super) mod clock;
pub(super) mod envelope;
pub(super) mod shape;
pub(super) mod statements;
#[cfg(test)]
mod tests;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::assertion::VerifiedAssertion;
use super::check::{Check, Refused, Steps, shown};
use super::encryption::{self, DecryptError, Integrity, UNIFORM};
use super::signature::{self, SignatureError, SignedOctets};
use super::xml::{self, Document, Limits, Node, XmlError};
use crate::certificate::Certificate;
use crate::config::SamlConfig;
use crate::keys::saml::SpKeys;
use envelope::Above;
use shape::{Carried, Envelope};

/// Seconds that the clocks of IdP and usher may be apart.
pub const SKEW: i64 = 60;

/// How long ago a response and its assertion may have been issued, besides the skew: what a browser needs to post them, also with
/// somebody pressing a button. It also bounds how long a replay must be remembered, whatever the assertion says.
pub const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// How long ago the person may have signed in at the IdP where `force_authn` is set, which whoever carries the request could take
/// out of it: as long as somebody may need to sign in there, further factors included.
pub const AUTHENTICATED_ANEW: SignedDuration = SignedDuration::from_mins(15);

/// How long ago the person may have signed in at the IdP (`AuthnInstant`), besides the skew.
pub fn authenticated_within(config: &SamlConfig) -> SignedDuration {
    let max_age = SignedDuration::try_from(config.max_age).unwrap_or(SignedDuration::MAX);
    if config.force_authn {
        max_age.min(AUTHENTICATED_ANEW)
    } else {
        max_age
    }
}

/// What a response must be an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The request with that ID.
    Requested(&'a str),
    /// Nobody asked: `InResponseTo` must be absent everywhere (Profiles 4.1.5).
    Unsolicited,
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested(id) => write!(out, "answers {id}"),
            Self::Unsolicited => out.write_str("answers no request"),
        }
    }
}

/// What the response is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Entity ID of the IdP that the sign-in went to.
    pub idp: &'a str,
    /// Its signing certificates; never empty.
    pub certificates: &'a [Certificate],
    /// Our entity ID: the audience.
    pub sp: &'a str,
    /// The URL that the response was posted to: `Destination` and `Recipient`.
    pub acs: &'a str,
    /// The request.
    pub origin: Origin<'a>,
    /// Our keys, for what is encrypted.
    pub keys: &'a SpKeys,
    /// How long ago the person may have signed in at the IdP: [`authenticated_within`].
    pub authenticated_within: SignedDuration,
    /// The authentication contexts that were asked for, of which the answer must have one; empty: any will do.
    pub authn_context: &'a [String],
    /// Now.
    pub now: Timestamp,
}

/// Verifies the XML of a `samlp:Response`. Steps that passed are noted, also when a later one fails.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    xml: &[u8],
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<VerifiedAssertion, Refused> {
    let document = parse(xml)?;
    steps.passed(Check::Xml, format!("{} bytes", xml.len()));
    let envelope = shape::response(&document)?;
    // An IdP that says no rarely signs that, and sends no assertion. It is heard before anything else, since it can only refuse.
    envelope::version(envelope.root)?;
    envelope::status(envelope.status)?;
    envelope.carried()?;
    steps.passed(Check::Shape, "a Response with one assertion");
    // Both signatures are verified where they stand: what an inner one is over may need namespaces that are declared further
    // out, and that the canonical form of the outer one leaves away.
    let response = verified(envelope.root, "Response", expected, steps)?;
    let assertion = match envelope.carried()? {
        Carried::Plain(assertion) => verified(assertion, "Assertion", expected, steps)?,
        Carried::Encrypted(_) => None,
    };
    match response {
        Some(octets) => {
            let document = signed_document(&octets)?;
            let envelope = shape::response(&document)?;
            of_response(&envelope, Above::Signed, assertion, expected, steps)
        }
        None => of_response(&envelope, Above::Unsigned, assertion, expected, steps),
    }
}

/// From a response: its own checks, then the assertion in it, or what was verified of that already.
fn of_response(
    envelope: &Envelope<'_, '_>,
    above: Above,
    signed: Option<SignedOctets>,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<VerifiedAssertion, Refused> {
    let carried = envelope.carried()?;
    let encrypted = matches!(carried, Carried::Encrypted(_));
    envelope::check(envelope, above, encrypted, expected, steps)?;
    match carried {
        Carried::Plain(assertion) => of_assertion(assertion, above, signed, expected, steps),
        Carried::Encrypted(encrypted) => {
            let integrity = match above {
                Above::Signed => Integrity::Signed,
                Above::Unsigned => Integrity::Unsigned,
            };
            let plaintext = encryption::decrypt(encrypted, expected.keys, integrity)
                .map_err(|error| cannot_decrypt(&error))?;
            let document = decrypted(&plaintext)?;
            let assertion =
                shape::assertion(&document, true).map_err(|_| cannot_decrypt(&UNIFORM))?;
            steps.passed(Check::Decryption, "EncryptedAssertion");
            let signed = verified(assertion, "Assertion", expected, steps)?;
            of_assertion(assertion, above, signed, expected, steps)
        }
    }
}

/// From an assertion: out of the octets of its own signature if it has one. If it has none, what is above it must be signed, and the
/// node be of those octets.
fn of_assertion(
    assertion: Node<'_, '_>,
    above: Above,
    signed: Option<SignedOctets>,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<VerifiedAssertion, Refused> {
    match (signed, above) {
        (Some(octets), Above::Signed | Above::Unsigned) => {
            let document = signed_document(&octets)?;
            let inner = shape::assertion(&document, false)?;
            if shape::id(inner)? != shape::id(assertion)? {
                return Err(Refused::at(Check::Shape, "two signatures are over two assertions"));
            }
            statements::read(inner, expected, steps)
        }
        (None, Above::Signed) => statements::read(assertion, expected, steps),
        (None, Above::Unsigned) => Err(Refused::at(
            Check::Signature,
            "neither the response nor the assertion is signed",
        )
        .advising(
            "Your identity provider did not sign its answer. Its administrator must switch on the signing of responses or assertions for this site.",
        )),
    }
}

/// The octets that the signature of `element` is over; none where it has no signature.
fn verified(
    element: Node<'_, '_>,
    name: &str,
    expected: &Expected<'_>,
    steps: &mut Steps,
) -> Result<Option<SignedOctets>, Refused> {
    let refused = |error: SignatureError| {
        // The commonest reason for a foreign key is a foreign IdP: say so.
        let issuer = envelope::claimed_issuer(element)
            .filter(|issuer| issuer != expected.idp)
            .map(|issuer| {
                format!(
                    " (it claims to be of {}, not {:?})",
                    shown(&issuer),
                    expected.idp
                )
            });
        Refused::at(
            error.check(),
            format!("{name}: {error}{}", issuer.unwrap_or_default()),
        )
    };
    let Some(signature) = signature::of(element).map_err(refused)? else {
        return Ok(None);
    };
    let octets =
        signature::verify_enveloped(element, signature, expected.certificates, expected.now)
            .map_err(refused)?;
    steps.passed(Check::Signature, format!("of the {name}"));
    Ok(Some(octets))
}

fn parse(xml: &[u8]) -> Result<Document<'_>, Refused> {
    xml::parse(xml, &Limits::MESSAGE).map_err(|error| unread(&error))
}

fn signed_document(signed: &SignedOctets) -> Result<Document<'_>, Refused> {
    xml::parse_canonical(signed.as_bytes(), &Limits::MESSAGE).map_err(|error| unread(&error))
}

fn unread(error: &XmlError) -> Refused {
    let check = match error {
        XmlError::Scan(_) | XmlError::NotWellFormed(_) => Check::Xml,
        XmlError::Shape(_) => Check::Shape,
    };
    Refused::at(check, error.to_string())
}

fn cannot_decrypt(error: &DecryptError) -> Refused {
    Refused::at(Check::Decryption, error.to_string())
}

/// Parses what was decrypted.
fn decrypted(plaintext: &[u8]) -> Result<Document<'_>, Refused> {
    parse(plaintext).map_err(|_| cannot_decrypt(&UNIFORM))
}
