//! `LogoutRequest` and `LogoutResponse` (SAML Core 3.7, Profiles 4.4): written, and read with every check.

use jiff::Timestamp;

use super::assertion::NameId;
use super::check::Refused;
use crate::certificate::Certificate;
use crate::keys::saml::{KeyError, SpKey, SpKeys};

/// A `LogoutRequest` of the IdP whose every check passed.
#[derive(Debug)]
pub struct VerifiedLogoutRequest {
    pub(super) id: String,
    pub(super) name_id: NameId,
    pub(super) session_indexes: Vec<String>,
    pub(super) valid_until: Timestamp,
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

    /// Until when its ID must be remembered.
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}

/// How a logout went at the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutStatus {
    /// Everywhere.
    Success,
    /// Not everywhere (`PartialLogout`), or it failed there.
    Partial,
}

/// How a message arrived, with the signature that belongs to the binding.
#[derive(Debug)]
pub enum Arrived<'a> {
    /// POST: the XML carries an enveloped signature.
    Post(&'a [u8]),
    /// Redirect: the query is signed.
    Redirect(&'a super::binding::redirect::Received),
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

/// Verifies a `LogoutRequest`.
///
/// # Errors
/// The first check that fails.
pub fn verify_request(
    _arrived: &Arrived<'_>,
    _expected: &Expected<'_>,
) -> Result<VerifiedLogoutRequest, Refused> {
    todo!()
}

/// Verifies the `LogoutResponse` to our request `in_response_to`.
///
/// # Errors
/// The first check that fails.
pub fn verify_response(
    _arrived: &Arrived<'_>,
    _expected: &Expected<'_>,
    _in_response_to: &str,
) -> Result<LogoutStatus, Refused> {
    todo!()
}

/// What our own `LogoutRequest` says.
#[derive(Clone, Copy, Debug)]
pub struct LogoutRequest<'a> {
    /// `ID`.
    pub id: &'a str,
    /// Our entity ID.
    pub issuer: &'a str,
    /// `Destination`.
    pub destination: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Who.
    pub name_id: &'a NameId,
    /// Which session of theirs.
    pub session_index: Option<&'a str>,
}

impl LogoutRequest<'_> {
    /// The XML in canonical form; with an enveloped signature where a key is given (POST binding).
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(&self, _key: Option<&SpKey>) -> Result<String, KeyError> {
        todo!()
    }
}

/// What our own `LogoutResponse` says.
#[derive(Clone, Copy, Debug)]
pub struct LogoutResponse<'a> {
    /// `ID`.
    pub id: &'a str,
    /// Our entity ID.
    pub issuer: &'a str,
    /// `Destination`.
    pub destination: &'a str,
    /// Now.
    pub now: Timestamp,
    /// `ID` of the request.
    pub in_response_to: &'a str,
    /// How it went here.
    pub status: LogoutStatus,
}

impl LogoutResponse<'_> {
    /// The XML in canonical form; with an enveloped signature where a key is given (POST binding).
    ///
    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn to_xml(&self, _key: Option<&SpKey>) -> Result<String, KeyError> {
        todo!()
    }
}
