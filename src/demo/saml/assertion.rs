//! Assertions with a knob for each field, written in canonical form.

use jiff::Timestamp;

use super::encrypt::Encryption;
use super::{BEARER, ForgeError, PASSWORD, PERSISTENT, SAML, at, fresh_id};

/// The prefix `xsi`.
pub(super) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Text as canonical XML writes it.
pub fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('\r', "&#xD;")
}

/// The value of an attribute as canonical XML writes it.
pub fn escape_attribute(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let text = text.replace('"', "&quot;").replace('\t', "&#x9;");
    text.replace('\n', "&#xA;").replace('\r', "&#xD;")
}

/// ` name="value"`, or nothing.
pub(super) fn attribute(name: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| {
        format!(" {name}=\"{}\"", escape_attribute(value))
    })
}

/// Canonical XML that is put in as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Between the issuer (and signature) and the subject.
    pub before_subject: String,
    /// At the end of `Subject`.
    pub in_subject: String,
    /// Within `SubjectConfirmationData` of every confirmation.
    pub in_confirmation_data: String,
    /// At the end of `Conditions`.
    pub in_conditions: String,
    /// Between conditions and statements: where `Advice` stands.
    pub advice: String,
    /// At the end of `AuthnContext`.
    pub in_authn_context: String,
    /// At the end of `AttributeStatement`, which is there for it alone.
    pub in_attributes: String,
    /// At the end of the assertion.
    pub at_end: String,
}

/// `NameID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameId {
    /// Its text.
    pub value: String,
    /// `Format`.
    pub format: Option<String>,
    /// `NameQualifier`.
    pub name_qualifier: Option<String>,
    /// `SPNameQualifier`.
    pub sp_name_qualifier: Option<String>,
}

impl NameId {
    /// With a format alone.
    pub fn new(value: &str, format: &str) -> Self {
        Self {
            value: value.to_owned(),
            format: Some(format.to_owned()),
            name_qualifier: None,
            sp_name_qualifier: None,
        }
    }

    /// The element; `declared` where an ancestor declares the prefix.
    pub(super) fn to_xml(&self, declared: bool) -> String {
        let namespace = (!declared).then_some(SAML);
        format!(
            "<saml:NameID{}{}{}{}>{}</saml:NameID>",
            attribute("xmlns:saml", namespace),
            attribute("Format", self.format.as_deref()),
            attribute("NameQualifier", self.name_qualifier.as_deref()),
            attribute("SPNameQualifier", self.sp_name_qualifier.as_deref()),
            escape(&self.value)
        )
    }
}

/// `SubjectConfirmation` with its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// `Method`.
    pub method: Option<String>,
    /// `Address`.
    pub address: Option<String>,
    /// `InResponseTo`.
    pub in_response_to: Option<String>,
    /// `NotBefore`.
    pub not_before: Option<String>,
    /// `NotOnOrAfter`.
    pub not_on_or_after: Option<String>,
    /// `Recipient`.
    pub recipient: Option<String>,
    /// Whether there is `SubjectConfirmationData`.
    pub has_data: bool,
}

impl Confirmation {
    fn to_xml(&self, raw: &str) -> String {
        let data = format!(
            "<saml:SubjectConfirmationData{}{}{}{}{}>{raw}</saml:SubjectConfirmationData>",
            attribute("Address", self.address.as_deref()),
            attribute("InResponseTo", self.in_response_to.as_deref()),
            attribute("NotBefore", self.not_before.as_deref()),
            attribute("NotOnOrAfter", self.not_on_or_after.as_deref()),
            attribute("Recipient", self.recipient.as_deref()),
        );
        format!(
            "<saml:SubjectConfirmation{}>{}</saml:SubjectConfirmation>",
            attribute("Method", self.method.as_deref()),
            if self.has_data { data } else { String::new() }
        )
    }
}

/// `Conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// `NotBefore`.
    pub not_before: Option<String>,
    /// `NotOnOrAfter`.
    pub not_on_or_after: Option<String>,
    /// One `AudienceRestriction` each, with its audiences.
    pub audiences: Vec<Vec<String>>,
    /// `OneTimeUse`.
    pub one_time_use: bool,
}

impl Conditions {
    fn to_xml(&self, raw: &str) -> String {
        let audience = |name: &String| format!("<saml:Audience>{}</saml:Audience>", escape(name));
        let restriction = |names: &Vec<String>| {
            let names: String = names.iter().map(audience).collect();
            format!("<saml:AudienceRestriction>{names}</saml:AudienceRestriction>")
        };
        let restrictions: String = self.audiences.iter().map(restriction).collect();
        let once = if self.one_time_use {
            "<saml:OneTimeUse></saml:OneTimeUse>"
        } else {
            ""
        };
        format!(
            "<saml:Conditions{}{}>{restrictions}{once}{raw}</saml:Conditions>",
            attribute("NotBefore", self.not_before.as_deref()),
            attribute("NotOnOrAfter", self.not_on_or_after.as_deref()),
        )
    }
}

/// `AuthnStatement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthnStatement {
    /// `AuthnInstant`.
    pub instant: Option<String>,
    /// `SessionIndex`.
    pub session_index: Option<String>,
    /// `SessionNotOnOrAfter`.
    pub session_ends_at: Option<String>,
    /// `AuthnContextClassRef`.
    pub context: Option<String>,
}

impl AuthnStatement {
    fn to_xml(&self, raw: &str) -> String {
        let context = self.context.as_ref().map_or_else(String::new, |class| {
            let class = escape(class);
            format!("<saml:AuthnContextClassRef>{class}</saml:AuthnContextClassRef>")
        });
        format!(
            "<saml:AuthnStatement{}{}{}><saml:AuthnContext>{context}{raw}</saml:AuthnContext></saml:AuthnStatement>",
            attribute("AuthnInstant", self.instant.as_deref()),
            attribute("SessionIndex", self.session_index.as_deref()),
            attribute("SessionNotOnOrAfter", self.session_ends_at.as_deref()),
        )
    }
}

/// `Attribute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// `Name`.
    pub name: Option<String>,
    /// `FriendlyName`.
    pub friendly_name: Option<String>,
    /// `NameFormat`.
    pub name_format: Option<String>,
    /// The texts of its values.
    pub values: Vec<String>,
}

impl Attribute {
    fn to_xml(&self, typed: bool) -> String {
        let kind = if typed {
            format!(" xmlns:xsi=\"{XSI}\" xsi:type=\"xs:string\"")
        } else {
            String::new()
        };
        let value = |text: &String| {
            format!(
                "<saml:AttributeValue{kind}>{}</saml:AttributeValue>",
                escape(text)
            )
        };
        format!(
            "<saml:Attribute{}{}{}>{}</saml:Attribute>",
            attribute("FriendlyName", self.friendly_name.as_deref()),
            attribute("Name", self.name.as_deref()),
            attribute("NameFormat", self.name_format.as_deref()),
            self.values.iter().map(value).collect::<String>()
        )
    }
}

/// `Assertion`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// `ID`.
    pub id: Option<String>,
    /// `Version`.
    pub version: Option<String>,
    /// `IssueInstant`.
    pub issue_instant: Option<String>,
    /// `Issuer`.
    pub issuer: Option<String>,
    /// `Format` of the issuer.
    pub issuer_format: Option<String>,
    /// `NameID`s of the subject; one is right.
    pub name_ids: Vec<NameId>,
    /// Encrypts the name IDs.
    pub name_id_encryption: Option<Encryption>,
    /// Whether there is a `Subject`.
    pub has_subject: bool,
    /// `SubjectConfirmation`s.
    pub confirmations: Vec<Confirmation>,
    /// `Conditions`.
    pub conditions: Option<Conditions>,
    /// `AuthnStatement`s.
    pub authn: Vec<AuthnStatement>,
    /// Attributes of the one statement, which is there if there are any.
    pub attributes: Vec<Attribute>,
    /// Whether values say `xsi:type="xs:string"`; the message then declares `xs` at its root.
    pub typed_values: bool,
    /// What is put in besides.
    pub raw: Raw,
}

impl Assertion {
    /// A good one for the person `ann`, valid for five minutes.
    pub fn new(idp: &str, sp: &str, acs: &str, in_response_to: &str, now: Timestamp) -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            id: Some(fresh_id()),
            version: text("2.0"),
            issue_instant: Some(at(now, 0)),
            issuer: text(idp),
            issuer_format: None,
            name_ids: vec![NameId::new("ann-0001", PERSISTENT)],
            name_id_encryption: None,
            has_subject: true,
            confirmations: vec![Confirmation {
                method: text(BEARER),
                address: None,
                in_response_to: text(in_response_to),
                not_before: None,
                not_on_or_after: Some(at(now, 300)),
                recipient: text(acs),
                has_data: true,
            }],
            conditions: Some(Conditions {
                not_before: Some(at(now, -30)),
                not_on_or_after: Some(at(now, 300)),
                audiences: vec![vec![sp.to_owned()]],
                one_time_use: false,
            }),
            authn: vec![AuthnStatement {
                instant: Some(at(now, -10)),
                session_index: Some(fresh_id()),
                session_ends_at: Some(at(now, 8 * 3600)),
                context: text(PASSWORD),
            }],
            attributes: Vec::new(),
            typed_values: false,
            raw: Raw::default(),
        }
    }

    /// Adds an attribute, known by its name alone.
    pub fn attribute(&mut self, name: &str, values: &[&str]) {
        self.attributes.push(Attribute {
            name: Some(name.to_owned()),
            friendly_name: None,
            name_format: None,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        });
    }

    /// Changes the name ID.
    pub fn name_id(&mut self, value: &str, format: &str) {
        self.name_ids = vec![NameId::new(value, format)];
    }

    /// The element in canonical form, without a signature.
    ///
    /// # Errors
    /// The name ID cannot be encrypted.
    pub fn to_xml(&self) -> Result<String, ForgeError> {
        let issuer = self.issuer.as_ref().map_or_else(String::new, |issuer| {
            let format = attribute("Format", self.issuer_format.as_deref());
            format!("<saml:Issuer{format}>{}</saml:Issuer>", escape(issuer))
        });
        let raw = &self.raw;
        let conditions = self
            .conditions
            .as_ref()
            .map_or_else(String::new, |c| c.to_xml(&raw.in_conditions));
        let authn: String = self
            .authn
            .iter()
            .map(|authn| authn.to_xml(&raw.in_authn_context))
            .collect();
        Ok(format!(
            "<saml:Assertion xmlns:saml=\"{SAML}\"{}{}{}>{issuer}{}{}{conditions}{}{authn}{}{}</saml:Assertion>",
            attribute("ID", self.id.as_deref()),
            attribute("IssueInstant", self.issue_instant.as_deref()),
            attribute("Version", self.version.as_deref()),
            raw.before_subject,
            self.subject()?,
            raw.advice,
            self.attribute_statement(),
            raw.at_end,
        ))
    }

    fn subject(&self) -> Result<String, ForgeError> {
        if !self.has_subject {
            return Ok(String::new());
        }
        let mut text = String::from("<saml:Subject>");
        for name_id in &self.name_ids {
            text.push_str(&match &self.name_id_encryption {
                None => name_id.to_xml(true),
                Some(by) => by
                    .encrypt(&name_id.to_xml(false))?
                    .element("EncryptedID", true),
            });
        }
        for confirmation in &self.confirmations {
            text.push_str(&confirmation.to_xml(&self.raw.in_confirmation_data));
        }
        text.push_str(&self.raw.in_subject);
        text.push_str("</saml:Subject>");
        Ok(text)
    }

    fn attribute_statement(&self) -> String {
        if self.attributes.is_empty() && self.raw.in_attributes.is_empty() {
            return String::new();
        }
        let attributes = self.attributes.iter();
        format!(
            "<saml:AttributeStatement>{}{}</saml:AttributeStatement>",
            attributes
                .map(|attribute| attribute.to_xml(self.typed_values))
                .collect::<String>(),
            self.raw.in_attributes
        )
    }
}
