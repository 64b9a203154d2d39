//! `saml` of an identity provider, and `keys.saml`.

use std::path::PathBuf;

use super::secrets::{Context, Found};
use super::urls;
use crate::certificate::{self, Certificate};
use crate::config::raw::{
    At, CertificateSource, List, RawIdp, RawKeys, RawNameIdFormat, RawSaml, RawSamlBinding,
    RawSamlKey, RawSamlPreset, Report, Text,
};
use crate::config::{
    NameIdFormat, SamlAttributes, SamlBinding, SamlConfig, SamlKeyPair, SamlPreset, SamlSource,
};

/// Longest entity ID, in characters (SAML Core 8.3.6).
const LONGEST_ENTITY_ID: usize = 1024;

/// `saml` of an IdP.
pub(super) fn saml(
    path: &str,
    idp: &At<RawIdp>,
    raw: &At<RawSaml>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<SamlConfig> {
    let source = source(path, raw, context, report);
    let signers = raw.metadata_certificates.as_ref();
    let signers_path = format!("{path}.metadata_certificates");
    let metadata_certificates = certificates(&signers_path, signers, context, report);
    let authn_context = authn_context(path, raw.authn_context.as_ref(), report);
    name_ids_last(path, raw, report);
    Some(SamlConfig {
        source: source?,
        metadata_certificates: metadata_certificates?,
        binding: match raw.binding.as_ref()?.value {
            RawSamlBinding::Redirect => SamlBinding::Redirect,
            RawSamlBinding::Post => SamlBinding::Post,
        },
        sign_requests: raw.sign_requests.as_ref()?.value,
        name_id_format: raw.name_id_format.as_ref().map(|at| format(at.value)),
        authn_context: authn_context?,
        force_authn: raw.force_authn.as_ref()?.value,
        max_age: raw.max_age.as_ref()?.0,
        is_passive: raw.is_passive.as_ref()?.value,
        idp_initiated: raw.idp_initiated.as_ref()?.value,
        attributes: attributes(idp, raw)?,
    })
}

fn format(raw: RawNameIdFormat) -> NameIdFormat {
    match raw {
        RawNameIdFormat::Persistent => NameIdFormat::Persistent,
        RawNameIdFormat::Email => NameIdFormat::Email,
        RawNameIdFormat::Transient => NameIdFormat::Transient,
        RawNameIdFormat::Unspecified => NameIdFormat::Unspecified,
    }
}

/// A transient NameID is another one each time (SAML Core 8.3.8): nobody could be known again by it.
fn name_ids_last(path: &str, raw: &RawSaml, report: &mut Report) {
    let Some(format) = &raw.name_id_format else {
        return;
    };
    if format.value == RawNameIdFormat::Transient && raw.subject.is_none() {
        report.add(
            format.place,
            format!("`{path}.name_id_format: transient` makes everybody new at each sign-in"),
            "write `persistent`, or name the attribute that stays: `subject: employeeNumber`",
        );
    }
}

/// Exactly one of the three ways to say where the IdP is.
fn source(
    path: &str,
    raw: &At<RawSaml>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<SamlSource> {
    let ways = [
        ("metadata_url", raw.metadata_url.as_ref()),
        ("metadata_file", raw.metadata_file.as_ref()),
        ("sso_url", raw.sso_url.as_ref()),
    ];
    let mut written = ways.iter().filter_map(|(key, at)| at.map(|at| (*key, at)));
    let Some((first, text)) = written.next() else {
        report.add(
            raw.place,
            format!("`{path}` does not say where the IdP is"),
            "add `metadata_url: …`, `metadata_file: …`, or `sso_url: …` with `entity_id` and `certificates`",
        );
        return None;
    };
    if let Some((second, at)) = written.next() {
        report.add(
            at.place,
            format!("`{path}` has both `{first}` and `{second}`"),
            "keep one of them: metadata says all that the other keys would",
        );
        return None;
    }
    let entity_id = raw.entity_id.as_ref();
    let entity_id = entity_id.map(|text| self::entity_id(path, text, report));
    if first == "sso_url" {
        return given(path, raw, entity_id, text, context, report);
    }
    only_without_metadata(path, raw, first, report);
    let entity_id = entity_id.map_or(Some(None), |checked| checked.map(Some));
    if first == "metadata_url" {
        let url = urls::endpoint(&format!("{path}.metadata_url"), text, report);
        return Some(SamlSource::Url {
            url: url?,
            entity_id: entity_id?,
        });
    }
    let found = context.file(&format!("{path}.metadata_file"), text, report);
    found?;
    Some(SamlSource::File {
        path: PathBuf::from(&text.0),
        entity_id: entity_id?,
    })
}

/// The IdP as its admin page shows it.
fn given(
    path: &str,
    raw: &At<RawSaml>,
    entity_id: Option<Option<String>>,
    sso_url: &At<Text>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<SamlSource> {
    let sso_url = urls::endpoint(&format!("{path}.sso_url"), sso_url, report);
    let slo_url = raw.slo_url.as_ref();
    let slo_url = slo_url.map(|text| urls::endpoint(&format!("{path}.slo_url"), text, report));
    if entity_id.is_none() {
        report.add(
            raw.place,
            format!("`{path}.entity_id` is missing"),
            "add the IdP's entity ID (also called issuer) as its admin page shows it",
        );
    }
    if raw
        .certificates
        .as_ref()
        .is_none_or(|list| list.0.is_empty())
    {
        report.add(
            raw.place,
            format!("`{path}.certificates` is missing"),
            "add the IdP's signing certificate: without it, nothing that it says can be trusted",
        );
    }
    let certificates = raw.certificates.as_ref();
    let certificates = self::certificates(
        &format!("{path}.certificates"),
        certificates,
        context,
        report,
    );
    if let Some(signers) = &raw.metadata_certificates
        && !signers.0.is_empty()
    {
        report.add(
            signers.place,
            format!("`{path}.metadata_certificates` is never used with `sso_url`"),
            "remove it, or write `metadata_url` instead of `sso_url`",
        );
    }
    Some(SamlSource::Given {
        entity_id: entity_id??,
        sso_url: sso_url?,
        slo_url: slo_url.map_or(Some(None), |checked| checked.map(Some))?,
        certificates: certificates?,
    })
}

/// What the metadata says cannot stand beside it.
fn only_without_metadata(path: &str, raw: &RawSaml, metadata: &str, report: &mut Report) {
    let slo_url = raw.slo_url.as_ref().map(|at| ("slo_url", at.place));
    let certificates = raw.certificates.as_ref();
    let certificates = certificates.map(|at| ("certificates", at.place));
    for (key, place) in slo_url.into_iter().chain(certificates) {
        report.add(
            place,
            format!("`{path}.{key}` comes from `{metadata}`"),
            format!("remove `{key}`, or write `sso_url` instead of `{metadata}`"),
        );
    }
}

/// An entity ID stays exactly as written: it is compared character by character.
fn entity_id(path: &str, text: &At<Text>, report: &mut Report) -> Option<String> {
    let written = text.0.as_str();
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if written.chars().count() <= LONGEST_ENTITY_ID && !written.contains(odd) {
        return Some(written.to_owned());
    }
    report.add(
        text.place,
        format!("`{path}.entity_id` is not an entity ID"),
        "write the URI that the IdP calls entity ID or issuer: no spaces, at most 1024 characters",
    );
    None
}

fn authn_context(
    path: &str,
    raw: Option<&At<List<Text>>>,
    report: &mut Report,
) -> Option<Vec<String>> {
    let classes = raw?.value.0.iter().map(|text| {
        if !text.0.contains(char::is_whitespace) && text.0.contains(':') {
            return Some(text.0.clone());
        }
        report.add(
            text.place,
            format!("`{path}.authn_context`: `{}` is not a class", text.0),
            "write its URI, such as `urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport`",
        );
        None
    });
    let classes: Vec<_> = classes.collect();
    classes.into_iter().collect()
}

fn attributes(idp: &RawIdp, raw: &RawSaml) -> Option<SamlAttributes> {
    let names = idp.attributes.as_ref()?;
    let named = |text: &Option<At<Text>>| text.as_ref().map(|text| text.0.clone());
    let preset = match names.preset.as_ref().map(|at| at.value) {
        None | Some(RawSamlPreset::Usual) => SamlPreset::Usual,
        Some(RawSamlPreset::Entra) => SamlPreset::Entra,
        Some(RawSamlPreset::Okta) => SamlPreset::Okta,
        Some(RawSamlPreset::Google) => SamlPreset::Google,
        Some(RawSamlPreset::Keycloak) => SamlPreset::Keycloak,
        Some(RawSamlPreset::Oracle) => SamlPreset::Oracle,
        Some(RawSamlPreset::Adfs) => SamlPreset::Adfs,
        Some(RawSamlPreset::Shibboleth) => SamlPreset::Shibboleth,
    };
    Some(SamlAttributes {
        preset,
        email: named(&names.email),
        name: named(&names.name),
        given_name: named(&names.given_name),
        family_name: named(&names.family_name),
        groups: named(&names.groups),
        groups_separator: named(&names.groups_separator),
        username: named(&names.username),
        subject: named(&raw.subject),
    })
}

/// Certificates in their order; one that is not on this machine (offline) is left out.
fn certificates(
    path: &str,
    raw: Option<&At<List<CertificateSource>>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Vec<Certificate>> {
    let Some(raw) = raw else {
        return Some(Vec::new());
    };
    let read = raw.value.0.iter().enumerate();
    let read: Vec<_> = read
        .map(|(n, source)| certificate(&format!("{path}[{n}]"), source, context, report))
        .collect();
    let all: Option<Vec<_>> = read.into_iter().collect();
    Some(all?.into_iter().flatten().collect())
}

/// One certificate; the outer `None` after a problem, the inner one where it is not on this machine (offline).
fn certificate(
    path: &str,
    source: &At<CertificateSource>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<Certificate>> {
    let found = At {
        place: source.place,
        value: source.value.0.clone(),
    };
    let text = match context.find(path, &found, report)? {
        Found::Value(text) => text,
        Found::Elsewhere => return Some(None),
    };
    match Certificate::from_text(text.expose()) {
        Ok(certificate) => Some(Some(certificate)),
        Err(error) => {
            report.add(
                source.place,
                format!("`{path}` cannot be used: {error}"),
                "give one certificate, `-----BEGIN CERTIFICATE-----` and what follows, or its file: { file: idp.crt }",
            );
            None
        }
    }
}

/// `keys.saml`: each certificate with the key that belongs to it.
pub(super) fn keys(
    raw: Option<&At<RawKeys>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Vec<SamlKeyPair>> {
    let pairs = raw?.saml.as_ref()?.value.0.iter().enumerate();
    let pairs: Vec<_> = pairs
        .map(|(n, pair)| key_pair(&format!("keys.saml[{n}]"), pair, context, report))
        .collect();
    let all: Option<Vec<_>> = pairs.into_iter().collect();
    Some(all?.into_iter().flatten().collect())
}

/// One pair; the inner `None` where a part of it is not on this machine (offline).
fn key_pair(
    path: &str,
    raw: &At<RawSamlKey>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<SamlKeyPair>> {
    let written = raw.certificate.as_ref();
    let certificate = written
        .and_then(|source| certificate(&format!("{path}.certificate"), source, context, report));
    let source = raw.key.as_ref();
    let key = source.and_then(|source| context.find(&format!("{path}.key"), source, report));
    let (Some(certificate), Found::Value(key)) = (certificate?, key?) else {
        return Some(None);
    };
    if let Err(error) = certificate::key_pair(&certificate, &key) {
        report.add(
            raw.place,
            format!("`{path}` cannot be used: {error}"),
            "give the certificate and its own key: `openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=usher -keyout sp.key -out sp.crt`",
        );
        return None;
    }
    Some(Some(SamlKeyPair { certificate, key }))
}
