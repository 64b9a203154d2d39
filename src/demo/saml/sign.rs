//! Enveloped XML signatures, written in canonical form.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::assertion::escape_attribute;
use super::keys::{Digest, SignatureAlgorithm, TestKey};
use super::{DS, ENVELOPED, EXCLUSIVE, ForgeError};

/// What `KeyInfo` holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyInfo {
    /// There is none.
    Absent,
    /// The certificate of this key, whether it signed or not.
    Certificate(TestKey),
    /// These elements, in canonical form.
    Raw(String),
}

/// What the one `Reference` points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The element's own ID.
    Own,
    /// No `URI` attribute at all.
    Absent,
    /// This URI.
    Uri(String),
}

/// How something is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureOptions {
    /// Who signs.
    pub key: TestKey,
    /// `SignatureMethod`.
    pub algorithm: SignatureAlgorithm,
    /// `DigestMethod`.
    pub digest: Digest,
    /// `CanonicalizationMethod`; whatever it says, the text is signed as it stands.
    pub canonicalization: String,
    /// `PrefixList` of the canonicalization of `SignedInfo`.
    pub signed_info_prefixes: Option<String>,
    /// `ds:Transform` elements instead of the usual two.
    pub transforms: Option<Vec<String>>,
    /// `PrefixList` of the exclusive transform.
    pub prefixes: Option<String>,
    /// What is referred to.
    pub reference: Reference,
    /// `KeyInfo`.
    pub key_info: KeyInfo,
}

impl SignatureOptions {
    /// As IdPs usually sign: RSA with SHA-256, the certificate in `KeyInfo`.
    pub fn of(key: TestKey) -> Self {
        Self {
            key,
            algorithm: SignatureAlgorithm::RsaSha256,
            digest: Digest::Sha256,
            canonicalization: EXCLUSIVE.to_owned(),
            signed_info_prefixes: None,
            transforms: None,
            prefixes: None,
            reference: Reference::Own,
            key_info: KeyInfo::Certificate(key),
        }
    }

    /// With another algorithm.
    #[must_use]
    pub fn by(mut self, algorithm: SignatureAlgorithm, digest: Digest) -> Self {
        self.algorithm = algorithm;
        self.digest = digest;
        self
    }

    /// `SignedInfo` over an element with that ID, of which `canonical` is the canonical form. The text is canonical
    /// and declares `ds`.
    pub fn signed_info(&self, id: &str, canonical: &str) -> String {
        let reference = self.reference_element(id, canonical);
        self.signed_info_with(&reference)
    }

    /// `SignedInfo` with these `ds:Reference` elements.
    pub fn signed_info_with(&self, references: &str) -> String {
        format!(
            "<ds:SignedInfo xmlns:ds=\"{DS}\">\
             <ds:CanonicalizationMethod Algorithm=\"{}\">{}</ds:CanonicalizationMethod>\
             <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod>{references}</ds:SignedInfo>",
            escape_attribute(&self.canonicalization),
            inclusive(self.signed_info_prefixes.as_deref()),
            self.algorithm.uri(),
        )
    }

    /// The `ds:Reference` to an element.
    pub fn reference_element(&self, id: &str, canonical: &str) -> String {
        let uri = match &self.reference {
            Reference::Own => format!(" URI=\"#{}\"", escape_attribute(id)),
            Reference::Absent => String::new(),
            Reference::Uri(uri) => format!(" URI=\"{}\"", escape_attribute(uri)),
        };
        let usual = || vec![enveloped(), exclusive(self.prefixes.as_deref())];
        let transforms = self.transforms.clone().unwrap_or_else(usual).concat();
        let digest = STANDARD.encode(self.digest.of(canonical.as_bytes()));
        format!(
            "<ds:Reference{uri}><ds:Transforms>{transforms}</ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod>\
             <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>",
            self.digest.uri(),
        )
    }

    /// The whole `ds:Signature` around a `SignedInfo` that is signed as it stands.
    ///
    /// # Errors
    /// The key does not sign by that algorithm.
    pub fn over(&self, signed_info: &str) -> Result<String, ForgeError> {
        // What the reader gets has no `ds` declaration of its own: it inherits that of the signature.
        let value = self.key.sign(self.algorithm, signed_info.as_bytes())?;
        let inner = signed_info.replacen(&format!(" xmlns:ds=\"{DS}\""), "", 1);
        let mut text = format!(
            "<ds:Signature xmlns:ds=\"{DS}\">{inner}<ds:SignatureValue>{}</ds:SignatureValue>",
            STANDARD.encode(value)
        );
        let key_info = match &self.key_info {
            KeyInfo::Absent => None,
            KeyInfo::Certificate(key) => Some(format!(
                "<ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data>",
                key.certificate_base64()
            )),
            KeyInfo::Raw(raw) => Some(raw.clone()),
        };
        if let Some(key_info) = key_info {
            // Writing to a string does not fail.
            let _ = write!(text, "<ds:KeyInfo>{key_info}</ds:KeyInfo>");
        }
        text.push_str("</ds:Signature>");
        Ok(text)
    }

    /// The signature of an element: its ID, and its canonical form without the signature. With prefix lists that form
    /// has to have the declarations that they name, and `SignedInfo` gets that of `xs`.
    ///
    /// # Errors
    /// The key does not sign by that algorithm.
    pub fn sign(&self, id: &str, canonical: &str) -> Result<String, ForgeError> {
        let plain = self.signed_info(id, canonical);
        if self.signed_info_prefixes.is_none() {
            return self.over(&plain);
        }
        let declared = format!(" xmlns:xs=\"{}\"", super::answer::XS);
        let end = plain.find('>').unwrap_or_default();
        let mut canonical_info = plain.clone();
        canonical_info.insert_str(end, &declared);
        let signature = self.over(&canonical_info)?;
        // The reader inherits it.
        Ok(signature.replacen(&declared, "", 1))
    }
}

/// The enveloped-signature transform.
pub(super) fn enveloped() -> String {
    format!("<ds:Transform Algorithm=\"{ENVELOPED}\"></ds:Transform>")
}

/// The exclusive transform with a prefix list.
pub(super) fn exclusive(prefixes: Option<&str>) -> String {
    format!(
        "<ds:Transform Algorithm=\"{EXCLUSIVE}\">{}</ds:Transform>",
        inclusive(prefixes)
    )
}

fn inclusive(prefixes: Option<&str>) -> String {
    prefixes.map_or_else(String::new, |prefixes| {
        format!(
            "<ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"{}\"></ec:InclusiveNamespaces>",
            escape_attribute(prefixes)
        )
    })
}

/// `element` with `more` after its first `saml:Issuer`, where a signature belongs; without an issuer, as its first child.
pub fn insert_after_issuer(element: &str, more: &str) -> String {
    match element.split_once("</saml:Issuer>") {
        Some((before, after)) => format!("{before}</saml:Issuer>{more}{after}"),
        None => insert_first(element, more),
    }
}

/// `element` with `more` as its first child.
pub fn insert_first(element: &str, more: &str) -> String {
    match element.split_once('>') {
        Some((before, after)) => format!("{before}>{more}{after}"),
        None => element.to_owned(),
    }
}
