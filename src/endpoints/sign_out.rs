//! `GET,POST /_usher/sign-out`.

use http::header::{HeaderMap, ORIGIN};
use http::{Method, Response};

use super::query::Parameters;
use super::{Call, leave, set_cookies};
use crate::pages;
use crate::refusal::Refusal;
use crate::sign_in::ReturnTo;

/// Ends the session here, then at the IdP; asks first when another site sent the browser here.
pub(super) async fn sign_out(call: &Call<'_>) -> Result<Response<String>, Refusal> {
    let site = call.asked.site;
    let posted = call.parts.method == Method::POST;
    let query = Parameters::of_query(call.parts);
    let form = if posted {
        Some(Parameters::of_form(call.parts, call.body)?)
    } else {
        None
    };
    let given = match &form {
        Some(form) => form.one("return_to")?.or(query.one("return_to")?),
        None => query.one("return_to")?,
    };
    let return_to = match query.one("state")? {
        Some(state) if given.is_none() => call.usher.sign_in.return_to_after(state, site),
        Some(_) | None => ReturnTo::judge(given, site, &call.usher.config),
    };
    let has_session = call.browser.session_key(site).is_some();
    if has_session && !asked_by_this_site(&call.parts.headers, posted, &site.public_url.origin) {
        return Ok(call.page(|context| pages::confirm_sign_out(return_to.as_str(), context)));
    }
    let signed_out = call
        .usher
        .sign_in
        .sign_out(site, &call.browser, &return_to, &call.by(), call.asked.now)
        .await?;
    let mut response = match &signed_out.way {
        Some(way) => leave(call, way),
        None => call
            .page(|context| pages::signed_out(return_to.as_str(), signed_out.only_here, context)),
    };
    set_cookies(&mut response, &signed_out.cookies);
    Ok(response)
}

/// Whether this site's own page, or the person (address bar, bookmark), asked. A client without `Sec-Fetch-Site` is
/// judged by `Origin` on a POST; on a GET it is taken at its word, as the worst that it can do is sign somebody out.
fn asked_by_this_site(headers: &HeaderMap, posted: bool, origin: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    match headers.get(ORIGIN) {
        Some(given) => given.as_bytes() == origin.as_bytes(),
        None => {
            !posted
                || headers
                    .get("referer")
                    .is_none_or(|from| from.as_bytes().starts_with(origin.as_bytes()))
        }
    }
}
