//! The IdP's metadata, read strictly.

use std::time::Duration;

use jiff::Timestamp;
use url::{Host, Url};

use super::entity;
use crate::certificate::Certificate;
use crate::config::SamlBinding;
use crate::idp::saml::signature::{self, SignatureError};
use crate::idp::saml::xml::{self, Document, Limits};

/// How a message reaches an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// HTTP Redirect.
    Redirect,
    /// HTTP POST.
    Post,
}

/// An endpoint of the IdP: https, or http on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its binding.
    pub binding: Binding,
    /// `Location`.
    pub location: Url,
    /// `ResponseLocation`, else `location`.
    pub response_location: Url,
}

/// What usher needs of an IdP.
#[derive(Clone, Debug)]
pub struct IdpMetadata {
    /// `entityID`.
    pub entity_id: String,
    /// `SingleSignOnService` with a binding that usher speaks; never empty.
    pub sso: Vec<Endpoint>,
    /// `SingleLogoutService`.
    pub slo: Vec<Endpoint>,
    /// Signing certificates (`use="signing"` or without `use`); never empty.
    pub certificates: Vec<Certificate>,
    /// `WantAuthnRequestsSigned`.
    pub wants_signed_requests: bool,
    /// `NameIDFormat`s that it lists.
    pub name_id_formats: Vec<String>,
    /// The earliest `validUntil` on the way to the entity.
    pub valid_until: Option<Timestamp>,
    /// The shortest `cacheDuration` on the way to the entity.
    pub cache_for: Option<Duration>,
    /// What stands in the document and is not used, with the reason: for the log and `usher check`.
    pub skipped: Vec<String>,
}

impl IdpMetadata {
    /// The SSO endpoint with that binding, else one with the other.
    pub fn sso(&self, wanted: Binding) -> Option<&Endpoint> {
        endpoint(&self.sso, wanted)
    }

    /// The SLO endpoint with that binding, else one with the other; none: the IdP has no single logout.
    pub fn slo(&self, wanted: Binding) -> Option<&Endpoint> {
        endpoint(&self.slo, wanted)
    }
}

fn endpoint(endpoints: &[Endpoint], wanted: Binding) -> Option<&Endpoint> {
    endpoints
        .iter()
        .find(|endpoint| endpoint.binding == wanted)
        .or(endpoints.first())
}

impl From<SamlBinding> for Binding {
    fn from(binding: SamlBinding) -> Self {
        match binding {
            SamlBinding::Redirect => Self::Redirect,
            SamlBinding::Post => Self::Post,
        }
    }
}

/// What a metadata document must be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Which entity; none: the only IdP in it.
    pub entity_id: Option<&'a str>,
    /// If not empty, the root must be signed by one of these.
    pub signed_by: &'a [Certificate],
    /// Now, for `validUntil`.
    pub now: Timestamp,
}

/// Reads a metadata document. If it must be signed, everything is read from the signed octets, which are parsed anew.
///
/// # Errors
/// A sentence for the log and `usher check`: what is wrong with it and what to do.
pub fn read(xml: &[u8], wanted: &Wanted<'_>) -> Result<IdpMetadata, String> {
    let document = parse(xml)?;
    let root = document.root_element();
    if wanted.signed_by.is_empty() {
        return entity::read(root, wanted);
    }
    let refused = |why: SignatureError| format!("the signature of the metadata: {why}");
    let signature = signature::of(root).map_err(refused)?.ok_or(
        "the metadata is not signed: remove `metadata_certificates`, or take the signed document",
    )?;
    let signed = signature::verify_enveloped(root, signature, wanted.signed_by, wanted.now)
        .map_err(refused)?;
    let document = parse(signed.as_bytes())?;
    entity::read(document.root_element(), wanted)
}

fn parse(xml: &[u8]) -> Result<Document<'_>, String> {
    let start = xml.trim_ascii_start();
    let html = [&b"<!doctype html"[..], b"<html"].iter().any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(tag))
    });
    if html {
        return Err("it is an HTML page, not SAML metadata".to_owned());
    }
    xml::parse(xml, &Limits::METADATA).map_err(|error| format!("it is no SAML metadata: {error}"))
}

/// Whether a browser may be sent there: https, or http that never leaves the machine; no user name and no fragment.
///
/// # Errors
/// What is wrong with it.
pub fn check_location(url: &Url) -> Result<(), &'static str> {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("has no host"),
    };
    if url.scheme() != "https" && !(local && url.scheme() == "http") {
        return Err("is not https");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("has a user name or a fragment");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
