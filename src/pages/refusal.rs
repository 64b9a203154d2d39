//! A refusal as a page or as JSON: what happened, what to do, and an id to ask with.

use askama::Template;
use http::Response;
use http::header::{HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::answer::{href, json, page};
use super::{Form, Frame, PageContext};
use crate::refusal::{Reason, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Icon {
    Lock,
    Clock,
    Warning,
}

/// The way out that a page offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WayOut {
    /// Sign in.
    SignIn,
    /// Sign in once more, for a change.
    SignInAnew,
    /// Begin the sign-in anew.
    StartAgain,
    /// Somebody else may have access: another account, or sign out.
    OtherAccount,
    /// Ask for the same page again.
    Retry,
    /// The start page.
    Start,
    /// None that could help.
    None,
}

struct Link {
    label: &'static str,
    href: String,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage<'a> {
    frame: Frame<'a>,
    icon: Icon,
    warm: bool,
    title: &'static str,
    message: &'static str,
    said: Option<&'a str>,
    advice: &'static str,
    links: Vec<Link>,
    request_id: &'a str,
    code: &'static str,
}

/// A refusal as a page or JSON. `sign_in_url` (absolute) is given where signing in (again) may help; the page uses it as the reason
/// makes sense, with `prompt=login` for another account. `Retry-After` in whole seconds, rounded up, where the refusal has one.
/// JSON: `{"error","message","request_id","sign_in_url"?}`, where `sign_in_url` stands only if signing in can help. The cause is in neither.
pub fn refusal(
    refusal: &Refusal,
    form: Form,
    context: &PageContext<'_>,
    sign_in_url: Option<&str>,
) -> Response<String> {
    let reason = refusal.reason;
    let way_out = way_out(reason);
    let said = refusal.user_message.as_deref();
    let mut response = match form {
        Form::Page => {
            let (icon, warm) = icon(reason);
            let template = RefusalPage {
                frame: Frame::of(context),
                icon,
                warm,
                title: reason.title(),
                message: refusal.sentence(),
                said,
                advice: reason.advice(),
                links: links(way_out, context, sign_in_url),
                request_id: context.request_id,
                code: reason.code(),
            };
            page(reason.status(), &template, context)
        }
        Form::Json => {
            let mut body = json!({
                "error": reason.code(),
                "message": said.unwrap_or(refusal.sentence()),
                "request_id": context.request_id,
            });
            let helps = matches!(way_out, WayOut::SignIn | WayOut::StartAgain);
            if let Some(url) = sign_in_url.filter(|_| helps) {
                body["sign_in_url"] = url.into();
            }
            json(reason.status(), &body)
        }
    };
    if let Some(after) = refusal.retry_after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn links(way_out: WayOut, context: &PageContext<'_>, sign_in_url: Option<&str>) -> Vec<Link> {
    let link = |label, to: &str| Link {
        label,
        href: to.to_owned(),
    };
    let sign_in = sign_in_url.map(href);
    match (way_out, sign_in) {
        (WayOut::SignIn, Some(url)) => vec![link("Sign in", url)],
        (WayOut::SignInAnew, Some(url)) => vec![link("Sign in anew", url)],
        (WayOut::StartAgain, Some(url)) => vec![link("Start again", url)],
        (WayOut::OtherAccount, url) => {
            let mut links = Vec::new();
            if let Some(url) = url {
                let mark = if url.contains('?') { '&' } else { '?' };
                let other = format!("{url}{mark}prompt=login");
                links.push(link("Sign in with another account", &other));
            }
            links.push(link("Sign out", &format!("{}/sign-out", context.prefix)));
            links
        }
        // An empty reference is the page's own address (RFC 3986 4.4).
        (WayOut::Retry, _) => vec![link("Try again", "")],
        (WayOut::Start, _) => vec![link("Go to the start page", "/")],
        (WayOut::SignIn | WayOut::SignInAnew | WayOut::StartAgain, None) | (WayOut::None, _) => {
            Vec::new()
        }
    }
}

fn way_out(reason: Reason) -> WayOut {
    match reason {
        Reason::SignInRequired | Reason::SsoRequired | Reason::InvitationUsed => WayOut::SignIn,
        Reason::SignInTooOld => WayOut::SignInAnew,
        Reason::IdpRefused
        | Reason::InvalidLogin
        | Reason::StateInvalid
        | Reason::SignInLoop
        | Reason::UnknownIdp
        | Reason::UnknownDomain
        | Reason::ForeignForm
        | Reason::IdpDown => WayOut::StartAgain,
        Reason::Forbidden
        | Reason::NoRole
        | Reason::NoAccount
        | Reason::AccountRefused
        | Reason::EmailMissing
        | Reason::EmailNotVerified
        | Reason::EmailDomain
        | Reason::IdentityConflict
        | Reason::AdminOnly
        | Reason::Deactivated => WayOut::OtherAccount,
        Reason::CallbackDown
        | Reason::CallbackFailed
        | Reason::StoreDown
        | Reason::AppDown
        | Reason::AppTimeout
        | Reason::TooManyRequests
        | Reason::Internal => WayOut::Retry,
        Reason::NotFound
        | Reason::BadRequest
        | Reason::MethodNotAllowed
        | Reason::FormInvalid
        | Reason::ManagedByIdp
        | Reason::InvitationUnknown
        | Reason::InvitationExpired
        | Reason::InvitationWithdrawn
        | Reason::InvalidLogout => WayOut::Start,
        Reason::UnknownHost
        | Reason::UntrustedProxy
        | Reason::BodyTooLarge
        | Reason::HeadersTooLarge => WayOut::None,
    }
}

/// The sign of the page, and whether it is drawn as a fault rather than as an answer.
fn icon(reason: Reason) -> (Icon, bool) {
    match way_out(reason) {
        WayOut::SignIn | WayOut::SignInAnew | WayOut::OtherAccount => (Icon::Lock, false),
        WayOut::StartAgain if reason == Reason::StateInvalid => (Icon::Clock, false),
        WayOut::Start
            if matches!(
                reason,
                Reason::InvitationExpired | Reason::InvitationWithdrawn
            ) =>
        {
            (Icon::Clock, false)
        }
        WayOut::Retry => (Icon::Clock, true),
        WayOut::StartAgain | WayOut::Start | WayOut::None => (Icon::Warning, true),
    }
}
