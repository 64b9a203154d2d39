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
    /// All of them, for the tests and the documentation.
    pub const ALL: [Self; 19] = [
        Self::Encoding,
        Self::Xml,
        Self::Shape,
        Self::Version,
        Self::Status,
        Self::Signature,
        Self::CertificateDates,
        Self::Decryption,
        Self::Issuer,
        Self::Destination,
        Self::InResponseTo,
        Self::Time,
        Self::Audience,
        Self::Recipient,
        Self::Conditions,
        Self::NameId,
        Self::Authn,
        Self::Attributes,
        Self::Replay,
    ];

    /// The stable name in logs and `usher saml inspect`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Xml => "xml",
            Self::Shape => "shape",
            Self::Version => "version",
            Self::Status => "status",
            Self::Signature => "signature",
            Self::CertificateDates => "certificate_dates",
            Self::Decryption => "decryption",
            Self::Issuer => "issuer",
            Self::Destination => "destination",
            Self::InResponseTo => "in_response_to",
            Self::Time => "time",
            Self::Audience => "audience",
            Self::Recipient => "recipient",
            Self::Conditions => "conditions",
            Self::NameId => "name_id",
            Self::Authn => "authn",
            Self::Attributes => "attributes",
            Self::Replay => "replay",
        }
    }

    /// What went wrong, for the person who signs in and the admin whom they ask.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Encoding => {
                "The answer of your identity provider arrived incomplete, or is too large. Try again; if it happens again, its administrator must look at what it sends."
            }
            Self::Xml => {
                "The answer of your identity provider is not XML that can be read safely. Its administrator must look at what it sends."
            }
            Self::Shape => {
                "The answer of your identity provider is not built like a SAML 2.0 sign-in. Its administrator must check that it sends a Response with exactly one assertion."
            }
            Self::Version => {
                "Your identity provider answered in another version of SAML. Its administrator must choose SAML 2.0 for this site."
            }
            Self::Status => {
                "Your identity provider refused to sign you in. Ask the people who run it whether this site is assigned to you."
            }
            Self::Signature => {
                "The signature on the answer of your identity provider could not be verified. Most often it signs with a new certificate: the administrator of this site must load its current certificate or metadata."
            }
            Self::CertificateDates => {
                "The signing certificate of your identity provider has expired, or is not valid yet. Its administrator must renew it, and the administrator of this site must load the new one."
            }
            Self::Decryption => {
                "The answer of your identity provider could not be decrypted. Its administrator must load the current certificate of this site, and encrypt with RSA-OAEP and AES-GCM."
            }
            Self::Issuer => {
                "The answer comes from another identity provider (issuer) than the one you chose. The administrator of this site must compare the identity provider's Entity ID with the one that is configured."
            }
            Self::Destination => {
                "Your identity provider sent its answer to another address (destination). Its administrator must set the ACS URL, also called Reply URL, to the one of this site."
            }
            Self::InResponseTo => {
                "The answer of your identity provider does not belong to the sign-in that you began here. Start again from this site; sign-ins that begin at your company's portal must be switched on by the administrator of this site."
            }
            Self::Time => {
                "The answer of your identity provider is too old, or not valid yet. Try again; if it happens again, the clock of the identity provider or of this site is wrong."
            }
            Self::Audience => {
                "Your identity provider addressed its answer to another application (audience). Its administrator must set the Entity ID, also called Identifier or Audience, to the one of this site."
            }
            Self::Recipient => {
                "Your identity provider made its answer for another address (recipient). Its administrator must set the ACS URL, also called Reply URL or Recipient URL, to the one of this site."
            }
            Self::Conditions => {
                "Your identity provider set conditions on its answer that are missing or not known here. Its administrator must look at what it sends."
            }
            Self::NameId => {
                "Your identity provider did not say in a lasting way who you are (Name ID). Its administrator must send a Name ID that stays the same, such as a persistent one."
            }
            Self::Authn => {
                "Your identity provider did not say how and when you signed in there. Its administrator must look at what it sends."
            }
            Self::Attributes => {
                "The attributes that your identity provider sent about you cannot be used. Its administrator must look at which attributes it sends for this site."
            }
            Self::Replay => "This answer of your identity provider was used already. Start again.",
        }
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
    /// What to do, where more is known than [`Check::sentence`] says.
    pub advice: Option<&'static str>,
}

impl Refused {
    /// A refusal at `check`.
    pub fn at(check: Check, detail: impl Into<String>) -> Self {
        Self {
            check,
            detail: detail.into(),
            advice: None,
        }
    }

    /// The same, with a sentence that says more than that of the check.
    #[must_use]
    pub fn advising(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    /// What went wrong and what to do, for the person who signs in and the admin whom they ask.
    pub fn sentence(&self) -> &'static str {
        self.advice.unwrap_or(self.check.sentence())
    }
}

/// Characters of a foreign text that are shown.
const SHOWN: usize = 160;

/// A text of a message as it may stand in a log or on a terminal: quoted, control characters escaped, at most 160 characters.
pub(super) fn shown(text: &str) -> String {
    let mut head: String = text.chars().take(SHOWN).collect();
    if head.len() < text.len() {
        head.push('…');
    }
    format!("{head:?}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_code_and_a_sentence_of_its_own() {
        let mut codes: Vec<_> = Check::ALL.iter().map(|check| check.code()).collect();
        let mut sentences: Vec<_> = Check::ALL.iter().map(|check| check.sentence()).collect();
        codes.sort_unstable();
        codes.dedup();
        sentences.sort_unstable();
        sentences.dedup();
        assert_eq!(codes.len(), Check::ALL.len());
        assert_eq!(sentences.len(), Check::ALL.len());
        for code in codes {
            assert!(code.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        }
        assert!(sentences.iter().all(|sentence| sentence.ends_with('.')));
    }

    #[test]
    fn foreign_text_is_shown_short_and_without_control_characters() {
        assert_eq!(shown("a\r\nb\u{1b}[0m"), r#""a\r\nb\u{1b}[0m""#);
        let long = shown(&"é".repeat(500));
        assert_eq!(long.chars().count(), 163);
    }

    #[test]
    fn advice_goes_before_the_sentence_of_the_check() {
        let refused = Refused::at(Check::Time, "late");
        assert_eq!(refused.sentence(), Check::Time.sentence());
        assert_eq!(refused.to_string(), "time: late");
        assert_eq!(refused.advising("Do this.").sentence(), "Do this.");
    }
}
