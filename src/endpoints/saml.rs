//! `/_usher/saml/{idp}/…`: the endpoints of the SAML service provider.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::query::Parameters;
use super::{Call, set_cookies};
use crate::pages;
use crate::refusal::{Reason, Refusal};
use crate::sign_in::AcsPost;

/// `GET …/metadata`: what an IdP has to know of usher, the same at every site; for an IdP that is switched off too, since it has
/// to be set up there first.
pub(super) fn metadata(call: &Call<'_>, idp: &str) -> Result<Response<String>, Refusal> {
    let xml = call.usher.sign_in.saml_metadata(idp)?;
    let mut response = pages::document(StatusCode::OK, xml);
    let kind = HeaderValue::from_static("application/samlmetadata+xml");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// `POST …/acs`: where the browser brings the IdP's response (SAML Bindings 3.5).
pub(super) async fn acs(call: &Call<'_>, idp: &str) -> Result<Response<String>, Refusal> {
    let form = Parameters::of_form(call.parts, call.body)?;
    let relay_state = form.one("RelayState")?;
    let Some(saml_response) = form.one("SAMLResponse")? else {
        let cause = "the form has no SAMLResponse";
        return Err(Refusal::new(Reason::BadRequest, cause));
    };
    let from = call.parts.headers.get("sec-fetch-site");
    let post = AcsPost {
        site: call.asked.site,
        idp,
        saml_response,
        relay_state,
        browser: &call.browser,
        from_other_site: from.is_some_and(|from| from.as_bytes() == b"cross-site"),
    };
    let finished = call.usher.sign_in.finish_saml(post, call.asked.now).await?;
    let mut response = match &finished.outcome {
        Ok(location) => pages::redirect(location, true),
        Err(refusal) => call.refuse(refusal),
    };
    set_cookies(&mut response, &finished.cookies);
    Ok(response)
}
