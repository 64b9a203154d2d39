//! An assertion as read from verified octets.

use jiff::Timestamp;

pub use crate::identity::NameId;

/// One `Attribute` (SAML Core 2.7.3.1) with the texts of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// `Name`.
    pub name: String,
    /// `FriendlyName`.
    pub friendly_name: Option<String>,
    /// Values that hold text; empty ones left out.
    pub values: Vec<String>,
}

/// An assertion whose every check passed. Built only by [`super::response::verify`].
#[derive(Debug)]
pub struct VerifiedAssertion {
    pub(super) id: String,
    pub(super) issuer: String,
    pub(super) name_id: NameId,
    pub(super) session_index: Option<String>,
    pub(super) authenticated_at: Timestamp,
    pub(super) authn_context: Option<String>,
    pub(super) session_ends_at: Option<Timestamp>,
    pub(super) valid_until: Timestamp,
    pub(super) attributes: Vec<Attribute>,
}

impl VerifiedAssertion {
    /// `ID`: claimed once.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `Issuer`: the entity ID of the IdP.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject's `NameID`.
    pub fn name_id(&self) -> &NameId {
        &self.name_id
    }

    /// `SessionIndex`, for single logout.
    pub fn session_index(&self) -> Option<&str> {
        self.session_index.as_deref()
    }

    /// `AuthnInstant`.
    pub fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// `AuthnContextClassRef`.
    pub fn authn_context(&self) -> Option<&str> {
        self.authn_context.as_deref()
    }

    /// `SessionNotOnOrAfter`: the session must not last longer.
    pub fn session_ends_at(&self) -> Option<Timestamp> {
        self.session_ends_at
    }

    /// Until when a replay must be remembered: the latest instant at which it would still be taken, skew included.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// Attributes in their order.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }
}
