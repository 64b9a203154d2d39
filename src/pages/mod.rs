//! Pages and JSON that usher itself answers with: no JavaScript needed, strict CSP, `no-store`.

use http::Response;

use crate::refusal::Refusal;

/// How the asker wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A navigation: a redirect or a page.
    Page,
    /// All else: JSON, never a redirect.
    Json,
}

/// Whether a request is a navigation (design: public endpoints): GET or HEAD with `Sec-Fetch-Mode: navigate`, or without that header and with `Accept`
/// containing `text/html`; never with `X-Requested-With`.
pub fn form_of(method: &http::Method, headers: &http::HeaderMap) -> Form {
    let _ = (method, headers);
    todo!()
}

/// What a page needs to know about where it stands.
#[derive(Clone, Debug)]
pub struct PageContext<'a> {
    /// `/_usher`.
    pub prefix: &'a str,
    /// Request id, shown on refusals.
    pub request_id: &'a str,
    /// Name to show as the title's context (the app's or site's host).
    pub site: &'a str,
    /// Origins for CSP `form-action` besides 'self'.
    pub form_origins: &'a [String],
}

/// One button of the sign-in page.
#[derive(Clone, Debug)]
pub struct IdpChoice {
    /// Label of the IdP.
    pub label: String,
    /// Where it leads: `/_usher/sign-in/{idp}?return_to=…`.
    pub href: String,
}

/// A refusal as a page or JSON. `sign_in_url` (absolute) is given where signing in (again) may help; `retry_url` where trying again may.
/// A HEAD gets no body. JSON: `{"error","message","request_id","sign_in_url"?}`.
pub fn refusal(
    refusal: &Refusal,
    form: Form,
    context: &PageContext<'_>,
    sign_in_url: Option<&str>,
) -> Response<String> {
    let _ = (refusal, form, context, sign_in_url);
    todo!()
}

/// The sign-in page: a button for each IdP, an e-mail field (where an IdP has domains) that posts (GET) `email` and `return_to` to `/_usher/sign-in`.
pub fn sign_in(
    choices: &[IdpChoice],
    email_field: bool,
    return_to: &str,
    context: &PageContext<'_>,
) -> Response<String> {
    let _ = (choices, email_field, return_to, context);
    todo!()
}

/// Asks before a cross-site sign-out: a form that posts to `/_usher/sign-out` with `return_to`.
pub fn confirm_sign_out(return_to: &str, context: &PageContext<'_>) -> Response<String> {
    let _ = (return_to, context);
    todo!()
}

/// "You are signed out", with a link to `return_to`.
pub fn signed_out(return_to: &str, context: &PageContext<'_>) -> Response<String> {
    let _ = (return_to, context);
    todo!()
}

/// A redirect (302 for GET and HEAD, 303 after a POST) with `no-store` and no body.
pub fn redirect(location: &str, after_post: bool) -> Response<String> {
    let _ = (location, after_post);
    todo!()
}

/// JSON with `no-store`.
pub fn json(status: http::StatusCode, value: &serde_json::Value) -> Response<String> {
    let _ = (status, value);
    todo!()
}
