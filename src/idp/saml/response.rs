//! The verification of a response (design: SAML verification, fixed order): from bytes to a [`VerifiedAssertion`], a pure function.

use jiff::Timestamp;

use super::assertion::VerifiedAssertion;
use super::check::{Refused, Steps};
use crate::certificate::Certificate;
use crate::keys::saml::SpKeys;

/// Seconds that the clocks of IdP and usher may be apart.
pub const SKEW: i64 = 60;

/// What a response must be an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The request with that ID.
    Requested(&'a str),
    /// Nobody asked: `InResponseTo` must be absent everywhere (Profiles 4.1.5).
    Unsolicited,
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
    /// Now.
    pub now: Timestamp,
}

/// Verifies the XML of a `samlp:Response`. Steps that passed are noted, also when a later one fails.
///
/// # Errors
/// The first check that fails.
pub fn verify(
    _xml: &[u8],
    _expected: &Expected<'_>,
    _steps: &mut Steps,
) -> Result<VerifiedAssertion, Refused> {
    todo!()
}
