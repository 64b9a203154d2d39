//! `GET /_usher/me`: who the browser is signed in as.

use http::{Response, StatusCode};
use serde_json::json;

use super::Call;
use super::query::Parameters;
use crate::access::standing::{Standing, standing};
use crate::pages;
use crate::refusal::{Reason, Refusal};

/// JSON of the user, and of the roles in the app at `?path=` (the root without it).
pub(super) async fn me(call: &Call<'_>) -> Result<Response<String>, Refusal> {
    let signed_out = || Refusal::new(Reason::SignInRequired, "no session");
    let site = call.asked.site;
    let key = call.browser.session_key(site).ok_or_else(signed_out)?;
    let session = call
        .usher
        .session(&key, site, call.asked.now)
        .await?
        .ok_or_else(signed_out)?;
    let person = session.person.load_full();
    let query = Parameters::of_query(call.parts);
    let app = site
        .app(query.one("path")?.unwrap_or("/"))
        .or(site.apps.first());
    let roles = match app.map(|app| standing(app, &person)) {
        Some(Standing::Open { roles, .. }) => roles,
        Some(Standing::NeedsAccount | Standing::Refused(_)) | None => Vec::new(),
    };
    let body = json!({
        "user": { "id": person.user, "email": person.attributes.email, "name": person.attributes.name },
        "app": app.map(|app| app.id.as_str()),
        "roles": roles,
        "groups": person.attributes.groups,
        "idp": person.subject.idp,
        "expires_at": session.expires_at.to_string(),
    });
    Ok(pages::json(StatusCode::OK, &body))
}
