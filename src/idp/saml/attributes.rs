//! From SAML attributes to usher's own, by preset and by name.

use super::assertion::VerifiedAssertion;
use super::check::Refused;
use crate::config::SamlAttributes;
use crate::identity::Attributes;

/// The attributes that the apps are told, and the subject's value where an attribute names it.
///
/// # Errors
/// At [`super::check::Check::Attributes`]: an attribute of one value has several that differ, groups were left out
/// (Entra's `groups.link`), a configured subject attribute is missing, or a limit is exceeded.
pub fn map(_assertion: &VerifiedAssertion, _names: &SamlAttributes) -> Result<Attributes, Refused> {
    todo!()
}
