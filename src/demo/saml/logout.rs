//! `LogoutRequest` and `LogoutResponse` with a knob for each field, written in canonical form.

use jiff::Timestamp;

use super::answer::status;
use super::assertion::{NameId, attribute, escape};
use super::encrypt::Encryption;
use super::sign::{SignatureOptions, insert_after_issuer};
use super::{ForgeError, SAML, SAMLP, SUCCESS, at, fresh_id};

fn issuer_element(issuer: Option<&str>) -> String {
    issuer.map_or_else(String::new, |issuer| {
        format!(
            "<saml:Issuer xmlns:saml=\"{SAML}\">{}</saml:Issuer>",
            escape(issuer)
        )
    })
}

fn enveloped(
    canonical: String,
    id: Option<&str>,
    by: Option<&SignatureOptions>,
) -> Result<String, ForgeError> {
    let Some(by) = by else { return Ok(canonical) };
    let signature = by.sign(id.unwrap_or_default(), &canonical)?;
    Ok(insert_after_issuer(&canonical, &signature))
}

/// `LogoutRequest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutRequest {
    /// `ID`.
    pub id: Option<String>,
    /// `Version`.
    pub version: Option<String>,
    /// `IssueInstant`.
    pub issue_instant: Option<String>,
    /// `NotOnOrAfter`.
    pub not_on_or_after: Option<String>,
    /// `Destination`.
    pub destination: Option<String>,
    /// `Reason`.
    pub reason: Option<String>,
    /// `Issuer`.
    pub issuer: Option<String>,
    /// `NameID`s; one is right.
    pub name_ids: Vec<NameId>,
    /// Encrypts the name IDs.
    pub name_id_encryption: Option<Encryption>,
    /// `SessionIndex`es.
    pub session_indexes: Vec<String>,
    /// Canonical XML before the name ID: where `Extensions` stands.
    pub raw_before: String,
    /// Canonical XML at the end.
    pub raw_after: String,
    /// The enveloped signature (POST binding).
    pub signature: Option<SignatureOptions>,
}

impl LogoutRequest {
    /// A good one: who issues it, where it goes, whom it is about. It is not signed.
    pub fn new(
        idp: &str,
        slo: &str,
        name_id: &NameId,
        session_index: Option<&str>,
        now: Timestamp,
    ) -> Self {
        Self {
            id: Some(fresh_id()),
            version: Some("2.0".to_owned()),
            issue_instant: Some(at(now, 0)),
            not_on_or_after: Some(at(now, 300)),
            destination: Some(slo.to_owned()),
            reason: None,
            issuer: Some(idp.to_owned()),
            name_ids: vec![name_id.clone()],
            name_id_encryption: None,
            session_indexes: session_index.map(str::to_owned).into_iter().collect(),
            raw_before: String::new(),
            raw_after: String::new(),
            signature: None,
        }
    }

    /// The request as XML.
    ///
    /// # Errors
    /// A key does not fit its algorithm.
    pub fn to_xml(&self) -> Result<String, ForgeError> {
        let mut names = String::new();
        for name_id in &self.name_ids {
            let plain = name_id.to_xml(false);
            names.push_str(&match &self.name_id_encryption {
                None => plain,
                Some(by) => by.encrypt(&plain)?.element("EncryptedID", false),
            });
        }
        let index =
            |index: &String| format!("<samlp:SessionIndex>{}</samlp:SessionIndex>", escape(index));
        let canonical = format!(
            "<samlp:LogoutRequest xmlns:samlp=\"{SAMLP}\"{}{}{}{}{}{}>{}{}{names}{}{}</samlp:LogoutRequest>",
            attribute("Destination", self.destination.as_deref()),
            attribute("ID", self.id.as_deref()),
            attribute("IssueInstant", self.issue_instant.as_deref()),
            attribute("NotOnOrAfter", self.not_on_or_after.as_deref()),
            attribute("Reason", self.reason.as_deref()),
            attribute("Version", self.version.as_deref()),
            issuer_element(self.issuer.as_deref()),
            self.raw_before,
            self.session_indexes.iter().map(index).collect::<String>(),
            self.raw_after,
        );
        enveloped(canonical, self.id.as_deref(), self.signature.as_ref())
    }
}

/// `LogoutResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutResponse {
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
    /// Canonical XML before the status.
    pub raw_before: String,
    /// The enveloped signature (POST binding).
    pub signature: Option<SignatureOptions>,
}

impl LogoutResponse {
    /// A good one to the request with that ID. It is not signed.
    pub fn new(idp: &str, slo: &str, in_response_to: &str, now: Timestamp) -> Self {
        Self {
            id: Some(fresh_id()),
            version: Some("2.0".to_owned()),
            issue_instant: Some(at(now, 0)),
            destination: Some(slo.to_owned()),
            in_response_to: Some(in_response_to.to_owned()),
            issuer: Some(idp.to_owned()),
            status: Some(SUCCESS.to_owned()),
            sub_status: None,
            raw_before: String::new(),
            signature: None,
        }
    }

    /// The response as XML.
    ///
    /// # Errors
    /// The key does not fit the algorithm.
    pub fn to_xml(&self) -> Result<String, ForgeError> {
        let canonical = format!(
            "<samlp:LogoutResponse xmlns:samlp=\"{SAMLP}\"{}{}{}{}{}>{}{}{}</samlp:LogoutResponse>",
            attribute("Destination", self.destination.as_deref()),
            attribute("ID", self.id.as_deref()),
            attribute("InResponseTo", self.in_response_to.as_deref()),
            attribute("IssueInstant", self.issue_instant.as_deref()),
            attribute("Version", self.version.as_deref()),
            issuer_element(self.issuer.as_deref()),
            self.raw_before,
            status(self.status.as_deref(), self.sub_status.as_deref(), None, ""),
        );
        enveloped(canonical, self.id.as_deref(), self.signature.as_ref())
    }
}
