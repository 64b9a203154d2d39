//! SAML through a running usher, as a browser and an IdP do it.

use url::Url;
use usher::demo::saml::{SentRequest, form, read_request};

use crate::support::browser::Browser;
use crate::support::wire::Answer;

/// A sign-in that usher sent to the IdP.
pub(crate) struct Begun {
    /// What it asks.
    pub(crate) request: SentRequest,
    /// The whole URL that the browser was sent to.
    pub(crate) url: Url,
}

/// Begins a sign-in; the error is how usher answered instead of sending the browser on.
pub(crate) async fn begin(browser: &mut Browser, start: &Url) -> Result<Begun, String> {
    let answer = browser.open(start).await.ok_or("no answer")?;
    let location = answer.header("location").unwrap_or_default();
    let request = read_request(&location)
        .map_err(|error| format!("status {} leads to {location:?}: {error}", answer.status))?;
    let url = Url::parse(&location).map_err(|error| error.to_string())?;
    Ok(Begun { request, url })
}

/// Posts a response as the page of an IdP does: from another site.
pub(crate) async fn post(
    browser: &mut Browser,
    to: &Url,
    xml: &[u8],
    relay_state: Option<&str>,
) -> Option<Answer> {
    let body = form("SAMLResponse", xml, relay_state);
    let headers = [
        ("Origin", "http://127.0.0.1"),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    browser.send(to, "POST", &headers, Some(&body)).await
}
