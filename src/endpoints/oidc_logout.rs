//! `…/oidc/{idp}/backchannel-logout` and `…/oidc/{idp}/frontchannel-logout`: an IdP signs somebody out.

use http::{Response, StatusCode};
use serde_json::json;

use super::query::Parameters;
use super::{Call, log};
use crate::pages;
use crate::refusal::{Reason, Refusal};

/// `POST …/backchannel-logout`: a call of the IdP itself (Back-Channel Logout 1.0, 2.5). Its answers are those of 2.8.
pub(super) async fn back_channel(call: &Call<'_>, idp: &str) -> Response<String> {
    let done = match token(call) {
        Ok(token) => {
            let sign_in = &call.usher.sign_in;
            sign_in
                .backchannel_logout(idp, &token, &call.by(), call.asked.now)
                .await
        }
        Err(refusal) => Err(refusal),
    };
    let Err(refusal) = done else {
        return pages::document(StatusCode::OK, String::new());
    };
    log(&refusal, call.asked, call.parts.uri.path());
    let body = json!({
        "error": if refusal.reason == Reason::BadRequest { "invalid_request" } else { refusal.reason.code() },
        "error_description": refusal.reason.message(),
        "request_id": call.asked.request_id,
    });
    pages::json(refusal.reason.status(), &body)
}

fn token(call: &Call<'_>) -> Result<String, Refusal> {
    let form = Parameters::of_form(call.parts, call.body)?;
    let token = form.one("logout_token")?;
    let missing = || Refusal::new(Reason::BadRequest, "the form has no logout_token");
    token.map(str::to_owned).ok_or_else(missing)
}

/// `GET …/frontchannel-logout?iss=…&sid=…`, loaded in a frame of the IdP's page. Cookies of usher do not come along there,
/// so that the IdP has to say which session it is (Front-Channel Logout 1.0, 2: `frontchannel_logout_session_required`).
pub(super) async fn front_channel(call: &Call<'_>, idp: &str) -> Result<Response<String>, Refusal> {
    let query = Parameters::of_query(call.parts);
    let (Some(iss), Some(sid)) = (query.one("iss")?, query.one("sid")?) else {
        let cause = "iss and sid are needed: require the session for front-channel logout at the identity provider";
        return Err(Refusal::new(Reason::BadRequest, cause));
    };
    let sign_in = &call.usher.sign_in;
    sign_in
        .frontchannel_logout(idp, iss, sid, &call.by(), call.asked.now)
        .await?;
    Ok(pages::document(StatusCode::OK, String::new()))
}
