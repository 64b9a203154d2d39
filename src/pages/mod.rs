//! Pages and JSON that usher itself answers with: no JavaScript needed, strict CSP, `no-store`.

mod answer;
mod local;
mod refusal;

use askama::Template;
use http::header::{ACCEPT, HeaderMap};
use http::{Method, Response, StatusCode};
use url::Url;

pub use answer::{document, for_head, json, redirect};
pub use local::{Enrolment, Invitation, enrolled, invitation, local};
pub use refusal::refusal;

use answer::{href, page, posting_page};

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
pub fn form_of(method: &Method, headers: &HeaderMap) -> Form {
    let safe = method == Method::GET || method == Method::HEAD;
    if !safe || headers.contains_key("x-requested-with") {
        return Form::Json;
    }
    let navigates = match headers.get("sec-fetch-mode") {
        Some(mode) => mode.as_bytes() == b"navigate",
        None => headers.get_all(ACCEPT).iter().any(|accept| {
            let accept = accept.as_bytes().to_ascii_lowercase();
            memchr::memmem::find(&accept, b"text/html").is_some()
        }),
    };
    if navigates { Form::Page } else { Form::Json }
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

/// What stands around every page.
struct Frame<'a> {
    site: &'a str,
    style: &'static str,
}

impl<'a> Frame<'a> {
    fn of(context: &PageContext<'a>) -> Self {
        Self {
            site: context.site,
            style: answer::STYLE,
        }
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    frame: Frame<'a>,
    buttons: Vec<Button<'a>>,
    email_field: bool,
    action: String,
    return_to: &'a str,
    local: Option<&'a str>,
}

struct Button<'a> {
    initial: String,
    label: &'a str,
    href: &'a str,
}

/// The sign-in page: a button for each IdP, an e-mail field (where an IdP has domains) that posts (GET) `email` and `return_to` to `/_usher/sign-in`,
/// and a link to the sign-in by password (`local`) where there is one.
pub fn sign_in(
    choices: &[IdpChoice],
    email_field: bool,
    return_to: &str,
    local: Option<&str>,
    context: &PageContext<'_>,
) -> Response<String> {
    let template = SignIn {
        frame: Frame::of(context),
        buttons: buttons(choices),
        email_field,
        action: format!("{}/sign-in", context.prefix),
        return_to,
        local: local.map(href),
    };
    page(StatusCode::OK, &template, context)
}

fn buttons(choices: &[IdpChoice]) -> Vec<Button<'_>> {
    let buttons = choices.iter().map(|choice| Button {
        initial: choice
            .label
            .chars()
            .take(1)
            .flat_map(char::to_uppercase)
            .collect(),
        label: &choice.label,
        href: href(&choice.href),
    });
    buttons.collect()
}

#[derive(Template)]
#[template(path = "confirm_sign_out.html")]
struct ConfirmSignOut<'a> {
    frame: Frame<'a>,
    action: String,
    return_to: &'a str,
    stay: &'a str,
}

/// Asks before a cross-site sign-out: a form that posts to `/_usher/sign-out` with `return_to`.
pub fn confirm_sign_out(return_to: &str, context: &PageContext<'_>) -> Response<String> {
    let template = ConfirmSignOut {
        frame: Frame::of(context),
        action: format!("{}/sign-out", context.prefix),
        return_to,
        stay: href(return_to),
    };
    page(StatusCode::OK, &template, context)
}

#[derive(Template)]
#[template(path = "post_form.html")]
struct PostForm<'a> {
    frame: Frame<'a>,
    action: &'a str,
    host: &'a str,
    fields: &'a [(&'static str, String)],
    script: &'static str,
}

/// Sends the browser to `action` by POST: at once where scripts run, else by a button.
pub fn post_form(
    action: &Url,
    fields: &[(&'static str, String)],
    context: &PageContext<'_>,
) -> Response<String> {
    let template = PostForm {
        frame: Frame::of(context),
        action: action.as_str(),
        host: action.host_str().unwrap_or_default(),
        fields,
        script: answer::POST_FORM,
    };
    posting_page(&template, &action.origin().ascii_serialization())
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOut<'a> {
    frame: Frame<'a>,
    only_here: bool,
    again: &'a str,
}

/// "You are signed out", with a link to `return_to`. `only_here`: not, or not everywhere, at the IdP and its other apps.
pub fn signed_out(return_to: &str, only_here: bool, context: &PageContext<'_>) -> Response<String> {
    let template = SignedOut {
        frame: Frame::of(context),
        only_here,
        again: href(return_to),
    };
    page(StatusCode::OK, &template, context)
}

#[cfg(test)]
mod tests;
