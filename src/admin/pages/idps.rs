//! Identity providers: what to enter there, how they do, the switch, and the test sign-in.

use std::sync::Arc;

use askama::Template;
use http::Response;
use http::header::{HeaderValue, SET_COOKIE};
use serde_json::json;
use url::Url;

use super::answer::{Frame, Tab, page};
use super::fields::Fields;
use super::guard::Admin;
use super::overview::{IdpLine, idp_line, idp_lines};
use super::words::{When, actor};
use super::{Call, Stop, bad, done, nothing_there};
use crate::audit::{Action, Entry};
use crate::config::{self, ClientAuth, IdpProtocol, ResponseMode, SamlSource};
use crate::idp::saml::Outgoing;
use crate::idp::{Idp, Received};
use crate::pages;
use crate::refusal::Refusal;
use crate::sign_in::test_run::{Outlook, Seen, TestRun};
use crate::sign_in::{Begin, ReturnTo};

/// Values of a claim that are shown.
const VALUES: usize = 100;
/// Characters of a value that are shown.
const VALUE: usize = 400;

#[derive(Template)]
#[template(path = "admin/idps.html")]
struct Idps<'a> {
    frame: Frame<'a>,
    idps: Vec<IdpLine>,
}

#[derive(Template)]
#[template(path = "admin/idp.html")]
struct IdpPage<'a> {
    frame: Frame<'a>,
    line: IdpLine,
    enabled: bool,
    switch_words: &'static str,
    switch_since: String,
    failure: Option<String>,
    has_run: bool,
    register: Vec<FieldLine>,
    certificates: Vec<Pem>,
    settings: Vec<FieldLine>,
    ends: Vec<(String, When)>,
}

struct FieldLine {
    label: &'static str,
    values: Vec<String>,
}

struct Pem {
    label: String,
    pem: String,
}

#[derive(Template)]
#[template(path = "admin/leave.html")]
struct Leave<'a> {
    frame: Frame<'a>,
    to: &'a str,
    host: &'a str,
}

#[derive(Template)]
#[template(path = "admin/test_run.html")]
struct RunPage<'a> {
    frame: Frame<'a>,
    id: &'a str,
    label: &'a str,
    at: Option<When>,
    failed: Option<FailedLine>,
    seen: Option<SeenLines>,
}

struct FailedLine {
    title: &'static str,
    sentence: &'static str,
    check: &'static str,
    cause: String,
}

struct SeenLines {
    refused: Option<&'static str>,
    apps: Vec<OutlookLine>,
    understood: Vec<FieldLine>,
    received: Vec<ReceivedLine>,
}

struct OutlookLine {
    id: String,
    roles: Vec<String>,
    words: Option<&'static str>,
}

struct ReceivedLine {
    source: &'static str,
    name: String,
    also: Option<String>,
    values: Vec<String>,
    more: usize,
}

pub(super) fn list(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    Ok(page(&Idps {
        frame: call.frame(admin, Tab::IdentityProviders)?,
        idps: idp_lines(call),
    }))
}

fn idp_of<'a>(call: &Call<'a>, id: &str) -> Result<&'a Arc<config::Idp>, Stop> {
    call.usher.config.idp(id).ok_or_else(nothing_there)
}

pub(super) fn show(call: &Call<'_>, admin: &Admin, id: &str) -> Result<Response<String>, Stop> {
    let idp = idp_of(call, id)?;
    let (story, now) = (&call.usher.sign_in, call.asked.now);
    let made = story.any_idp(id)?;
    let health = made.health();
    let enabled = story.is_enabled(idp);
    let since = story.switch(idp).map(|switch| {
        let when = When::of(switch.set_at, now).text;
        let verb = if switch.enabled { "on" } else { "off" };
        format!(
            "Switched {verb} {when} by {}; that holds until its part of the config file changes.",
            actor(&switch.set_by)
        )
    });
    Ok(page(&IdpPage {
        frame: call.frame(admin, Tab::IdentityProviders)?,
        line: idp_line(call, idp),
        enabled,
        switch_words: if enabled { "sign-in is on" } else { "sign-in is off" },
        switch_since: since.unwrap_or_else(|| "So the config file says; what you choose here holds until its part of the file changes.".to_owned()),
        failure: health.failure,
        has_run: story.test_run(&admin.session.sid, &idp.id, now).is_some(),
        register: register(call, idp),
        certificates: certificates(made),
        settings: settings(idp),
        ends: health
            .certificates
            .into_iter()
            .map(|(name, end)| (name, When::of(end, now)))
            .collect(),
    }))
}

/// What must be entered there, at every origin where people sign in.
fn register(call: &Call<'_>, idp: &config::Idp) -> Vec<FieldLine> {
    let config = &call.usher.config;
    let at_each = |path: &str| -> Vec<String> {
        let sites = config.sign_in_sites();
        sites
            .map(|site| format!("{}{}{path}", site.public_url.origin, config.prefix))
            .collect()
    };
    let line = |label, values| FieldLine { label, values };
    match &idp.protocol {
        IdpProtocol::Oidc(_) => vec![
            line(
                "Redirect URIs",
                at_each(&format!("/oidc/{}/callback", idp.id)),
            ),
            line("Post-logout redirect URIs", at_each("/sign-out")),
            line(
                "Back-channel logout URI",
                at_each(&format!("/oidc/{}/backchannel-logout", idp.id)),
            ),
            line(
                "Front-channel logout URI, if it has no back-channel logout",
                at_each(&format!("/oidc/{}/frontchannel-logout", idp.id)),
            ),
        ],
        IdpProtocol::Saml(_) => {
            let entity_id = config.saml_entity_id(&idp.id);
            vec![
                line("Metadata URL, which has it all", vec![entity_id.clone()]),
                line("Entity ID (Audience, Identifier)", vec![entity_id]),
                line(
                    "ACS URLs (Reply URLs)",
                    at_each(&format!("/saml/{}/acs", idp.id)),
                ),
                line(
                    "Single logout URLs",
                    at_each(&format!("/saml/{}/slo", idp.id)),
                ),
            ]
        }
    }
}

/// Those of our own keys, the one that signs first.
fn certificates(idp: &Idp) -> Vec<Pem> {
    let Idp::Saml(saml) = idp else {
        return Vec::new();
    };
    let keys = saml.sp().keys.all().enumerate();
    keys.map(|(at, key)| {
        let certificate = key.certificate();
        let until = certificate.not_after().strftime("%-d %b %Y");
        let role = if at == 0 {
            "that signs requests"
        } else {
            "that decrypts too"
        };
        Pem {
            label: format!("{role}, until {until}"),
            pem: certificate.pem(),
        }
    })
    .collect()
}

/// What the file says; no secrets.
fn settings(idp: &config::Idp) -> Vec<FieldLine> {
    let mut lines = Vec::new();
    let mut add = |label, values: Vec<String>| {
        if !values.is_empty() {
            lines.push(FieldLine { label, values });
        }
    };
    match &idp.protocol {
        IdpProtocol::Oidc(oidc) => {
            add("Issuer", vec![oidc.issuer.clone()]);
            add("Client id", vec![oidc.client_id.clone()]);
            let auth = match oidc.client_auth {
                ClientAuth::Basic(_) => "client_secret_basic",
                ClientAuth::Post(_) => "client_secret_post",
                ClientAuth::PrivateKeyJwt(_) => "private_key_jwt",
                ClientAuth::None => "none: PKCE alone",
            };
            add("Client authentication", vec![auth.to_owned()]);
            add("Scopes", vec![oidc.scopes.join(" ")]);
            let mode = match oidc.response_mode {
                ResponseMode::Query => "query",
                ResponseMode::FormPost => "form_post",
            };
            add("Response mode", vec![mode.to_owned()]);
        }
        IdpProtocol::Saml(saml) => {
            let source = match &saml.source {
                SamlSource::Url { url, .. } => url.to_string(),
                SamlSource::File { path, .. } => path.display().to_string(),
                SamlSource::Given { .. } => "given in the config file".to_owned(),
            };
            add("Metadata", vec![source]);
            let portal = if saml.idp_initiated {
                "taken"
            } else {
                "refused"
            };
            add("Sign-ins that begin there", vec![portal.to_owned()]);
        }
    }
    add("E-mail domains", idp.email_domains.clone());
    let same = idp.same_users_as.iter();
    add("Same users as", same.map(ToString::to_string).collect());
    if idp.scim.is_some() {
        add("SCIM", vec!["on".to_owned()]);
    }
    lines
}

/// `POST /identity-providers/{id}/switch`.
pub(super) async fn switch(
    call: &Call<'_>,
    admin: &Admin,
    id: &str,
    form: &Fields,
) -> Result<Response<String>, Stop> {
    let idp = idp_of(call, id)?;
    let (on, code) = match form.first("on") {
        Some("yes") => (true, "on"),
        Some("no") => (false, "off"),
        _ => return Err(bad("`on` is neither yes nor no")),
    };
    let by = call.by(admin);
    call.usher.switch_idp(idp, on, &by, call.asked.now).await?;
    Ok(done(&format!("/identity-providers/{id}"), code))
}

/// `POST /identity-providers/{id}/test`: off to the IdP.
pub(super) async fn begin_test(
    call: &Call<'_>,
    admin: &Admin,
    id: &str,
) -> Result<Response<String>, Stop> {
    let idp = idp_of(call, id)?;
    let (usher, now) = (call.usher, call.asked.now);
    let back = format!("/identity-providers/{id}/test");
    let begin = Begin {
        site: call.site,
        idp: id,
        return_to: ReturnTo::judge(Some(&back), call.site, &usher.config),
        login_hint: None,
        other_account: false,
        anew: false,
        test: Some(&admin.session.sid),
        signed_in: true,
        browser: &call.browser,
    };
    let begun = match usher.sign_in.begin(begin, now).await {
        Ok(begun) => begun,
        Err(refusal) => return failed_at_once(call, admin, idp, &refusal),
    };
    let entry = Entry::new(Action::Idp, &call.by(admin), "a test sign-in began")
        .at_idp(&idp.id)
        .with(json!({ "test": true }));
    usher.directory.audit().record(&entry, now).await?;
    let mut response = match &begun.way {
        Outgoing::Redirect(location) => leave(call, admin, location)?,
        // Its own policy: the form leads to the IdP, and the browser names the origin that it comes from.
        Outgoing::Post { action, fields } => pages::post_form(action, fields, &call.context()),
    };
    for line in &begun.cookies {
        if let Ok(value) = HeaderValue::from_str(line) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    Ok(response)
}

/// By a page and not by a redirect, as a form here may not lead to another origin.
fn leave(call: &Call<'_>, admin: &Admin, to: &Url) -> Result<Response<String>, Stop> {
    Ok(page(&Leave {
        frame: call.frame(admin, Tab::IdentityProviders)?,
        to: to.as_str(),
        host: to.host_str().unwrap_or_default(),
    }))
}

/// The IdP could not even be asked.
fn failed_at_once(
    call: &Call<'_>,
    admin: &Admin,
    idp: &config::Idp,
    refusal: &Refusal,
) -> Result<Response<String>, Stop> {
    Ok(page(&RunPage {
        frame: call.frame(admin, Tab::IdentityProviders)?,
        id: idp.id.as_str(),
        label: &idp.label,
        at: None,
        failed: Some(failed(refusal)),
        seen: None,
    }))
}

/// `GET /identity-providers/{id}/test`: what came of the last one.
pub(super) fn test_result(
    call: &Call<'_>,
    admin: &Admin,
    id: &str,
) -> Result<Response<String>, Stop> {
    let idp = idp_of(call, id)?;
    let now = call.asked.now;
    let run = call
        .usher
        .sign_in
        .test_run(&admin.session.sid, &idp.id, now);
    let at = run.as_ref().map(|run| When::of(run.at, now));
    let (failed, seen) = match run.map(|TestRun { outcome, .. }| outcome) {
        None => (None, None),
        Some(Err(refusal)) => (Some(failed(&refusal)), None),
        Some(Ok(seen)) => (None, Some(lines(seen))),
    };
    Ok(page(&RunPage {
        frame: call.frame(admin, Tab::IdentityProviders)?,
        id: idp.id.as_str(),
        label: &idp.label,
        at,
        failed,
        seen,
    }))
}

fn failed(refusal: &Refusal) -> FailedLine {
    FailedLine {
        title: refusal.reason.title(),
        sentence: refusal.sentence(),
        check: refusal
            .check
            .map_or_else(|| refusal.reason.code(), |check| check.code),
        cause: refusal.cause.clone(),
    }
}

fn lines(seen: Seen) -> SeenLines {
    let attributes = seen.attributes;
    let one = |label, value: Option<String>| FieldLine {
        label,
        values: value.into_iter().collect(),
    };
    let verified = attributes
        .email_verified
        .map(|verified| verified.to_string());
    let when = seen.authenticated_at.map(|at| When::exact(at).full);
    let mut understood = vec![
        one("Subject", Some(seen.subject.value)),
        one("Issuer", Some(seen.subject.issuer)),
        one("E-mail", attributes.email),
        one("E-mail verified", verified),
        one("Name", attributes.name),
        one("Given name", attributes.given_name),
        one("Family name", attributes.family_name),
        one("Username", attributes.username),
        FieldLine {
            label: "Groups",
            values: attributes.groups.iter().take(VALUES).cloned().collect(),
        },
        one("Signed in there at", when),
        one("How (acr)", seen.acr),
    ];
    if let Some(key) = attributes.directory_key {
        understood.push(one("Key for SCIM", Some(key)));
    }
    SeenLines {
        refused: seen.refusal.as_ref().map(Refusal::sentence),
        apps: seen.apps.into_iter().map(outlook).collect(),
        understood,
        received: seen.received.into_iter().map(received).collect(),
    }
}

fn outlook(outlook: Outlook) -> OutlookLine {
    let words = match &outlook.roles {
        None => Some("refused: no group gives a role, and there is no default"),
        Some(_) if outlook.invited_only => Some("for invited people only"),
        Some(roles) if roles.is_empty() => {
            Some("everybody who is signed in; this app has no roles")
        }
        Some(_) => None,
    };
    let roles = outlook.roles.unwrap_or_default();
    OutlookLine {
        id: outlook.app.to_string(),
        roles: roles.iter().map(ToString::to_string).collect(),
        words,
    }
}

fn received(one: Received) -> ReceivedLine {
    let shown = |value: &String| {
        let mut text: String = value.chars().take(VALUE).collect();
        if text.len() < value.len() {
            text.push('…');
        }
        text
    };
    ReceivedLine {
        source: one.source,
        name: one.name,
        also: one.also,
        more: one.values.len().saturating_sub(VALUES),
        values: one.values.iter().take(VALUES).map(shown).collect(),
    }
}

#[cfg(test)]
mod tests;
