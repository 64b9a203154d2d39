//! The admin pages: rendered here, working without JavaScript, at an origin of their own.

mod answer;
mod audit;
mod fields;
mod guard;
mod idps;
mod invitations;
mod overview;
mod people;
mod person;
mod tester;
mod words;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderValue, REFERRER_POLICY};
use http::request::Parts;
use http::{Method, Request, Response};
use jiff::Timestamp;

use self::answer::{Frame, Tab};
use self::fields::Fields;
use self::guard::Admin;
use crate::audit::{Actor, By};
use crate::config::Site;
use crate::pages::{self, Form, PageContext};
use crate::refusal::{Reason, Refusal};
use crate::sign_in::cookies::BrowserCookies;
use crate::store::StoreError;
use crate::usher::Usher;

/// What the pages must know of a request besides its head and body.
#[derive(Clone, Copy, Debug)]
pub struct PageAsked<'a> {
    /// Request id.
    pub request_id: &'a str,
    /// Address of the client.
    pub client: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// Answers a request at `admin.public_url` that is for none of usher's endpoints. Never fails: a fault is an answer too.
pub async fn answer(
    usher: &Arc<Usher>,
    request: Request<Bytes>,
    asked: PageAsked<'_>,
) -> Response<String> {
    let (parts, body) = request.into_parts();
    let site = usher
        .config
        .admin
        .as_ref()
        .and_then(|admin| admin.site.as_ref());
    let Some(site) = site else {
        let context = context(usher, "usher", &asked);
        let refusal = Refusal::new(Reason::NotFound, "`admin.public_url` is not set");
        return pages::refusal(&refusal, Form::Json, &context, None);
    };
    let call = Call {
        usher,
        site,
        asked,
        browser: BrowserCookies::read(&parts.headers),
        parts: &parts,
        body: &body,
    };
    let mut response = match serve(&call).await {
        Ok(response) => response,
        Err(stop) => call.stopped(stop),
    };
    answer::seal_off(&mut response);
    if parts.method == Method::HEAD {
        pages::for_head(response)
    } else {
        response
    }
}

/// Who may look, then who may change, then the page.
async fn serve(call: &Call<'_>) -> Result<Response<String>, Stop> {
    let admin = guard::admitted(call).await?;
    let segments: Vec<&str> = call.parts.uri.path().split('/').skip(1).collect();
    match call.parts.method {
        Method::GET | Method::HEAD => look(call, &admin, &segments).await,
        Method::POST => {
            let form = Fields::of_body(call.parts, call.body)?;
            guard::may_change(call, &admin, &form)?;
            change(call, &admin, &segments, &form).await
        }
        _ => Err(not_for_that_method()),
    }
}

/// The path table of what is shown.
async fn look(call: &Call<'_>, admin: &Admin, segments: &[&str]) -> Result<Response<String>, Stop> {
    match segments {
        [""] => overview::show(call, admin).await,
        ["people"] => people::list(call, admin).await,
        ["people", id] => person::show(call, admin, id).await,
        ["invitations"] => invitations::list(call, admin).await,
        ["invitations", "new"] => invitations::form(call, admin),
        ["identity-providers"] => idps::list(call, admin),
        ["identity-providers", id] => idps::show(call, admin, id),
        ["identity-providers", id, "test"] => idps::test_result(call, admin, id),
        ["roles"] => tester::show(call, admin),
        ["audit"] => audit::list(call, admin).await,
        ["audit.csv"] => audit::file(call).await,
        _ => Err(nothing_there()),
    }
}

/// The path table of what changes something.
async fn change(
    call: &Call<'_>,
    admin: &Admin,
    segments: &[&str],
    form: &Fields,
) -> Result<Response<String>, Stop> {
    match segments {
        ["people", id, what] => person::change(call, admin, (id, what), form).await,
        ["invitations"] => invitations::invite(call, admin, form).await,
        ["invitations", "upload"] => invitations::upload(call, admin, form).await,
        ["invitations", id, "withdraw"] => invitations::withdraw(call, admin, id).await,
        ["identity-providers", id, "switch"] => idps::switch(call, admin, id, form).await,
        ["identity-providers", id, "test"] => idps::begin_test(call, admin, id).await,
        _ => Err(nothing_there()),
    }
}

/// One request, with what is needed to answer it.
struct Call<'a> {
    usher: &'a Arc<Usher>,
    site: &'a Arc<Site>,
    asked: PageAsked<'a>,
    browser: BrowserCookies,
    parts: &'a Parts,
    body: &'a Bytes,
}

/// Why there is no page.
enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// Nobody is signed in here.
    SignIn,
    /// The last sign-in is too long ago for a change.
    SignInAnew(Box<Admin>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(Refusal::new(Reason::StoreDown, error.to_string()))
    }
}

fn nothing_there() -> Stop {
    Refusal::new(Reason::NotFound, "no admin page has that path").into()
}

fn not_for_that_method() -> Stop {
    let cause = "the admin pages take GET, HEAD and POST";
    Refusal::new(Reason::MethodNotAllowed, cause).into()
}

fn bad(cause: impl Into<String>) -> Stop {
    Refusal::new(Reason::BadRequest, cause).into()
}

fn context<'a>(usher: &'a Usher, site: &'a str, asked: &PageAsked<'a>) -> PageContext<'a> {
    PageContext {
        prefix: &usher.config.prefix,
        request_id: asked.request_id,
        site,
        form_origins: &[],
    }
}

impl Call<'_> {
    fn context(&self) -> PageContext<'_> {
        context(self.usher, &self.site.public_url.host, &self.asked)
    }

    /// Who does what is asked for, for the log.
    fn by(&self, admin: &Admin) -> By {
        By {
            actor: Actor::User(admin.person.user.clone()),
            client: Some(self.asked.client),
            request_id: Some(self.asked.request_id.to_owned()),
        }
    }

    /// What stands around a page.
    fn frame(&self, admin: &Admin, here: Tab) -> Result<Frame<'_>, Stop> {
        let query = Fields::of_query(self.parts);
        Ok(Frame {
            style: answer::STYLE,
            prefix: &self.usher.config.prefix,
            tabs: answer::tabs(here),
            name: admin.name(),
            csrf: guard::token(self, admin)?,
            done: query.first("done").and_then(words::done),
            confirm: (!guard::is_recent(&admin.session, self.asked.now))
                .then(|| guard::sign_in_anew(self, admin, self.here())),
        })
    }

    /// The path with its query, as it was asked for.
    fn here(&self) -> &str {
        let target = self.parts.uri.path_and_query();
        target.map_or("/", |target| target.as_str())
    }

    /// The page that a request belongs to: to come back to, where the request itself cannot be repeated.
    fn page_of(&self) -> String {
        if self.parts.method != Method::POST {
            return self.here().to_owned();
        }
        let path = self.parts.uri.path();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments.as_slice() {
            [list @ ("people" | "identity-providers"), id, ..] => format!("/{list}/{id}"),
            [list @ "invitations", ..] => format!("/{list}"),
            _ => "/".to_owned(),
        }
    }

    fn stopped(&self, stop: Stop) -> Response<String> {
        let posted = self.parts.method == Method::POST;
        let form = if posted {
            Form::Page
        } else {
            pages::form_of(&self.parts.method, &self.parts.headers)
        };
        let sign_in = guard::sign_in(self, &self.page_of());
        match stop {
            Stop::SignIn if form == Form::Page && !posted => pages::redirect(&sign_in, false),
            Stop::SignIn => {
                let refusal = Refusal::new(Reason::SignInRequired, "no session at the admin pages");
                self.refused(&refusal, form, &sign_in)
            }
            Stop::SignInAnew(admin) => {
                let cause = "the last sign-in is too long ago for a change";
                let refusal = Refusal::new(Reason::SignInTooOld, cause);
                let anew = guard::sign_in_anew(self, &admin, &self.page_of());
                self.refused(&refusal, form, &anew)
            }
            Stop::Refused(refusal) => self.refused(&refusal, form, &sign_in),
        }
    }

    fn refused(&self, refusal: &Refusal, form: Form, sign_in: &str) -> Response<String> {
        tracing::info!(
            event = "refused",
            request_id = self.asked.request_id,
            reason = refusal.reason.code(),
            path = self.parts.uri.path(),
            client = %self.asked.client,
            cause = refusal.cause,
            "refused"
        );
        pages::refusal(refusal, form, &self.context(), Some(sign_in))
    }
}

/// After a change: off to a page that can be reloaded, which says what was done by its code.
fn done(page: &str, code: &str) -> Response<String> {
    let mark = if page.contains('?') { '&' } else { '?' };
    let mut response = pages::redirect(&format!("{page}{mark}done={code}"), true);
    let policy = HeaderValue::from_static("no-referrer");
    response.headers_mut().insert(REFERRER_POLICY, policy);
    response
}
