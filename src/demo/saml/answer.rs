//! Responses with a knob for each field, written in canonical form.

use jiff::Timestamp;

use super::assertion::{Assertion, attribute, escape};
use super::encrypt::Encryption;
use super::sign::{SignatureOptions, insert_after_issuer};
use super::{ForgeError, SAML, SAMLP, SUCCESS, SentRequest, TestKey, at, fresh_id};

/// The namespace that the types of attribute values are in.
pub(super) const XS: &str = "http://www.w3.org/2001/XMLSchema";

/// What of a response is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Nothing.
    Nothing,
    /// The assertion.
    Assertion,
    /// The response.
    Response,
    /// Both, the assertion first.
    Both,
}

/// Where raw, canonical XML is put into a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the issuer.
    First,
    /// Between issuer and status: where `samlp:Extensions` stands.
    BeforeStatus,
    /// At the end of `Status`: where `samlp:StatusDetail` stands.
    InStatus,
    /// Between the status and the assertion.
    BeforeAssertion,
    /// After the assertion.
    Last,
}

/// `Response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// `ID`.
    pub id: Option<String>,
    /// `Version`.
    pub version: Option<String>,
    /// `IssueInstant`.
    pub issue_instant: Option<String>,
    /// `Destination`.
    pub destination: Option<String>,
    /// `InResponseTo`.
    pub in_response_to: Option<String>,
    /// `Issuer`.
    pub issuer: Option<String>,
    /// The top-level status code.
    pub status: Option<String>,
    /// The status code below it.
    pub sub_status: Option<String>,
    /// `StatusMessage`.
    pub status_message: Option<String>,
    /// The assertion.
    pub assertion: Assertion,
    /// Whether the assertion is there.
    pub has_assertion: bool,
    /// What is signed.
    pub signed: Signed,
    /// How the assertion is signed.
    pub assertion_signature: SignatureOptions,
    /// How the response is signed.
    pub response_signature: SignatureOptions,
    /// Encrypts the assertion, after it was signed.
    pub encryption: Option<Encryption>,
    /// What is put in besides.
    pub raw: Vec<(Place, String)>,
}

impl Response {
    /// A good one, its assertion signed by [`TestKey::IDP`]: entity IDs of the two, the ACS URL, and the ID of the
    /// request.
    pub fn new(idp: &str, sp: &str, acs: &str, in_response_to: &str, now: Timestamp) -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            id: Some(fresh_id()),
            version: text("2.0"),
            issue_instant: Some(at(now, 0)),
            destination: text(acs),
            in_response_to: text(in_response_to),
            issuer: text(idp),
            status: text(SUCCESS),
            sub_status: None,
            status_message: None,
            assertion: Assertion::new(idp, sp, acs, in_response_to, now),
            has_assertion: true,
            signed: Signed::Assertion,
            assertion_signature: SignatureOptions::of(TestKey::IDP),
            response_signature: SignatureOptions::of(TestKey::IDP),
            encryption: None,
            raw: Vec::new(),
        }
    }

    /// The good answer to a request that usher sent.
    pub fn to(request: &SentRequest, idp: &str, now: Timestamp) -> Self {
        Self::new(idp, &request.issuer, &request.acs, &request.id, now)
    }

    /// A good one that nobody asked for.
    pub fn unsolicited(idp: &str, sp: &str, acs: &str, now: Timestamp) -> Self {
        let mut response = Self::new(idp, sp, acs, "", now);
        response.in_response_to = None;
        for confirmation in &mut response.assertion.confirmations {
            confirmation.in_response_to = None;
        }
        response
    }

    /// Signs whatever is signed with this key, in the usual way.
    pub fn sign_with(&mut self, options: &SignatureOptions) {
        self.assertion_signature = options.clone();
        self.response_signature = options.clone();
    }

    /// The response as XML.
    ///
    /// # Errors
    /// A key does not fit its algorithm.
    pub fn to_xml(&self) -> Result<String, ForgeError> {
        if !self.has_assertion {
            return self.around("");
        }
        self.around(&self.sealed_assertion()?)
    }

    /// The assertion as it stands in the response: signed and encrypted as the fields say.
    ///
    /// # Errors
    /// A key does not fit its algorithm.
    pub fn sealed_assertion(&self) -> Result<String, ForgeError> {
        let assertion = match self.signed {
            Signed::Nothing | Signed::Response => self.assertion.to_xml()?,
            Signed::Assertion | Signed::Both => self.signed_assertion()?,
        };
        match &self.encryption {
            None => Ok(assertion),
            Some(by) => Ok(by.encrypt(&assertion)?.element("EncryptedAssertion", false)),
        }
    }

    /// The assertion with its signature, whatever `signed` says.
    ///
    /// # Errors
    /// The key does not fit the algorithm.
    pub fn signed_assertion(&self) -> Result<String, ForgeError> {
        let canonical = self.assertion.to_xml()?;
        let id = self.assertion.id.as_deref().unwrap_or_default();
        let options = &self.assertion_signature;
        let signature = options.sign(id, &with_prefixes(&canonical, options))?;
        Ok(insert_after_issuer(&canonical, &signature))
    }

    /// The response around these elements in place of the assertion, signed if the fields say so.
    ///
    /// # Errors
    /// The key does not fit the algorithm.
    pub fn around(&self, assertions: &str) -> Result<String, ForgeError> {
        let canonical = self.unsigned_around(assertions);
        let signed = match self.signed {
            Signed::Nothing | Signed::Assertion => canonical,
            Signed::Response | Signed::Both => {
                let id = self.id.as_deref().unwrap_or_default();
                let options = &self.response_signature;
                let signature = options.sign(id, &with_prefixes(&canonical, options))?;
                insert_after_own_issuer(&canonical, &signature, self.issuer.is_some())
            }
        };
        if !self.assertion.typed_values {
            return Ok(signed);
        }
        // Exclusive canonicalization leaves it out again, unless a prefix list names it.
        let end = signed.find('>').unwrap_or_default();
        let (tag, rest) = signed.split_at(end);
        Ok(format!("{tag} xmlns:xs=\"{XS}\"{rest}"))
    }

    /// The response around these elements in canonical form, without a signature of its own.
    pub fn unsigned_around(&self, assertions: &str) -> String {
        let issuer = self.issuer.as_ref().map_or_else(String::new, |issuer| {
            format!(
                "<saml:Issuer xmlns:saml=\"{SAML}\">{}</saml:Issuer>",
                escape(issuer)
            )
        });
        format!(
            "<samlp:Response xmlns:samlp=\"{SAMLP}\"{}{}{}{}{}>{}{issuer}{}{}{}{assertions}{}</samlp:Response>",
            attribute("Destination", self.destination.as_deref()),
            attribute("ID", self.id.as_deref()),
            attribute("InResponseTo", self.in_response_to.as_deref()),
            attribute("IssueInstant", self.issue_instant.as_deref()),
            attribute("Version", self.version.as_deref()),
            self.raw_at(Place::First),
            self.raw_at(Place::BeforeStatus),
            status(
                self.status.as_deref(),
                self.sub_status.as_deref(),
                self.status_message.as_deref(),
                &self.raw_at(Place::InStatus),
            ),
            self.raw_at(Place::BeforeAssertion),
            self.raw_at(Place::Last),
        )
    }

    fn raw_at(&self, place: Place) -> String {
        let here = self.raw.iter().filter(|(at, _)| *at == place);
        here.map(|(_, raw)| raw.as_str()).collect()
    }
}

/// `Status`; without a code there is none.
pub(super) fn status(
    code: Option<&str>,
    below: Option<&str>,
    message: Option<&str>,
    raw: &str,
) -> String {
    let Some(code) = code else {
        return String::new();
    };
    let below = below.map_or_else(String::new, |code| {
        let value = attribute("Value", Some(code));
        format!("<samlp:StatusCode{value}></samlp:StatusCode>")
    });
    let message = message.map_or_else(String::new, |text| {
        format!(
            "<samlp:StatusMessage>{}</samlp:StatusMessage>",
            escape(text)
        )
    });
    let value = attribute("Value", Some(code));
    format!(
        "<samlp:Status><samlp:StatusCode{value}>{below}</samlp:StatusCode>{message}{raw}</samlp:Status>"
    )
}

/// The signature after the response's own issuer; without one, before everything else.
fn insert_after_own_issuer(response: &str, signature: &str, has_issuer: bool) -> String {
    if has_issuer {
        insert_after_issuer(response, signature)
    } else {
        super::sign::insert_first(response, signature)
    }
}

/// What a prefix list that names `xs` adds to the canonical form of an element below its declaration.
fn with_prefixes(canonical: &str, options: &SignatureOptions) -> String {
    let names_xs = |list: &String| list.split(' ').any(|prefix| prefix == "xs");
    if !options.prefixes.as_ref().is_some_and(names_xs) {
        return canonical.to_owned();
    }
    let from = canonical.find(" xmlns:").map_or(0, |start| start + 1);
    let end = canonical
        .get(from..)
        .and_then(|rest| rest.find(' ').or_else(|| rest.find('>')))
        .map_or(0, |length| from + length);
    let (before, after) = canonical.split_at(end);
    format!("{before} xmlns:xs=\"{XS}\"{after}")
}
