//! Single logout (SAML Core 3.7, Profiles 4.4): `LogoutRequest` and `LogoutResponse`, written, and read with every check.

mod flow;
mod read;
#[cfg(test)]
mod tests;
mod write;

use jiff::Timestamp;

use super::assertion::NameId;
use super::binding::redirect::Received;
use crate::certificate::Certificate;
use crate::keys::saml::SpKeys;

pub use flow::Leaving;
pub use read::{verify_request, verify_response};
pub use write::{LogoutRequest, LogoutResponse};

/// The second status code of somebody who could not sign out everywhere (Core 3.2.2.2).
const PARTIAL_LOGOUT: &str = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout";

/// A `LogoutRequest` of the IdP whose every check passed. Built only by [`verify_request`].
#[derive(Debug)]
pub struct VerifiedLogoutRequest {
    id: String,
    name_id: NameId,
    session_indexes: Vec<String>,
    valid_until: Timestamp,
}

impl VerifiedLogoutRequest {
    /// `ID`: claimed once, and the `InResponseTo` of the answer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose sessions.
    pub fn name_id(&self) -> &NameId {
        &self.name_id
    }

    /// Which of them; empty: all.
    pub fn session_indexes(&self) -> &[String] {
        &self.session_indexes
    }

    /// Until when its ID must be remembered: `NotOnOrAfter`, or five minutes after `IssueInstant` where there is none, and the skew.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}

/// How a logout went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutStatus {
    /// Everywhere.
    Success,
    /// Not everywhere (`PartialLogout`), or it failed.
    Partial,
}

/// How a message arrived, with the signature that belongs to the binding.
#[derive(Debug)]
pub enum Arrived {
    /// POST: the XML carries an enveloped signature.
    Post(Vec<u8>),
    /// Redirect: the query is signed, and the XML is not.
    Redirect(Received),
}

/// What a logout message is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Entity ID of the IdP of the URL.
    pub idp: &'a str,
    /// Its signing certificates.
    pub certificates: &'a [Certificate],
    /// The URL that it arrived at: `Destination`.
    pub slo: &'a str,
    /// Our keys, for `EncryptedID`.
    pub keys: &'a SpKeys,
    /// Now.
    pub now: Timestamp,
}
