//! `identity_providers`.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::EncodingKey;
use url::Url;

use super::secrets::{Context, Found};
use super::{directory, saml, urls};
use crate::config::raw::{
    At, List, RawAttributes, RawClientAuth, RawIdp, RawOidc, RawResponseMode, RawUserinfo, Report,
    Text,
};
use crate::config::{
    AttributePaths, ClientAuth, Idp, IdpProtocol, OidcConfig, ResponseMode, Userinfo,
};
use crate::identity::{IdpId, hash};
use crate::secret::Secret;

/// All IdPs, in the order of the file.
pub(super) fn idps(
    raw: Option<&At<List<RawIdp>>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Vec<Arc<Idp>>> {
    let raw = raw?;
    if raw.value.0.is_empty() {
        report.add(
            raw.place,
            "`identity_providers` is empty, so nobody can sign in",
            "add one with `id` and `oidc` or `saml`",
        );
    }
    unique_ids(
        "identity_providers",
        raw.value.0.iter().map(|idp| idp.id.as_ref()),
        report,
    );
    same_users(&raw.value.0, report);
    unique_domains(&raw.value.0, report);
    let idps: Vec<_> = raw
        .value
        .0
        .iter()
        .enumerate()
        .map(|(n, idp)| one(&format!("identity_providers[{n}]"), idp, context, report))
        .collect();
    idps.into_iter().map(|idp| idp.map(Arc::new)).collect()
}

/// Reports ids that stand twice.
pub(super) fn unique_ids<'a>(
    path: &str,
    ids: impl Iterator<Item = Option<&'a At<Text>>>,
    report: &mut Report,
) {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for id in ids.flatten() {
        if let Some(line) = known.get(id.0.as_str()) {
            report.add(
                id.place,
                format!("`{path}`: the id `{}` is here twice", id.0),
                format!("give it another id; the first is in line {line}"),
            );
        } else {
            known.insert(&id.0, id.place.line);
        }
    }
}

/// An id that can stand in URLs.
pub(super) fn id(path: &str, text: &At<Text>, report: &mut Report) -> Option<String> {
    let fits = text.0.len() <= 64
        && text
            .0
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits {
        return Some(text.0.clone());
    }
    let plain: String = text
        .0
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(64)
        .collect();
    report.add(
        text.place,
        format!("`{path}.id` cannot be `{}`", text.0),
        format!("use small letters, digits and `-`, at most 64: `{plain}`"),
    );
    None
}

fn one(
    path: &str,
    raw: &At<RawIdp>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Idp> {
    let id = raw.id.as_ref().and_then(|text| id(path, text, report));
    if let (Some("local"), Some(text)) = (id.as_deref(), &raw.id) {
        report.add(
            text.place,
            format!("`{path}.id` cannot be `local`: that is usher's own sign-in"),
            "give the IdP another id",
        );
    }
    let domains: Vec<_> = raw
        .email_domains
        .iter()
        .flat_map(|list| &list.value.0)
        .map(|text| urls::domain(&format!("{path}.email_domains"), text, report))
        .collect();
    let protocol = protocol(path, raw, context, report);
    let scim = directory::scim(path, raw.scim.as_ref(), context, report);
    let id = id?;
    let mut idp = Idp {
        label: raw
            .label
            .as_ref()
            .map_or_else(|| id.clone(), |label| label.0.clone()),
        id: IdpId::new(id),
        enabled: raw.enabled.as_ref()?.value,
        email_domains: domains.into_iter().collect::<Option<_>>()?,
        same_users_as: raw
            .same_users_as
            .as_ref()
            .map(|other| IdpId::new(other.0.as_str())),
        protocol: protocol?,
        scim: scim?,
        fingerprint: String::new(),
    };
    idp.fingerprint = hash(&format!("{idp:?}"));
    Some(idp)
}

/// Exactly one of `oidc` and `saml`.
fn protocol(
    path: &str,
    raw: &At<RawIdp>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<IdpProtocol> {
    let oidc = raw
        .oidc
        .as_ref()
        .map(|oidc| self::oidc(&format!("{path}.oidc"), raw, oidc, context, report));
    let saml = raw
        .saml
        .as_ref()
        .map(|saml| saml::saml(&format!("{path}.saml"), raw, saml, context, report));
    match (oidc, saml, &raw.saml) {
        (Some(oidc), None, _) => Some(IdpProtocol::Oidc(Arc::new(oidc?))),
        (None, Some(saml), _) => Some(IdpProtocol::Saml(Arc::new(saml?))),
        (Some(_), Some(_), Some(second)) => {
            report.add(
                second.place,
                format!("`{path}` has both `oidc` and `saml`"),
                "keep one here, and give the other an entry of its own, joined by `same_users_as`",
            );
            None
        }
        (None, None, _) | (Some(_), Some(_), None) => {
            report.add(
                raw.place,
                format!("`{path}` has neither `oidc` nor `saml`"),
                "add `oidc: { issuer: …, client_id: …, client_secret: … }` or `saml: { metadata_url: … }` here",
            );
            None
        }
    }
}

fn oidc(
    path: &str,
    idp: &At<RawIdp>,
    raw: &At<RawOidc>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<OidcConfig> {
    let issuer = raw
        .issuer
        .as_ref()
        .and_then(|text| issuer(path, text, report));
    let client_auth = client_auth(path, raw, context, report);
    let scopes = scopes(path, raw.scopes.as_ref(), report);
    let names = idp.attributes.as_ref()?;
    only_of_saml(names, report);
    Some(OidcConfig {
        issuer: issuer?,
        client_id: raw.client_id.as_ref()?.0.clone(),
        client_auth: client_auth?,
        response_mode: match raw.response_mode.as_ref()?.value {
            RawResponseMode::Query => ResponseMode::Query,
            RawResponseMode::FormPost => ResponseMode::FormPost,
        },
        scopes: scopes?,
        userinfo: match raw.userinfo.as_ref()?.value {
            RawUserinfo::WhenNeeded => Userinfo::WhenNeeded,
            RawUserinfo::Always => Userinfo::Always,
            RawUserinfo::Never => Userinfo::Never,
        },
        refresh_every: raw.refresh_every.as_ref().map(|period| period.0),
        allow_unverified_email: raw.allow_unverified_email.as_ref()?.value,
        attributes: attributes(names),
    })
}

/// An issuer stays exactly as written: it is compared byte by byte (OIDC Core 3.1.3.7).
fn issuer(path: &str, text: &At<Text>, report: &mut Report) -> Option<String> {
    let mut refuse = |what: &str, fix: &str| {
        report.add(text.place, format!("`{path}.issuer` {what}"), fix);
        None
    };
    let example = "write the `issuer` of the IdP's metadata, such as `https://login.acme.example`";
    let written = text.0.as_str();
    let Ok(url) = Url::parse(written) else {
        return refuse("is not a URL", example);
    };
    let Some(host) = url.host() else {
        return refuse("has no host", example);
    };
    match url.scheme() {
        "https" => {}
        "http" if urls::is_local(&host) => {}
        _ => return refuse("must be https (http only on localhost)", example),
    }
    if let Some(issuer) = written.strip_suffix("/.well-known/openid-configuration") {
        return refuse(
            "is the address of the metadata, not the issuer",
            &format!("write what its `issuer` says, most likely `{issuer}`"),
        );
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return refuse("must not have a query, fragment or user name", example);
    }
    let tenant = url.path_segments().and_then(|mut parts| parts.next());
    if url.host_str() == Some("login.microsoftonline.com")
        && matches!(tenant, Some("common" | "organizations" | "consumers"))
    {
        return refuse(
            "stands for many tenants, so it cannot be checked exactly",
            "write your tenant's: `https://login.microsoftonline.com/{tenant id}/v2.0`",
        );
    }
    Some(written.to_owned())
}

fn client_auth(
    path: &str,
    raw: &At<RawOidc>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<ClientAuth> {
    let auth = raw.client_auth.as_ref()?;
    let Some(source) = &raw.client_secret else {
        return match auth.value {
            RawClientAuth::None => Some(ClientAuth::None),
            RawClientAuth::Basic | RawClientAuth::Post | RawClientAuth::PrivateKeyJwt => {
                report.add(
                    raw.place,
                    format!("`{path}.client_secret` is missing"),
                    "add `client_secret: { env: NAME }`, or `client_auth: none` for a public client",
                );
                None
            }
        };
    };
    let path = format!("{path}.client_secret");
    match auth.value {
        RawClientAuth::Basic => context.secret(&path, source, report).map(ClientAuth::Basic),
        RawClientAuth::Post => context.secret(&path, source, report).map(ClientAuth::Post),
        RawClientAuth::PrivateKeyJwt => {
            let key = match context.find(&path, source, report)? {
                Found::Value(key) => key,
                Found::Elsewhere => return Some(ClientAuth::PrivateKeyJwt(Secret::new(""))),
            };
            let pem = key.expose().as_bytes();
            if EncodingKey::from_rsa_pem(pem).is_ok() || EncodingKey::from_ec_pem(pem).is_ok() {
                return Some(ClientAuth::PrivateKeyJwt(key));
            }
            report.add(
                source.place,
                format!("`{path}` is not a private key in PEM, which `private_key_jwt` needs"),
                "give an RSA or P-256 key in PKCS#8: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
            );
            None
        }
        RawClientAuth::None => {
            report.add(
                source.place,
                format!("`{path}` is never used with `client_auth: none`"),
                "remove the secret, or write `client_auth: client_secret_basic`",
            );
            None
        }
    }
}

fn scopes(path: &str, raw: Option<&At<List<Text>>>, report: &mut Report) -> Option<Vec<String>> {
    let mut scopes = vec!["openid".to_owned()];
    for scope in &raw?.value.0 {
        // RFC 6749 3.3: scope-token.
        let token = |b: u8| b.is_ascii_graphic() && !b"\"\\".contains(&b);
        if !scope.0.bytes().all(token) {
            report.add(
                scope.place,
                format!("`{path}.scopes`: `{}` is not one scope", scope.0),
                "write each scope as an item of its own: [openid, email, profile]",
            );
        } else if !scopes.contains(&scope.0) {
            scopes.push(scope.0.clone());
        }
    }
    Some(scopes)
}

/// Claims have one name and lists are lists: OIDC needs neither presets nor separators.
fn only_of_saml(raw: &RawAttributes, report: &mut Report) {
    let preset = raw.preset.as_ref().map(|at| ("preset", at.place));
    let separator = raw.groups_separator.as_ref();
    let separator = separator.map(|at| ("groups_separator", at.place));
    for (key, place) in preset.into_iter().chain(separator) {
        report.add(
            place,
            format!("`attributes.{key}` is for SAML, and this IdP speaks OIDC"),
            format!(
                "remove `{key}`; name the claims instead, such as `groups: realm_access.roles`"
            ),
        );
    }
}

fn attributes(raw: &RawAttributes) -> AttributePaths {
    let or = |named: &Option<At<Text>>, usual: &str| {
        named
            .as_ref()
            .map_or_else(|| usual.to_owned(), |text| text.0.clone())
    };
    AttributePaths {
        email: or(&raw.email, "email"),
        name: or(&raw.name, "name"),
        given_name: or(&raw.given_name, "given_name"),
        family_name: or(&raw.family_name, "family_name"),
        groups: or(&raw.groups, "groups"),
        username: or(&raw.username, "preferred_username"),
    }
}

/// `same_users_as`: the other one exists, is a root itself, and both share a domain.
fn same_users(idps: &[At<RawIdp>], report: &mut Report) {
    for idp in idps {
        let Some(target) = &idp.same_users_as else {
            continue;
        };
        let other = idps
            .iter()
            .find(|other| named(other) == Some(target.0.as_str()));
        let (what, fix) = match other {
            _ if named(idp) == Some(target.0.as_str()) => (
                "is the IdP itself".to_owned(),
                "name another IdP, or remove the key".to_owned(),
            ),
            None => (
                format!("names an IdP that is not there: `{}`", target.0),
                format!("write the id of another IdP: {}", all_ids(idps)),
            ),
            Some(other) if other.same_users_as.is_some() => (
                format!("names `{}`, which itself has `same_users_as`", target.0),
                "let all of them name the same one IdP".to_owned(),
            ),
            Some(other) if !share_a_domain(idp, other) => (
                format!(
                    "joins nobody: `{}` and this IdP share no e-mail domain",
                    target.0
                ),
                "list the common domain under `email_domains` of both".to_owned(),
            ),
            Some(_) => continue,
        };
        report.add(target.place, format!("`same_users_as` {what}"), fix);
    }
}

fn share_a_domain(one: &RawIdp, other: &RawIdp) -> bool {
    domains(one).any(|domain| domains(other).any(|second| second.0.eq_ignore_ascii_case(&domain.0)))
}

/// A domain finds one IdP: two may share it only where `same_users_as` joins them.
fn unique_domains(idps: &[At<RawIdp>], report: &mut Report) {
    let joined = |one: &RawIdp, other: &RawIdp| {
        let root = |idp: &RawIdp| {
            idp.same_users_as
                .as_ref()
                .or(idp.id.as_ref())
                .map(|root| root.0.clone())
        };
        root(one) == root(other)
    };
    for (index, idp) in idps.iter().enumerate() {
        for domain in domains(idp) {
            let first = idps[..index].iter().find(|other| {
                !joined(idp, other)
                    && domains(other).any(|known| known.0.eq_ignore_ascii_case(&domain.0))
            });
            let Some(first) = first else { continue };
            let name = named(first).unwrap_or("another IdP");
            report.add(
                domain.place,
                format!(
                    "`email_domains`: `{}` is also a domain of `{name}`",
                    domain.0
                ),
                "keep it with one of them, or join them with `same_users_as`",
            );
        }
    }
}

fn domains(idp: &RawIdp) -> impl Iterator<Item = &At<Text>> {
    idp.email_domains.iter().flat_map(|list| &list.value.0)
}

fn named(idp: &RawIdp) -> Option<&str> {
    idp.id.as_ref().map(|id| id.0.as_str())
}

/// The ids of all IdPs, for a message.
pub(super) fn all_ids(idps: &[At<RawIdp>]) -> String {
    idps.iter()
        .filter_map(|idp| named(idp))
        .collect::<Vec<_>>()
        .join(", ")
}
