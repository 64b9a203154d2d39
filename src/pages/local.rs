//! Pages of local accounts and invitations.

use askama::Template;
use http::{Response, StatusCode};

use super::answer::{href, page};
use super::{Button, Frame, IdpChoice, PageContext, buttons};

#[derive(Template)]
#[template(path = "local.html")]
struct Local<'a> {
    frame: Frame<'a>,
    wrong: bool,
    action: String,
    user: &'a str,
    return_to: &'a str,
    token: &'a str,
    others: Option<&'a str>,
}

/// The form for e-mail address, password and code. `wrong`: the last try failed (422), and nobody is told why. `others` leads to the other ways to sign in.
pub fn local(
    (user, return_to): (&str, &str),
    wrong: bool,
    token: &str,
    others: Option<&str>,
    context: &PageContext<'_>,
) -> Response<String> {
    let template = Local {
        frame: Frame::of(context),
        wrong,
        action: format!("{}/sign-in/local", context.prefix),
        user,
        return_to,
        token,
        others: others.map(href),
    };
    let status = if wrong {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    page(status, &template, context)
}

/// What the page of an invitation shows.
#[derive(Debug)]
pub struct Invitation<'a> {
    /// The address to sign in with.
    pub email: &'a str,
    /// Who is greeted.
    pub name: Option<&'a str>,
    /// Who invited, where it was a person.
    pub inviter: Option<&'a str>,
    /// Until when the link works.
    pub until: String,
    /// Whether the person is here already, and the link is for a password only.
    pub here: bool,
    /// Whether the account is for emergencies.
    pub break_glass: bool,
    /// What has to be changed, after a try.
    pub mistake: Option<String>,
    /// The form for a password, where one may be set.
    pub enrolment: Option<Enrolment<'a>>,
}

/// The form for a password and a second factor.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// Where it is posted.
    pub action: String,
    /// The QR code: markup of our own.
    pub svg: &'a str,
    /// The key as text.
    pub key: &'a str,
    /// The sealed key.
    pub sealed: &'a str,
    /// The token of the form.
    pub token: &'a str,
}

#[derive(Template)]
#[template(path = "invitation.html")]
struct InvitationPage<'a> {
    frame: Frame<'a>,
    email: &'a str,
    name: Option<&'a str>,
    inviter: Option<&'a str>,
    until: &'a str,
    here: bool,
    break_glass: bool,
    mistake: Option<&'a str>,
    buttons: Vec<Button<'a>>,
    form: Option<&'a Enrolment<'a>>,
}

/// The page that the link of an invitation leads to: a button for each IdP, and the form for a password where one may be set.
pub fn invitation(
    status: StatusCode,
    shown: &Invitation<'_>,
    choices: &[IdpChoice],
    context: &PageContext<'_>,
) -> Response<String> {
    let template = InvitationPage {
        frame: Frame::of(context),
        email: shown.email,
        name: shown.name,
        inviter: shown.inviter,
        until: &shown.until,
        here: shown.here,
        break_glass: shown.break_glass,
        mistake: shown.mistake.as_deref(),
        buttons: buttons(choices),
        form: shown.enrolment.as_ref(),
    };
    page(status, &template, context)
}

#[derive(Template)]
#[template(path = "enrolled.html")]
struct Enrolled<'a> {
    frame: Frame<'a>,
    address: &'a str,
    href: &'a str,
}

/// A break-glass account was set up; `address`: where to sign in to it.
pub fn enrolled(address: &str, context: &PageContext<'_>) -> Response<String> {
    let template = Enrolled {
        frame: Frame::of(context),
        address,
        href: href(address),
    };
    page(StatusCode::OK, &template, context)
}
