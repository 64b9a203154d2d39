//! `/_usher/saml/{idp}/…`: the endpoints of the SAML service provider.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};

use super::query::Parameters;
use super::{Call, leave, set_cookies};
use crate::idp::saml::binding::{Message, post, redirect};
use crate::idp::saml::logout::{Arrived, LogoutStatus};
use crate::pages;
use crate::refusal::{Reason, Refusal};
use crate::sign_in::{AcsPost, LoggedOut, LogoutMessage};

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
    let by = call.by();
    let post = AcsPost {
        site: call.asked.site,
        idp,
        saml_response,
        relay_state,
        browser: &call.browser,
        from_other_site: from.is_some_and(|from| from.as_bytes() == b"cross-site"),
        by: &by,
    };
    let finished = call.usher.sign_in.finish_saml(post, call.asked.now).await?;
    let mut response = match &finished.outcome {
        Ok(location) => pages::redirect(location, true),
        Err(refusal) => call.refuse(refusal),
    };
    set_cookies(&mut response, &finished.cookies);
    Ok(response)
}

/// `GET,POST …/slo`: what an IdP sends through the browser to sign somebody out, or answers to ours (SAML Profiles 4.4).
pub(super) async fn slo(call: &Call<'_>, idp: &str) -> Result<Response<String>, Refusal> {
    let posted = call.parts.method == Method::POST;
    let message = if posted {
        posted_logout(call, idp)?
    } else {
        let query = call.parts.uri.query().unwrap_or_default();
        let received =
            redirect::decode(query).map_err(|cause| Refusal::new(Reason::BadRequest, cause))?;
        Logout {
            message: received.message,
            relay_state: received.relay_state.clone(),
            arrived: Arrived::Redirect(received),
        }
    };
    let by = call.by();
    let message = LogoutMessage {
        site: call.asked.site,
        idp,
        message: message.message,
        arrived: message.arrived,
        relay_state: message.relay_state.as_deref(),
        browser: &call.browser,
        by: &by,
    };
    let logged_out = call.usher.sign_in.single_logout(message, call.asked.now);
    Ok(match logged_out.await? {
        LoggedOut::Back(way) => leave(call, &way),
        LoggedOut::Here {
            status,
            return_to,
            cookies,
        } => {
            let only_here = match status {
                LogoutStatus::Success => false,
                LogoutStatus::Partial => true,
            };
            let mut response =
                call.page(|context| pages::signed_out(&return_to, only_here, context));
            set_cookies(&mut response, &cookies);
            response
        }
    })
}

/// A logout message with what belongs to it.
struct Logout {
    message: Message,
    arrived: Arrived,
    relay_state: Option<String>,
}

fn posted_logout(call: &Call<'_>, idp: &str) -> Result<Logout, Refusal> {
    let bad = |cause: String| Refusal::new(Reason::BadRequest, cause);
    let form = Parameters::of_form(call.parts, call.body)?;
    let (message, field) = match (form.one("SAMLRequest")?, form.one("SAMLResponse")?) {
        (Some(field), None) => (Message::Request, field),
        (None, Some(field)) => (Message::Response, field),
        (None, None) | (Some(_), Some(_)) => {
            return Err(bad(format!(
                "the form for {idp} must have one SAMLRequest or one SAMLResponse"
            )));
        }
    };
    let xml = post::decode(field, call.body.len()).map_err(bad)?;
    Ok(Logout {
        message,
        arrived: Arrived::Post(xml),
        relay_state: form.one("RelayState")?.map(str::to_owned),
    })
}
