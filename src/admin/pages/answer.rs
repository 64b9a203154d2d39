//! The pages themselves: what stands around each, and the header fields that all share.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};

/// The one style sheet, in every page.
pub(super) const STYLE: &str = include_str!("../../../templates/admin/admin.css");

const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What stands around every page.
pub(super) struct Frame<'a> {
    pub(super) style: &'static str,
    /// `/_usher`.
    pub(super) prefix: &'a str,
    pub(super) tabs: Vec<TabLink>,
    /// Of the admin.
    pub(super) name: String,
    /// For every form that changes something.
    pub(super) csrf: String,
    /// What was just done.
    pub(super) done: Option<&'static str>,
    /// Where to sign in anew, if that is needed for a change.
    pub(super) confirm: Option<String>,
}

/// The pages of the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    People,
    Invitations,
    IdentityProviders,
    Roles,
    Audit,
}

/// A link of the navigation.
pub(super) struct TabLink {
    pub(super) label: &'static str,
    pub(super) href: &'static str,
    pub(super) here: bool,
}

const TABS: [(Tab, &str, &str); 6] = [
    (Tab::Overview, "Overview", "/"),
    (Tab::People, "People", "/people"),
    (Tab::Invitations, "Invitations", "/invitations"),
    (
        Tab::IdentityProviders,
        "Identity providers",
        "/identity-providers",
    ),
    (Tab::Roles, "Role tester", "/roles"),
    (Tab::Audit, "Audit log", "/audit"),
];

pub(super) fn tabs(here: Tab) -> Vec<TabLink> {
    let link = |(tab, label, href): (Tab, &'static str, &'static str)| TabLink {
        label,
        href,
        here: tab == here,
    };
    TABS.into_iter().map(link).collect()
}

/// A page: the style by its hash, no script, nothing loaded, forms only to here.
pub(super) fn page(template: &impl Template) -> Response<String> {
    page_with(StatusCode::OK, template)
}

/// The same with a status.
pub(super) fn page_with(status: StatusCode, template: &impl Template) -> Response<String> {
    // The templates only write into a string, which cannot fail.
    let mut response = Response::new(template.render().unwrap_or_default());
    *response.status_mut() = status;
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // Without a referrer, not even the path of a person's page leaves.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A file to save.
pub(super) fn download(name: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/csv; charset=utf-8"),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(http::header::CONTENT_DISPOSITION, value);
    }
    response
}

/// What counts for every answer of the admin origin, refusals and redirects included.
pub(super) fn seal_off(response: &mut Response<String>) {
    let fields = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CORP, "same-origin"),
        (COOP, "same-origin"),
    ];
    for (name, value) in fields {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let otherwise = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in otherwise {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
