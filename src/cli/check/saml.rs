//! A SAML identity provider: its metadata, certificates and clock, and what it must know of usher.

use std::time::Instant;

use bytes::Bytes;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::idp::{WITHIN, clock, get};
use super::{Lines, reach};
use crate::certificate::Certificate;
use crate::config::{
    Config, Idp, IdpProtocol, NameIdFormat, SamlConfig, SamlPreset, SamlSource, StoreConfig,
};
use crate::idp::saml::metadata::IdpMetadata;
use crate::idp::saml::metadata::expiry::WARN_BEFORE;
use crate::idp::saml::metadata::idp::{Binding, Wanted, read};
use crate::idp::saml::metadata::source::Source;
use crate::idp::saml::xml::Limits;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

const ACCEPT: &str =
    "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1";
/// Bytes of an answer of which only the `Date` counts.
const PAGE: usize = 1024 * 1024;

/// What must be entered at the IdP, or read there from usher's metadata.
pub(super) fn to_register(check: &str, idp: &Idp, config: &Config, lines: &mut Lines) {
    let entity_id = config.saml_entity_id(&idp.id);
    lines.note(check, format!("Entity ID (Audience) {entity_id}"));
    for site in config.sign_in_sites() {
        let base = format!(
            "{}{}/saml/{}",
            site.public_url.origin, config.prefix, idp.id
        );
        lines.note(check, format!("ACS URL (Reply URL) {base}/acs"));
        lines.note(check, format!("SLO URL {base}/slo"));
    }
    lines.note(
        check,
        format!("metadata URL, which has it all: {entity_id}"),
    );
    match config.saml_keys.first() {
        Some(pair) => lines.note(
            check,
            format!(
                "certificate {}; `usher saml keys list --pem` prints it",
                pair.certificate.fingerprint()
            ),
        ),
        None => lines.note(
            check,
            "certificate: `usher saml keys list --pem` prints it after the first start",
        ),
    }
}

/// The keys of the service provider.
pub(super) fn keys(config: &Config, now: Timestamp, lines: &mut Lines) {
    let wanted = |idp: &Idp| matches!(idp.protocol, IdpProtocol::Saml(_));
    if !config.idps.iter().any(|idp| wanted(idp)) {
        return;
    }
    let check = "SAML keys";
    match (config.saml_keys.as_slice(), &config.store) {
        ([], StoreConfig::Memory) => lines.warn(
            check,
            "made anew at each start, since the store is memory: IdPs that know the certificate refuse requests after a restart; set `keys.saml`",
        ),
        ([], StoreConfig::Sqlite(_)) => lines.fine(check, "made by usher, kept in the store"),
        (pairs, _) => certificates(check, pairs.iter().map(|pair| &pair.certificate), now, lines),
    }
}

/// Everything about one.
pub(super) async fn check(
    check: &str,
    (idp, saml): (&Idp, &SamlConfig),
    outbound: &Outbound,
    now: Timestamp,
    lines: &mut Lines,
) -> Result<(), String> {
    let metadata = match &saml.source {
        SamlSource::Url { url, entity_id } => {
            fetched(check, url, entity_id.as_deref(), saml, outbound, now, lines).await?
        }
        SamlSource::File { path, .. } => {
            let metadata = local(idp, saml, outbound, now)?;
            lines.fine(check, format!("metadata: {}", path.display()));
            metadata
        }
        SamlSource::Given { .. } => local(idp, saml, outbound, now)?,
    };
    let metadata = &metadata;
    lines.fine(check, format!("entity ID {}", metadata.entity_id));
    for why in &metadata.skipped {
        lines.warn(check, format!("not used: {why}"));
    }
    endpoints(check, saml, metadata, lines);
    certificates(check, &metadata.certificates, now, lines);
    valid_until(check, metadata, now, lines);
    requests(check, saml, metadata, lines);
    name_ids(check, saml, metadata, lines);
    if !matches!(saml.source, SamlSource::Url { .. })
        && let Some(endpoint) = metadata.sso(saml.binding.into())
    {
        clock_of(check, &endpoint.location, outbound, now, lines).await;
    }
    Ok(())
}

/// What the config or a file says, as usher takes it at its start.
fn local(
    idp: &Idp,
    saml: &SamlConfig,
    outbound: &Outbound,
    now: Timestamp,
) -> Result<IdpMetadata, String> {
    let source = Source::new(
        &idp.id,
        saml,
        outbound.clone(),
        Metrics::default().into(),
        now,
    )?;
    let known = source.known().ok_or("there is no metadata")?;
    Ok(IdpMetadata::clone(&known))
}

async fn fetched(
    check: &str,
    url: &Url,
    entity_id: Option<&str>,
    saml: &SamlConfig,
    outbound: &Outbound,
    now: Timestamp,
    lines: &mut Lines,
) -> Result<IdpMetadata, String> {
    let host = url.host_str().unwrap_or_default();
    reach::dns(host, url.port_or_known_default().unwrap_or(443)).await?;
    lines.fine(check, format!("{host} is in DNS"));
    let asked = Instant::now();
    let answer = get(url.as_str(), ACCEPT, Limits::METADATA.bytes, outbound).await?;
    clock(check, &answer.headers, now, asked.elapsed(), lines);
    let wanted = Wanted {
        entity_id,
        signed_by: &saml.metadata_certificates,
        now,
    };
    let metadata = read(&answer.body, &wanted).map_err(|why| format!("{url}: {why}"))?;
    lines.fine(check, format!("metadata: {url}"));
    if !saml.metadata_certificates.is_empty() {
        lines.fine(
            check,
            "the metadata is signed by one of `metadata_certificates`",
        );
    }
    Ok(metadata)
}

fn endpoints(check: &str, saml: &SamlConfig, metadata: &IdpMetadata, lines: &mut Lines) {
    let wanted = Binding::from(saml.binding);
    if let Some(endpoint) = metadata.sso(wanted) {
        let (name, url) = (name(endpoint.binding), &endpoint.location);
        if endpoint.binding == wanted {
            lines.fine(check, format!("single sign-on by {name}: {url}"));
        } else {
            lines.warn(
                check,
                format!("single sign-on by {name} alone: {url}; write `binding: {name}`"),
            );
        }
    }
    match metadata.slo(wanted) {
        Some(endpoint) => {
            let (name, url) = (name(endpoint.binding), &endpoint.location);
            lines.fine(check, format!("single logout by {name}: {url}"));
        }
        None => lines.note(
            check,
            "it has no single logout: signing out ends the session here, not there",
        ),
    }
}

fn name(binding: Binding) -> &'static str {
    match binding {
        Binding::Redirect => "redirect",
        Binding::Post => "post",
    }
}

/// Subject, fingerprint and end of each. One that has expired beside another that has not is left over from a rollover.
fn certificates<'a>(
    check: &str,
    all: impl IntoIterator<Item = &'a Certificate> + Clone,
    now: Timestamp,
    lines: &mut Lines,
) {
    let lasts = |one: &Certificate| one.not_before() <= now && now < one.not_after();
    let some_lasts = all.clone().into_iter().any(lasts);
    for one in all {
        let subject = X509Certificate::from_der(one.der())
            .map(|(_, parsed)| parsed.subject().to_string())
            .unwrap_or_default();
        let (from, until) = (one.not_before(), one.not_after());
        let name = format!("certificate {subject:?} {}", one.fingerprint());
        let what = if until <= now {
            format!("{name} has expired at {until}")
        } else if now < from {
            format!("{name} is valid from {from} only")
        } else if until.duration_since(now) <= WARN_BEFORE {
            format!("{name} expires soon, at {until}")
        } else {
            lines.fine(check, format!("{name} is valid until {until}"));
            continue;
        };
        if some_lasts {
            lines.warn(check, what);
        } else {
            lines.fail(check, what);
        }
    }
}

/// The end of the metadata itself: one that is fetched is renewed by then.
fn valid_until(check: &str, metadata: &IdpMetadata, now: Timestamp, lines: &mut Lines) {
    let Some(until) = metadata.valid_until else {
        return;
    };
    let soon = SignedDuration::from_hours(24);
    if until.duration_since(now) <= soon {
        lines.warn(check, format!("its metadata is valid until {until} only"));
    } else {
        lines.fine(check, format!("its metadata is valid until {until}"));
    }
}

fn requests(check: &str, saml: &SamlConfig, metadata: &IdpMetadata, lines: &mut Lines) {
    match (metadata.wants_signed_requests, saml.sign_requests) {
        (true, false) => lines.warn(
            check,
            "it wants signed requests (WantAuthnRequestsSigned): they are signed, although `sign_requests` is false",
        ),
        (true | false, true) => lines.fine(check, "requests are signed"),
        (false, false) => lines.note(check, "requests are not signed"),
    }
}

/// Whether the NameID that comes is one that names the same person next year.
fn name_ids(check: &str, saml: &SamlConfig, metadata: &IdpMetadata, lines: &mut Lines) {
    let attributes = &saml.attributes;
    if let Some(format) = saml.name_id_format
        && !metadata.name_id_formats.is_empty()
        && !metadata
            .name_id_formats
            .iter()
            .any(|listed| listed == format.uri())
    {
        lines.warn(
            check,
            format!("it does not list the NameID format {}", format.uri()),
        );
    }
    if attributes.subject.is_some() {
        return;
    }
    let only = |format: NameIdFormat| matches!(metadata.name_id_formats.as_slice(), [one] if one == format.uri());
    let usual = match attributes.preset {
        SamlPreset::Entra | SamlPreset::Okta | SamlPreset::Google => saml.name_id_format.is_none(),
        SamlPreset::Usual
        | SamlPreset::Keycloak
        | SamlPreset::Oracle
        | SamlPreset::Adfs
        | SamlPreset::Shibboleth => false,
    };
    match saml.name_id_format {
        Some(NameIdFormat::Transient) => lines.fail(
            check,
            "transient NameIDs name nobody at the next sign-in: set `subject` to an attribute that does",
        ),
        Some(NameIdFormat::Email) => lines.warn(check, REASSIGNED),
        None if only(NameIdFormat::Transient) => lines.fail(
            check,
            "its NameIDs are transient and name nobody at the next sign-in: set `subject` to an attribute that does",
        ),
        None if usual || only(NameIdFormat::Email) => lines.warn(check, REASSIGNED),
        None | Some(NameIdFormat::Persistent | NameIdFormat::Unspecified) => {}
    }
}

const REASSIGNED: &str = "its NameIDs are e-mail addresses, as is usual there: whoever gets the address of somebody else, or has it after a change, is taken for them; persistent NameIDs or `subject` with an employee number are safer";

/// Compares clocks by whatever the IdP answers. Browsers must reach it, usher need not.
async fn clock_of(check: &str, url: &Url, outbound: &Outbound, now: Timestamp, lines: &mut Lines) {
    let asked = Instant::now();
    let answer = match Request::get(url.as_str()).body(Bytes::new()) {
        Ok(request) => outbound.send(request, PAGE, WITHIN).await,
        Err(error) => return lines.fail(check, format!("{url}: {error}")),
    };
    match answer {
        Ok(answer) => clock(check, &answer.headers, now, asked.elapsed(), lines),
        Err(error) => lines.warn(
            check,
            format!("{url}: {error} (from here), so the clocks were not compared"),
        ),
    }
}
