//! `GET /_usher/sign-in` and `GET /_usher/sign-in/{idp}`.

use std::sync::Arc;

use http::Response;
use http::header::{ACCEPT, HeaderMap};

use super::query::Parameters;
use super::{Call, leave, local, set_cookies};
use crate::config::Idp;
use crate::pages::{self, Form, IdpChoice};
use crate::refusal::{Reason, Refusal};
use crate::sign_in::{Begin, ReturnTo};

/// The page with a button for each IdP; with one IdP, or an e-mail address that finds one, off at once.
pub(super) async fn choose(call: &Call<'_>) -> Result<Response<String>, Refusal> {
    let query = Parameters::of_query(call.parts);
    let return_to = judged(call, &query)?;
    let email = query
        .one("email")?
        .map(str::trim)
        .filter(|email| !email.is_empty());
    let enabled: Vec<&Arc<Idp>> = call
        .usher
        .config
        .idps
        .iter()
        .filter(|idp| call.usher.sign_in.is_enabled(idp))
        .collect();
    if let Some(email) = email {
        let idp = crate::sign_in::domain_of(email)
            .and_then(|domain| {
                enabled
                    .iter()
                    .find(|idp| idp.email_domains.contains(&domain))
            })
            .ok_or_else(|| Refusal::new(Reason::UnknownDomain, "no IdP has that e-mail domain"))?;
        return begin(call, &query, idp.id.as_str(), return_to, Some(email)).await;
    }
    let local = local::is_here(call).then(|| local_url(call, &return_to));
    let for_emergencies = call.usher.config.local_accounts.require_sso;
    // Those who have a password only for emergencies know where their form is; nobody else is to be asked.
    if let ([only], true) = (enabled.as_slice(), local.is_none() || for_emergencies) {
        return begin(call, &query, only.id.as_str(), return_to, None).await;
    }
    if let (true, Some(local)) = (enabled.is_empty(), &local) {
        return Ok(pages::redirect(local, false));
    }
    let choices: Vec<IdpChoice> = enabled
        .iter()
        .map(|idp| choice(call, idp, &return_to, query.one("prompt")))
        .collect();
    let email_field = enabled.iter().any(|idp| !idp.email_domains.is_empty());
    Ok(call.page(|context| {
        pages::sign_in(
            &choices,
            email_field,
            return_to.as_str(),
            local.as_deref(),
            context,
        )
    }))
}

/// This page's own address.
pub(super) fn page_url(call: &Call<'_>, return_to: &ReturnTo) -> String {
    url_of(call, "/sign-in", return_to)
}

fn local_url(call: &Call<'_>, return_to: &ReturnTo) -> String {
    url_of(call, "/sign-in/local", return_to)
}

fn url_of(call: &Call<'_>, path: &str, return_to: &ReturnTo) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", return_to.as_str())
        .finish();
    format!("{}{path}?{query}", call.usher.config.prefix)
}

/// Starts at one IdP: the URL to share.
pub(super) async fn start(call: &Call<'_>, idp: &str) -> Result<Response<String>, Refusal> {
    let query = Parameters::of_query(call.parts);
    let return_to = judged(call, &query)?;
    begin(call, &query, idp, return_to, None).await
}

fn judged(call: &Call<'_>, query: &Parameters) -> Result<ReturnTo, Refusal> {
    Ok(ReturnTo::judge(
        query.one("return_to")?,
        call.asked.site,
        &call.usher.config,
    ))
}

pub(super) fn choice(
    call: &Call<'_>,
    idp: &Idp,
    return_to: &ReturnTo,
    prompt: Result<Option<&str>, Refusal>,
) -> IdpChoice {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", return_to.as_str());
    if prompt.is_ok_and(|prompt| prompt == Some("login")) {
        query.append_pair("prompt", "login");
    }
    IdpChoice {
        label: idp.label.clone(),
        href: format!(
            "{}/sign-in/{}?{}",
            call.usher.config.prefix,
            idp.id,
            query.finish()
        ),
    }
}

async fn begin(
    call: &Call<'_>,
    query: &Parameters,
    idp: &str,
    return_to: ReturnTo,
    login_hint: Option<&str>,
) -> Result<Response<String>, Refusal> {
    if !may_begin(&call.parts.headers, call.form()) {
        return Err(Refusal::new(
            Reason::SignInRequired,
            "only a navigation begins a sign-in",
        ));
    }
    let begin = Begin {
        site: call.asked.site,
        idp,
        return_to,
        login_hint,
        other_account: query.one("prompt")? == Some("login"),
        anew: query.one("max_age")? == Some("0"),
        test: None,
        signed_in: signed_in(call).await,
        browser: &call.browser,
    };
    let begun = call.usher.sign_in.begin(begin, call.asked.now).await?;
    let mut response = leave(call, &begun.way);
    set_cookies(&mut response, &begun.cookies);
    Ok(response)
}

/// A script's request begins nothing: its redirect would end in an opaque cross-origin failure, and leave a state cookie behind.
/// A client that says nothing about itself (curl) may.
fn may_begin(headers: &HeaderMap, form: Form) -> bool {
    let silent =
        !headers.contains_key("sec-fetch-mode") && !headers.contains_key("x-requested-with");
    let accepts_all = headers
        .get(ACCEPT)
        .is_none_or(|accept| accept.as_bytes() == b"*/*");
    form == Form::Page || (silent && accepts_all)
}

async fn signed_in(call: &Call<'_>) -> bool {
    let Some(key) = call.browser.session_key(call.asked.site) else {
        return false;
    };
    matches!(
        call.usher
            .sessions
            .find(&key, &call.asked.site.public_url.origin, call.asked.now)
            .await,
        Ok(Some(_))
    )
}
