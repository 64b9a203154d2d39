//! The checks of a response, in their order, each with a name for the log and a sentence for people.

/// One step of the verification (SAML Core, Profiles 4.1.4.2 and 4.1.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// Base64 and sizes.
    Encoding,
    /// The scan, and that it is well-formed.
    Xml,
    /// Root, one assertion, where signatures stand, unique IDs.
    Shape,
    /// `Version` 2.0.
    Version,
    /// `Status`: the IdP itself says no.
    Status,
    /// Every signature there is; at least one.
    Signature,
    /// The certificate that verifies is within its dates.
    CertificateDates,
    /// `EncryptedAssertion` and `EncryptedID`.
    Decryption,
    /// `Issuer` of Response and Assertion.
    Issuer,
    /// `Destination`.
    Destination,
    /// `InResponseTo` of Response and SubjectConfirmationData.
    InResponseTo,
    /// `IssueInstant`, `NotBefore`, `NotOnOrAfter`, `SessionNotOnOrAfter`, `AuthnInstant`.
    Time,
    /// Every `AudienceRestriction`.
    Audience,
    /// Bearer `SubjectConfirmation` with `Recipient`.
    Recipient,
    /// Conditions that are not known.
    Conditions,
    /// `NameID`.
    NameId,
    /// `AuthnStatement`.
    Authn,
    /// `AttributeStatement`.
    Attributes,
    /// Used once.
    Replay,
}

impl Check {
    /// The stable name in logs and `usher saml inspect`.
    pub fn code(self) -> &'static str {
        todo!()
    }

    /// What went wrong, for the person who signs in and the admin whom they ask.
    pub fn sentence(self) -> &'static str {
        todo!()
    }
}

/// The step that failed, with the values of both sides for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", check.code())]
pub struct Refused {
    /// Which.
    pub check: Check,
    /// Values of both sides; printable, short, no secrets.
    pub detail: String,
}

impl Refused {
    /// A refusal at `check`.
    pub fn at(check: Check, detail: impl Into<String>) -> Self {
        Self {
            check,
            detail: detail.into(),
        }
    }
}

/// The steps that passed so far, with what was seen, for `usher saml inspect`.
#[derive(Clone, Debug, Default)]
pub struct Steps(Vec<(Check, String)>);

impl Steps {
    /// Notes that a step passed.
    pub fn passed(&mut self, check: Check, seen: impl Into<String>) {
        self.0.push((check, seen.into()));
    }

    /// In their order.
    pub fn all(&self) -> &[(Check, String)] {
        &self.0
    }
}
