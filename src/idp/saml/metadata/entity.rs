//! Finds the IdP in a metadata document and reads its role (SAML Metadata 2.3 and 2.4).

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::temporal::SpanParser;
use url::Url;

use super::idp::{Binding, Endpoint, IdpMetadata, Wanted, check_location};
use super::shown;
use crate::certificate::Certificate;
use crate::idp::saml::xml::{self, DSIG, METADATA, Node, PROTOCOL, time};

/// Signing certificates of one IdP; each may cost a verification.
const CERTIFICATES: usize = 16;
/// Bytes of an entity ID (Metadata 2.2.1).
const ENTITY_ID: usize = 1024;
/// Entity IDs that an error names.
const NAMED: usize = 5;

/// Reads the wanted IdP below `root`.
pub(super) fn read(root: Node<'_, '_>, wanted: &Wanted<'_>) -> Result<IdpMetadata, String> {
    let mut entities = Vec::new();
    gather(root, &mut entities);
    if entities.is_empty() {
        return Err(format!(
            "its root is {}, not EntityDescriptor or EntitiesDescriptor of SAML 2.0 metadata",
            shown(root.tag_name().name())
        ));
    }
    let entity = choose(&entities, wanted.entity_id)?;
    let entity_id = entity_id(entity)?;
    let role = role(entity)?.ok_or_else(|| no_idp(entity, entity_id))?;
    let mut skipped = Vec::new();
    let (valid_until, cache_for) = lifetime(role, wanted.now, &mut skipped)?;
    let sso = endpoints(role, "SingleSignOnService", &mut skipped);
    if sso.is_empty() {
        return Err(unusable(
            entity_id,
            "no SingleSignOnService with HTTP-Redirect or HTTP-POST",
            &skipped,
        ));
    }
    let certificates = certificates(role, &mut skipped);
    if certificates.is_empty() {
        return Err(unusable(entity_id, "no signing certificate", &skipped));
    }
    Ok(IdpMetadata {
        entity_id: entity_id.to_owned(),
        sso,
        slo: endpoints(role, "SingleLogoutService", &mut skipped),
        certificates,
        wants_signed_requests: flag(role, "WantAuthnRequestsSigned")?,
        name_id_formats: elements(role, METADATA, "NameIDFormat")
            .filter_map(|format| xml::text(format).ok())
            .map(|text| text.trim().to_owned())
            .collect(),
        valid_until,
        cache_for,
        skipped,
    })
}

fn unusable(entity_id: &str, lacks: &str, skipped: &[String]) -> String {
    let mut text = format!("the IdP {entity_id} has {lacks} that can be used");
    for why in skipped {
        text.push_str("; ");
        text.push_str(why);
    }
    text
}

fn elements<'a, 'i>(
    node: Node<'a, 'i>,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| xml::is(*child, namespace, name))
}

/// Only the places of the schema count: an `EntityDescriptor` inside of `Extensions` is none of ours.
fn gather<'a, 'i>(node: Node<'a, 'i>, found: &mut Vec<Node<'a, 'i>>) {
    if xml::is(node, METADATA, "EntityDescriptor") {
        found.push(node);
    } else if xml::is(node, METADATA, "EntitiesDescriptor") {
        for child in node.children() {
            gather(child, found);
        }
    }
}

fn entity_id<'a>(entity: Node<'a, '_>) -> Result<&'a str, String> {
    let id = xml::attribute(entity, "entityID").map_err(|error| error.to_string())?;
    if id.is_empty() || id.len() > ENTITY_ID || id.chars().any(char::is_control) {
        return Err(format!(
            "an entityID is empty or has more than {ENTITY_ID} bytes"
        ));
    }
    Ok(id)
}

fn choose<'a, 'i>(entities: &[Node<'a, 'i>], wanted: Option<&str>) -> Result<Node<'a, 'i>, String> {
    let idps = || {
        entities
            .iter()
            .filter(|entity| matches!(role(**entity), Ok(Some(_)) | Err(_)))
    };
    let names = || {
        let mut names: Vec<_> = idps()
            .take(NAMED)
            .filter_map(|idp| entity_id(*idp).ok())
            .collect();
        if idps().nth(NAMED).is_some() {
            names.push("…");
        }
        names.join(", ")
    };
    let Some(wanted) = wanted else {
        let mut found = idps();
        return match (found.next(), found.next()) {
            (Some(idp), None) => Ok(*idp),
            (Some(_), Some(_)) => Err(format!(
                "it has {} IdPs: name one with `entity_id`: {}",
                idps().count(),
                names()
            )),
            (None, _) => match entities.first() {
                Some(entity) => Err(no_idp(*entity, entity_id(*entity)?)),
                None => Err("it has no EntityDescriptor".to_owned()),
            },
        };
    };
    let mut found = entities
        .iter()
        .filter(|entity| entity.attribute("entityID") == Some(wanted));
    match (found.next(), found.next()) {
        (Some(entity), None) => Ok(*entity),
        (Some(_), Some(_)) => Err(format!("the entity {wanted} is in it twice")),
        (None, _) => Err(format!(
            "the entity {wanted} is not in it; its IdPs: {}",
            names()
        )),
    }
}

/// The one `IDPSSODescriptor` that speaks SAML 2.0.
fn role<'a, 'i>(entity: Node<'a, 'i>) -> Result<Option<Node<'a, 'i>>, String> {
    let mut roles = elements(entity, METADATA, "IDPSSODescriptor").filter(|role| {
        role.attribute("protocolSupportEnumeration")
            .is_some_and(|all| all.split_ascii_whitespace().any(|name| name == PROTOCOL))
    });
    match (roles.next(), roles.next()) {
        (role, None) => Ok(role),
        (_, Some(_)) => Err(format!(
            "the entity {} has several IDPSSODescriptor of SAML 2.0",
            entity_id(entity)?
        )),
    }
}

fn no_idp(entity: Node<'_, '_>, entity_id: &str) -> String {
    let what = if elements(entity, METADATA, "SPSSODescriptor")
        .next()
        .is_some()
    {
        "a service provider, such as usher itself"
    } else {
        "no IdP of SAML 2.0"
    };
    format!("the entity {entity_id} is {what}: take the metadata that the IdP publishes")
}

/// The earliest `validUntil` and the shortest `cacheDuration` of the role and all that it stands in.
fn lifetime(
    role: Node<'_, '_>,
    now: Timestamp,
    skipped: &mut Vec<String>,
) -> Result<(Option<Timestamp>, Option<Duration>), String> {
    let mut valid_until: Option<Timestamp> = None;
    let mut cache_for: Option<Duration> = None;
    for node in role.ancestors() {
        if let Some(text) = node.attribute("validUntil") {
            let until = time::read(text)
                .ok_or_else(|| format!("its validUntil is no date of SAML: {}", shown(text)))?;
            if until <= now {
                return Err(format!("it was valid until {until} only: get a new one"));
            }
            valid_until = Some(valid_until.map_or(until, |known| known.min(until)));
        }
        if let Some(text) = node.attribute("cacheDuration") {
            match duration(text) {
                Some(time) => cache_for = Some(cache_for.map_or(time, |known| known.min(time))),
                None => skipped.push(format!("a cacheDuration is no duration: {}", shown(text))),
            }
        }
    }
    Ok((valid_until, cache_for))
}

/// `xs:duration` in whole seconds, with years of 365 days and months of 30: it says how long to keep a document, not when a
/// day is. Negative ones are none.
fn duration(text: &str) -> Option<Duration> {
    const DAY: i64 = 24 * 3600;
    let span = SpanParser::new().parse_span(text.trim()).ok()?;
    let days = i64::from(span.get_years()) * 365
        + i64::from(span.get_months()) * 30
        + i64::from(span.get_weeks()) * 7
        + i64::from(span.get_days());
    let seconds = days
        .checked_mul(DAY)?
        .checked_add(i64::from(span.get_hours()).checked_mul(3600)?)?
        .checked_add(span.get_minutes().checked_mul(60)?)?
        .checked_add(span.get_seconds())?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// `xs:boolean`; absent: false.
fn flag(node: Node<'_, '_>, name: &str) -> Result<bool, String> {
    match node.attribute(name).map(str::trim) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(format!("its {name} is neither true nor false")),
    }
}

/// Endpoints with the bindings that usher speaks. One that a browser must not be sent to is left out.
fn endpoints(role: Node<'_, '_>, name: &'static str, skipped: &mut Vec<String>) -> Vec<Endpoint> {
    let mut found = Vec::new();
    for node in elements(role, METADATA, name) {
        let binding = match node.attribute("Binding") {
            Some("urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect") => Binding::Redirect,
            Some("urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST") => Binding::Post,
            _ => continue,
        };
        let mut url = |attribute: &str| {
            let text = node.attribute(attribute)?;
            let url = Url::parse(text.trim()).map_err(|_| "is not a URL");
            match url.and_then(|url| check_location(&url).map(|()| url)) {
                Ok(url) => Some(url),
                Err(why) => {
                    let text = shown(text);
                    skipped.push(format!("{attribute} of a {name} {why}: {text}"));
                    None
                }
            }
        };
        let Some(location) = url("Location") else {
            continue;
        };
        let response_location = match node.attribute("ResponseLocation") {
            Some(_) => match url("ResponseLocation") {
                Some(url) => url,
                None => continue,
            },
            None => location.clone(),
        };
        found.push(Endpoint {
            binding,
            location,
            response_location,
        });
    }
    found
}

/// Signing certificates. Of several in one `X509Data` the first holds the key, and the others are its issuers: to take them for
/// keys would let a whole certificate authority sign people in.
fn certificates(role: Node<'_, '_>, skipped: &mut Vec<String>) -> Vec<Certificate> {
    let mut found: Vec<Certificate> = Vec::new();
    for descriptor in elements(role, METADATA, "KeyDescriptor") {
        match descriptor.attribute("use") {
            None | Some("signing") => {}
            Some("encryption") => continue,
            Some(other) => {
                let other = shown(other);
                skipped.push(format!("a KeyDescriptor has an unknown use: {other}"));
                continue;
            }
        }
        let mut leaves = elements(descriptor, DSIG, "KeyInfo")
            .flat_map(|info| elements(info, DSIG, "X509Data"))
            .filter_map(|data| {
                let mut all = elements(data, DSIG, "X509Certificate");
                Some((all.next()?, all.count()))
            })
            .peekable();
        if leaves.peek().is_none() {
            skipped.push("a KeyDescriptor has no X509Certificate".to_owned());
        }
        for (leaf, issuers) in leaves {
            if issuers > 0 {
                skipped.push(format!(
                    "behind a signing certificate stand {issuers} more, taken for its issuers"
                ));
            }
            let text = xml::text(leaf).map_err(|error| error.to_string());
            let read = text
                .and_then(|text| Certificate::from_text(&text).map_err(|error| error.to_string()));
            match read {
                Ok(certificate) if found.contains(&certificate) => {}
                Ok(_) if found.len() == CERTIFICATES => {
                    skipped.push(format!("there are more than {CERTIFICATES} certificates"));
                }
                Ok(certificate) => found.push(certificate),
                Err(why) => skipped.push(format!("a signing certificate: {why}")),
            }
        }
    }
    found
}
