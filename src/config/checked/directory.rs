//! `admin`, `local_accounts`, `mail`, `audit`, and `scim` of an IdP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::secrets::{Context, Found};
use super::{sites, top, urls};
use crate::config::raw::{
    At, RawAdmin, RawAudit, RawConfig, RawLocalAccounts, RawMail, RawScim, RawScimMatchOn, Report,
    SecretSource,
};
use crate::config::{
    AdminConfig, App, AuditConfig, LocalAccounts, MailConfig, PublicUrl, ScimConfig, ScimMatch,
    SessionsConfig, Site,
};
use crate::identity::IdpId;
use crate::secret::Secret;

/// Characters of a bearer token at least.
const TOKEN_LEN: usize = 32;

/// Addresses that other listeners have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) public: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
}

/// `admin`; the outer `None` after a problem.
pub(super) fn admin(
    raw: &RawConfig,
    taken: Taken,
    apps: Option<&[Arc<App>]>,
    sessions: Option<&SessionsConfig>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<AdminConfig>> {
    let Some(written) = &raw.admin else {
        return Some(None);
    };
    let listen = written
        .listen
        .as_ref()
        .and_then(|text| top::address("admin.listen", text, report));
    if let (Some(text), Some(own)) = (&written.listen, listen) {
        for (key, other) in [("listen", taken.public), ("metrics.listen", taken.metrics)] {
            if other.is_some_and(|other| top::meets(own, other)) {
                report.add(
                    text.place,
                    format!("`admin.listen` is the address of `{key}`"),
                    "give it a port of its own, such as `127.0.0.1:4181`",
                );
            }
        }
    }
    let token = match &written.token {
        None => Some(None),
        Some(source) => token("admin.token", source, context, report).map(Some),
    };
    let site = admin_site(written, apps, sessions, report);
    let allow_groups = allow_groups(raw, written, report);
    Some(Some(AdminConfig {
        listen: listen?,
        site: site?,
        token: token?,
        allow_groups,
    }))
}

/// The origin of the pages: nobody's but theirs.
fn admin_site(
    raw: &RawAdmin,
    apps: Option<&[Arc<App>]>,
    sessions: Option<&SessionsConfig>,
    report: &mut Report,
) -> Option<Option<Arc<Site>>> {
    let Some(text) = &raw.public_url else {
        return Some(None);
    };
    let public_url = urls::public_url("admin.public_url", text, report)?;
    let shared = apps
        .unwrap_or_default()
        .iter()
        .find(|app| app.public_url.origin == public_url.origin);
    if let Some(app) = shared {
        report.add(
            text.place,
            format!(
                "`admin.public_url` is the origin of the app `{}`, whose scripts could then act as the admin",
                app.id
            ),
            "give the admin pages a host (or on localhost a port) of their own",
        );
        return None;
    }
    let sessions = sessions?;
    Some(Some(Arc::new(Site {
        // Of its own: on localhost the browser shares cookies over ports.
        cookie_name: format!("{}-admin", sites::cookie_name(public_url.https, sessions)),
        hosts: vec![public_url.host.clone()],
        apps: Vec::new(),
        public_url,
    })))
}

fn allow_groups(raw: &RawConfig, written: &RawAdmin, report: &mut Report) -> Vec<(IdpId, String)> {
    let known: Vec<&str> = raw
        .identity_providers
        .iter()
        .flat_map(|idps| &idps.value.0)
        .filter_map(|idp| idp.id.as_ref())
        .map(|id| id.0.as_str())
        .collect();
    let tables = written
        .allow
        .iter()
        .filter_map(|allow| allow.groups.as_ref());
    let mut found = Vec::new();
    for (idp, groups) in tables.flat_map(|table| &table.value.0) {
        if !known.contains(&idp.value.as_str()) {
            report.add(
                idp.place,
                format!(
                    "`admin.allow.groups`: no identity provider has the id `{}`",
                    idp.value
                ),
                crate::config::raw::suggestion(&idp.value, &known),
            );
        }
        for group in &groups.value.0 {
            found.push((IdpId::new(idp.value.as_str()), group.0.clone()));
        }
    }
    if written.public_url.is_some() && found.is_empty() {
        report.add(
            written
                .public_url
                .as_ref()
                .map_or_else(Default::default, |at| at.place),
            "`admin.allow` names nobody, so nobody may use the admin pages",
            "add `allow: { groups: { IDP: [GROUP] } }`, or remove `admin.public_url`",
        );
    }
    found
}

/// A bearer token that nobody guesses.
fn token(
    path: &str,
    source: &At<SecretSource>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Secret> {
    let token = context.secret(path, source, report)?;
    let fits = token.expose().len() >= TOKEN_LEN
        && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Some(token);
    }
    report.add(
        source.place,
        format!("`{path}` must be at least {TOKEN_LEN} characters without spaces"),
        "make one with `openssl rand -base64 32`",
    );
    None
}

/// `local_accounts`.
pub(super) fn local_accounts(raw: Option<&At<RawLocalAccounts>>) -> Option<LocalAccounts> {
    let raw = raw?;
    Some(LocalAccounts {
        enabled: raw.enabled.as_ref()?.value,
        require_sso: raw.require_sso.as_ref()?.value,
    })
}

/// `mail`; the outer `None` after a problem.
pub(super) fn mail(
    raw: Option<&At<RawMail>>,
    public_url: Option<&PublicUrl>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<MailConfig>> {
    let Some(raw) = raw else { return Some(None) };
    let (source, from) = match &raw.value {
        RawMail::Url(source) => {
            let source = At {
                place: raw.place,
                value: source.clone(),
            };
            (source, sender(public_url?))
        }
        RawMail::Full(full) => {
            let from = full.from.as_ref()?;
            if from.0.parse::<lettre::message::Mailbox>().is_err() {
                let what = format!("`mail.from`: `{}` is no sender", from.0);
                report.add(from.place, what, "write `usher@corp.example`");
                return None;
            }
            (full.url.clone()?, from.0.clone())
        }
    };
    let url = match context.find("mail.url", &source, report)? {
        Found::Value(url) => url,
        Found::Elsewhere => Secret::new("smtp://localhost"),
    };
    if let Err(what) = smtp(url.expose()) {
        let fix = "write `smtps://user:password@host`, or `smtp://host:25` for a relay nearby";
        report.add(source.place, format!("`mail.url` {what}"), fix);
        return None;
    }
    Some(Some(MailConfig { url, from }))
}

/// Who writes where nobody is named.
fn sender(public_url: &PublicUrl) -> String {
    let host = &public_url.host;
    // An address as a host stands in brackets (RFC 5321 4.1.3).
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        format!("usher@[{host}]")
    } else {
        format!("usher@{host}")
    }
}

/// Whether that is the URL of a mail server; says what is wrong with it without showing it.
fn smtp(url: &str) -> Result<(), &'static str> {
    let url = url::Url::parse(url).map_err(|_| "is no URL")?;
    if !matches!(url.scheme(), "smtp" | "smtps") {
        return Err("must begin with `smtp://` or `smtps://`");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host");
    }
    if url.username().is_empty() != url.password().is_none_or(str::is_empty) {
        return Err("must have both user and password, or neither");
    }
    let known = |(name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
        name == "tls" && matches!(&*value, "required" | "opportunistic") && url.scheme() == "smtp"
    };
    if !url.query_pairs().all(known) || url.fragment().is_some() {
        return Err("may have only `?tls=required` or `?tls=opportunistic`, after `smtp://`");
    }
    Ok(())
}

/// `audit`.
pub(super) fn audit(raw: Option<&At<RawAudit>>, report: &mut Report) -> Option<AuditConfig> {
    let raw = raw?;
    let required = raw.required.as_ref()?;
    if required.value && raw.file.is_none() {
        report.add(
            required.place,
            "`audit.required` without `audit.file` requires nothing: the table is always written",
            "add `file: /var/log/usher/audit.jsonl`, or remove `required`",
        );
    }
    Some(AuditConfig {
        file: raw.file.as_ref().map(|file| PathBuf::from(&file.0)),
        required: required.value,
        keep_for: raw.keep_for.as_ref()?.value.0,
    })
}

/// `scim` of an IdP; the outer `None` after a problem.
pub(super) fn scim(
    path: &str,
    raw: Option<&At<RawScim>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<ScimConfig>> {
    let Some(raw) = raw else { return Some(None) };
    let path = format!("{path}.scim.token");
    let tokens: Vec<_> = raw
        .token
        .iter()
        .flat_map(|tokens| &tokens.value.0)
        .map(|source| token(&path, source, context, report))
        .collect();
    let match_on = raw.r#match.as_ref()?;
    Some(Some(ScimConfig {
        tokens: tokens.into_iter().collect::<Option<_>>()?,
        match_on: match match_on.scim.as_ref()?.value {
            RawScimMatchOn::ExternalId => ScimMatch::ExternalId,
            RawScimMatchOn::UserName => ScimMatch::UserName,
            RawScimMatchOn::Email => ScimMatch::Email,
        },
        match_attribute: match_on.attribute.as_ref().map(|text| text.0.clone()),
    }))
}
