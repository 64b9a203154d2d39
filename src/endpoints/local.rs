//! `GET,POST /_usher/sign-in/local`: sign-in by password and code.

use http::header::{HeaderMap, ORIGIN};
use http::{Method, Response};

use super::query::Parameters;
use super::{Call, set_cookies};
use crate::pages;
use crate::refusal::{Reason, Refusal};
use crate::sign_in::{LocalForm, LocalVisit, ReturnTo};

/// The form, and what somebody filled in. Not there at all unless local accounts are switched on.
pub(super) async fn local(call: &Call<'_>) -> Result<Response<String>, Refusal> {
    if !is_here(call) {
        let cause = "`local_accounts.enabled` is false, or no app is at this origin";
        return Err(Refusal::new(Reason::NotFound, cause));
    }
    if call.parts.method != Method::POST {
        let query = Parameters::of_query(call.parts);
        let return_to = judged(call, query.one("return_to")?);
        return page(call, "", &return_to, false);
    }
    let form = Parameters::of_form(call.parts, call.body)?;
    own_form(call, form.one("form")?)?;
    let field = |name| Ok::<_, Refusal>(form.one(name)?.unwrap_or_default());
    let filled_in = LocalForm {
        user: field("user")?,
        password: field("password")?,
        totp: field("totp")?,
    };
    let return_to = judged(call, form.one("return_to")?);
    let by = call.by();
    let visit = LocalVisit {
        site: call.asked.site,
        return_to: &return_to,
        browser: &call.browser,
        by: &by,
        client: call.asked.client,
    };
    let now = call.asked.now;
    let Some(finished) = call.usher.sign_in.local(&filled_in, &visit, now).await? else {
        return page(call, filled_in.user, &return_to, true);
    };
    Ok(super::arrive(call, &finished))
}

/// Whether there is a sign-in by password at this site: nobody gets to the admin pages by one.
pub(super) fn is_here(call: &Call<'_>) -> bool {
    call.usher.config.local_accounts.enabled && !call.asked.site.apps.is_empty()
}

fn judged(call: &Call<'_>, given: Option<&str>) -> ReturnTo {
    ReturnTo::judge(given, call.asked.site, &call.usher.config)
}

fn page(
    call: &Call<'_>,
    user: &str,
    return_to: &ReturnTo,
    wrong: bool,
) -> Result<Response<String>, Refusal> {
    let config = &call.usher.config;
    let sign_in = &call.usher.sign_in;
    let token = sign_in.form_token(call.asked.site, &call.browser, call.asked.now)?;
    let has_others =
        !config.local_accounts.require_sso && config.idps.iter().any(|idp| sign_in.is_enabled(idp));
    let others = has_others.then(|| super::sign_in::page_url(call, return_to));
    let mut response = call.page(|context| {
        let filled_in = (user, return_to.as_str());
        pages::local(filled_in, wrong, &token.value, others.as_deref(), context)
    });
    set_cookies(&mut response, token.cookie.as_slice());
    Ok(response)
}

/// Whether a form was posted from a page of this site, in this browser: by what the browser says of its origin, and by the token.
pub(super) fn own_form(call: &Call<'_>, token: Option<&str>) -> Result<(), Refusal> {
    let site = call.asked.site;
    if !posted_from_here(&call.parts.headers, &site.public_url.origin) {
        let cause = "the browser says that another site posted the form";
        return Err(Refusal::new(Reason::ForeignForm, cause));
    }
    call.usher
        .sign_in
        .check_form(site, &call.browser, token, call.asked.now)
}

/// A browser says at least one of them with a POST; a client that says neither has only the token.
fn posted_from_here(headers: &HeaderMap, origin: &str) -> bool {
    let same_site = headers
        .get("sec-fetch-site")
        .is_none_or(|site| site.as_bytes() == b"same-origin");
    let same_origin = headers
        .get(ORIGIN)
        .is_none_or(|given| given.as_bytes() == origin.as_bytes());
    same_site && same_origin
}
