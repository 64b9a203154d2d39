//! `GET,POST /_usher/oidc/{idp}/callback`: where the IdP's answer arrives.

use http::{Method, Response};

use super::query::Parameters;
use super::{Call, set_cookies};
use crate::idp::oidc::AuthorizationResponse;
use crate::pages;
use crate::refusal::{Reason, Refusal};
use crate::sign_in::Callback;

/// Parameters that only other flows have; a code flow's answer never carries them.
const FOREIGN: [&str; 3] = ["id_token", "access_token", "response"];

pub(super) async fn oidc(call: &Call<'_>, idp: &str) -> Result<Response<String>, Refusal> {
    let posted = call.parts.method == Method::POST;
    let parameters = if posted {
        Parameters::of_form(call.parts, call.body)?
    } else {
        Parameters::of_query(call.parts)
    };
    for name in FOREIGN {
        if parameters.one(name)?.is_some() {
            return Err(Refusal::new(
                Reason::BadRequest,
                format!("the answer carries {name}, which is not of the code flow"),
            ));
        }
    }
    let text = |name| parameters.one(name).map(|value| value.map(str::to_owned));
    let response = AuthorizationResponse {
        code: text("code")?,
        state: text("state")?,
        iss: text("iss")?,
        error: text("error")?,
        error_description: text("error_description")?,
    };
    if posted {
        return Ok(hop(call, &response));
    }
    let by = call.by();
    let callback = Callback {
        site: call.asked.site,
        idp,
        response,
        browser: &call.browser,
        by: &by,
    };
    let finished = call.usher.sign_in.finish(callback, call.asked.now).await?;
    let mut response = match &finished.outcome {
        Ok(location) => pages::redirect(location, false),
        Err(refusal) => call.refuse(refusal),
    };
    set_cookies(&mut response, &finished.cookies);
    Ok(response)
}

/// A cross-site POST brings no `SameSite=Lax` cookie, so that a live session would not be seen. The answer hops to the
/// same address by GET, where the query response mode carries the same parameters anyway.
fn hop(call: &Call<'_>, response: &AuthorizationResponse) -> Response<String> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let parameters = [
        ("code", &response.code),
        ("state", &response.state),
        ("iss", &response.iss),
        ("error", &response.error),
        ("error_description", &response.error_description),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    pages::redirect(
        &format!("{}?{}", call.parts.uri.path(), query.finish()),
        true,
    )
}
