//! The responses themselves, with the headers that all of them share.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};

use super::PageContext;

/// The one style sheet, in every page.
pub(super) const STYLE: &str = include_str!("../../templates/page.css");

/// The one script: it posts the one form of its page.
pub(super) const POST_FORM: &str = "document.forms[0].submit()";

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// For what is no page: nothing in it is to be loaded or run.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    // Nothing of usher's own is kept by a cache, guessed at, or framed.
    let fields = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // The origin alone: callback URLs hold codes, but without it a form would be posted with `Origin: null`.
        (REFERRER_POLICY, "strict-origin"),
        (VARY, "Accept, Cookie, Sec-Fetch-Mode, X-Requested-With"),
        (CORP, "same-origin"),
        (CONTENT_SECURITY_POLICY, NOTHING),
        (CONTENT_TYPE, content_type),
    ];
    for (name, value) in fields {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page with its policy: the style by its hash, no script, forms only to here and to the IdPs.
pub(super) fn page(
    status: StatusCode,
    template: &impl Template,
    context: &PageContext<'_>,
) -> Response<String> {
    page_under(status, template, &policy(context))
}

/// A page that posts a form to another origin, by itself where the browser runs scripts. Only the one script may run, and only
/// there may the form lead.
pub(super) fn posting_page(template: &impl Template, origin: &str) -> Response<String> {
    let mut policy = format!("{}; script-src '{}'; form-action", base(), hash(POST_FORM));
    add_origin(&mut policy, origin);
    page_under(StatusCode::OK, template, &policy)
}

fn page_under(status: StatusCode, template: &impl Template, policy: &str) -> Response<String> {
    // The templates only write into a string, which cannot fail.
    let body = template.render().unwrap_or_default();
    let mut response = answer(status, "text/html; charset=utf-8", body);
    if let Ok(policy) = HeaderValue::from_str(policy) {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn policy(context: &PageContext<'_>) -> String {
    let mut policy = format!("{}; form-action 'self'", base());
    for origin in context.form_origins {
        add_origin(&mut policy, origin);
    }
    policy
}

/// What counts for every page.
fn base() -> String {
    format!(
        "default-src 'none'; style-src '{}'; img-src 'self' data:; base-uri 'none'; \
         frame-ancestors 'none'",
        hash(STYLE)
    )
}

/// The source expression of an inline script or style (CSP3, 2.3.1).
fn hash(inline: &str) -> String {
    let hash = STANDARD.encode(digest(&SHA256, inline.as_bytes()));
    format!("sha256-{hash}")
}

fn add_origin(policy: &mut String, origin: &str) {
    // An origin has none of these; with one of them it would be another directive.
    if !origin.contains([' ', ';', ',', '\'', '"']) {
        policy.push(' ');
        policy.push_str(origin);
    }
}

/// A document that is no page, with `no-store`; the caller says of which type it is.
pub fn document(status: StatusCode, text: String) -> Response<String> {
    answer(status, "application/xml", text)
}

/// JSON with `no-store`.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<String> {
    answer(status, "application/json", value.to_string())
}

/// A redirect (302 for GET and HEAD, 303 after a POST) with `no-store` and no body. A location that no header field
/// can hold becomes a 500 without one.
pub fn redirect(location: &str, after_post: bool) -> Response<String> {
    let mut response = answer(
        StatusCode::FOUND,
        "text/plain; charset=utf-8",
        String::new(),
    );
    if after_post {
        *response.status_mut() = StatusCode::SEE_OTHER;
    }
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

/// The same answer to a HEAD: all header fields with the length of the body, and no body (RFC 9110 9.3.2).
#[must_use]
pub fn for_head(mut response: Response<String>) -> Response<String> {
    let length = HeaderValue::from(response.body().len());
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response.body_mut().clear();
    response
}

/// A link that cannot run anything: a path of this origin or an http(s) URL; anything else becomes the start page.
pub(super) fn href(link: &str) -> &str {
    let bytes = link.as_bytes();
    let is_path = bytes.first() == Some(&b'/') && !matches!(bytes.get(1), Some(b'/' | b'\\'));
    let is_web = ["https://", "http://"].iter().any(|scheme| {
        bytes
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    if (is_path || is_web) && !bytes.iter().any(u8::is_ascii_control) {
        link
    } else {
        "/"
    }
}
