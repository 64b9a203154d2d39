//! Everything under `/_usher`: functions over `http` types, with one path table.

mod callback;
mod invitation;
mod local;
mod me;
mod oidc_logout;
mod query;
mod saml;
mod scim;
mod sign_in;
mod sign_out;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{Method, Request, Response};
use jiff::Timestamp;

use crate::audit::{Actor, By};
use crate::config::{App, Site};
use crate::idp::saml::Outgoing;
use crate::pages::{self, Form, PageContext};
use crate::refusal::{Reason, Refusal};
use crate::sign_in::Finished;
use crate::sign_in::cookies::BrowserCookies;
use crate::trace::Carried;
use crate::usher::Usher;

/// Largest body that an endpoint reads, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// What an endpoint must know of the request besides its head and body.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The site that the Host led to.
    pub site: &'a Arc<Site>,
    /// Request id.
    pub request_id: &'a str,
    /// Address of the client, behind trusted proxies where there are.
    pub client: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// How many bytes of its body are read for an answer; or the answer to who may not even send one.
pub fn body_limit(usher: &Usher, parts: &Parts) -> Result<usize, Box<Response<String>>> {
    scim::body_limit(usher, parts).unwrap_or(Ok(BODY_LIMIT))
}

/// Answers a request under the prefix. Never fails: a fault is an answer too.
pub async fn answer(
    usher: &Arc<Usher>,
    request: Request<Bytes>,
    asked: &Asked<'_>,
) -> Response<String> {
    let (parts, body) = request.into_parts();
    if let Some((idp, path)) = scim::place(usher, parts.uri.path()) {
        let (idp, path) = (idp.to_owned(), path.to_owned());
        let response = scim::answer(usher, (parts.clone(), body), (&idp, &path), asked).await;
        return fitting(&parts.method, response);
    }
    let call = Call {
        usher,
        asked,
        browser: BrowserCookies::read(&parts.headers),
        parts: &parts,
        body: &body,
    };
    let response = match route(&call).await {
        Ok(response) => response,
        Err(refusal) => call.refuse(&refusal),
    };
    fitting(&parts.method, response)
}

/// A HEAD gets the same fields and no body.
pub fn fitting(method: &Method, response: Response<String>) -> Response<String> {
    if method == Method::HEAD {
        pages::for_head(response)
    } else {
        response
    }
}

/// The path table.
async fn route(call: &Call<'_>) -> Result<Response<String>, Refusal> {
    let rest = call
        .parts
        .uri
        .path()
        .strip_prefix(call.usher.config.prefix.as_str())
        .unwrap_or_default();
    let segments: Vec<&str> = rest.split('/').skip(1).collect();
    let get = matches!(call.parts.method, Method::GET | Method::HEAD);
    let post = call.parts.method == Method::POST;
    match segments.as_slice() {
        ["sign-in"] if get => sign_in::choose(call).await,
        ["sign-in", "local"] if get || post => local::local(call).await,
        ["invitation", token] if get || post => invitation::invitation(call, token).await,
        ["sign-in", idp] if get => sign_in::start(call, idp).await,
        ["oidc", idp, "callback"] if get || post => callback::oidc(call, idp).await,
        ["saml", idp, "metadata"] if get => saml::metadata(call, idp),
        ["saml", idp, "acs"] if post => saml::acs(call, idp).await,
        ["saml", idp, "slo"] if get || post => saml::slo(call, idp).await,
        ["oidc", idp, "backchannel-logout"] if post => {
            Ok(oidc_logout::back_channel(call, idp).await)
        }
        ["oidc", idp, "frontchannel-logout"] if get => oidc_logout::front_channel(call, idp).await,
        ["sign-out"] if get || post => sign_out::sign_out(call).await,
        ["me"] if get => me::me(call).await,
        ["jwks.json"] if get => Ok(jwks(call)),
        ["sign-in"]
        | ["sign-in", _]
        | ["invitation", _]
        | [
            "oidc",
            _,
            "callback" | "backchannel-logout" | "frontchannel-logout",
        ]
        | ["saml", _, "metadata" | "acs" | "slo"]
        | ["sign-out"]
        | ["me"]
        | ["jwks.json"] => Err(Refusal::new(
            Reason::MethodNotAllowed,
            "the path is known, the method is not for it",
        )),
        _ => Err(Refusal::new(Reason::NotFound, "no endpoint has that path")),
    }
}

/// The parts of a path below the prefix; none of another.
fn below_prefix<'a>(usher: &Usher, path: &'a str) -> Option<Vec<&'a str>> {
    let rest = path.strip_prefix(usher.config.prefix.as_str())?;
    Some(rest.strip_prefix('/')?.split('/').collect())
}

/// The pattern of an endpoint's path, which tells nothing of the request; none where nothing is there.
pub fn pattern(usher: &Usher, path: &str) -> Option<String> {
    let pattern = match below_prefix(usher, path)?.as_slice() {
        ["sign-in"] => "/sign-in",
        ["sign-in", "local"] => "/sign-in/local",
        ["sign-in", _] => "/sign-in/{idp}",
        ["invitation", _] => "/invitation/{token}",
        ["oidc", _, "callback"] => "/oidc/{idp}/callback",
        ["oidc", _, "backchannel-logout"] => "/oidc/{idp}/backchannel-logout",
        ["oidc", _, "frontchannel-logout"] => "/oidc/{idp}/frontchannel-logout",
        ["saml", _, "metadata"] => "/saml/{idp}/metadata",
        ["saml", _, "acs"] => "/saml/{idp}/acs",
        ["saml", _, "slo"] => "/saml/{idp}/slo",
        ["scim", _, ..] => "/scim/{idp}",
        ["sign-out"] => "/sign-out",
        ["me"] => "/me",
        ["jwks.json"] => "/jwks.json",
        ["auth"] => "/auth",
        ["forward-auth"] => "/forward-auth",
        ["ext-authz", ..] => "/ext-authz/{*path}",
        _ => return None,
    };
    Some(format!("{}{pattern}", usher.config.prefix))
}

/// Whether a path is one where the answers of IdPs arrive.
pub fn may_end_sign_in(usher: &Usher, path: &str) -> bool {
    matches!(
        below_prefix(usher, path).as_deref(),
        Some(["oidc", _, "callback"] | ["saml", _, "acs"])
    )
}

/// Where the sign-in that a request ends began, in its trace.
pub fn trace_of_sign_in(
    usher: &Usher,
    (parts, body): (&Parts, &Bytes),
    site: &Site,
    now: Timestamp,
) -> Option<Carried> {
    let (idp, name) = match below_prefix(usher, parts.uri.path())?.as_slice() {
        ["oidc", idp, "callback"] => (*idp, "state"),
        ["saml", idp, "acs"] => (*idp, "RelayState"),
        _ => return None,
    };
    let parameters = match parts.method == Method::POST {
        true => query::Parameters::of_form(parts, body).ok()?,
        false => query::Parameters::of_query(parts),
    };
    let token = parameters.one(name).ok()??;
    let browser = BrowserCookies::read(&parts.headers);
    usher.sign_in.trace_of(idp, token, site, &browser, now)
}

/// One request to an endpoint, with what is needed to answer it.
struct Call<'a> {
    usher: &'a Arc<Usher>,
    asked: &'a Asked<'a>,
    browser: BrowserCookies,
    parts: &'a Parts,
    body: &'a Bytes,
}

impl Call<'_> {
    /// The request for the log, by nobody known yet.
    fn by(&self) -> By {
        By {
            actor: Actor::Nobody,
            client: Some(self.asked.client),
            request_id: Some(self.asked.request_id.to_owned()),
        }
    }

    fn form(&self) -> Form {
        form_of(self.parts)
    }

    /// Runs `then` with what a page needs to know.
    fn page(&self, then: impl FnOnce(&PageContext<'_>) -> Response<String>) -> Response<String> {
        with_context(self.usher, self.asked, then)
    }

    fn refuse(&self, refusal: &Refusal) -> Response<String> {
        let after_post_or_page = if self.parts.method == Method::POST {
            Form::Page
        } else {
            self.form()
        };
        log(refusal, self.asked, loggable(self.parts.uri.path()));
        let sign_in = sign_in_url(self.usher, &self.asked.site.public_url.origin, "/");
        let mut response = self
            .page(|context| pages::refusal(refusal, after_post_or_page, context, Some(&sign_in)));
        if refusal.reason == Reason::SignInLoop {
            set_cookies(
                &mut response,
                &[crate::sign_in::SignIn::forget_loop(self.asked.site)],
            );
        }
        response
    }
}

/// What a request to `app` gets that needs a sign-in: a redirect for a navigation, else 401 JSON. The caller makes it [`fitting`].
pub fn needs_sign_in(
    usher: &Usher,
    app: &App,
    request: &Parts,
    asked: &Asked<'_>,
) -> Response<String> {
    let form = form_of(request);
    let url = sign_in_url(usher, &app.public_url.origin, return_target(request, form));
    match form {
        Form::Page => pages::redirect(&url, false),
        Form::Json => {
            let refusal = Refusal::new(Reason::SignInRequired, "no session");
            with_context(usher, asked, |context| {
                pages::refusal(&refusal, form, context, Some(&url))
            })
        }
    }
}

/// What a request to an app gets that is refused: a page for a navigation, else JSON. The caller logs it and makes it [`fitting`].
pub fn refused(
    usher: &Usher,
    refusal: &Refusal,
    request: &Parts,
    asked: &Asked<'_>,
) -> Response<String> {
    let form = form_of(request);
    let origin = &asked.site.public_url.origin;
    let url = sign_in_url(usher, origin, return_target(request, form));
    with_context(usher, asked, |context| {
        pages::refusal(refusal, form, context, Some(&url))
    })
}

/// Only a navigation says where to come back to: a script's address is no page.
fn return_target(request: &Parts, form: Form) -> &str {
    match form {
        Form::Page => request
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str()),
        Form::Json => "/",
    }
}

fn with_context(
    usher: &Usher,
    asked: &Asked<'_>,
    then: impl FnOnce(&PageContext<'_>) -> Response<String>,
) -> Response<String> {
    let form_origins = usher.sign_in.form_origins();
    then(&PageContext {
        prefix: &usher.config.prefix,
        request_id: asked.request_id,
        site: &asked.site.public_url.host,
        form_origins: &form_origins,
    })
}

/// The absolute URL that signs in and comes back.
fn sign_in_url(usher: &Usher, origin: &str, return_to: &str) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("return_to", return_to)
        .finish();
    format!("{origin}{}/sign-in?{query}", usher.config.prefix)
}

fn form_of(parts: &Parts) -> Form {
    pages::form_of(&parts.method, &parts.headers)
}

fn log(refusal: &Refusal, asked: &Asked<'_>, path: &str) {
    tracing::info!(
        event = "refused",
        request_id = asked.request_id,
        reason = refusal.reason.code(),
        check = refusal.check.map(|check| check.code),
        path,
        client = %asked.client,
        cause = refusal.cause,
        "refused"
    );
}

/// Sends the browser to an IdP.
fn leave(call: &Call<'_>, way: &Outgoing) -> Response<String> {
    match way {
        Outgoing::Redirect(location) => {
            pages::redirect(location.as_str(), call.parts.method == Method::POST)
        }
        Outgoing::Post { action, fields } => {
            call.page(|context| pages::post_form(action, fields, context))
        }
    }
}

/// Into the app after a sign-in by a form, or to the page that says why the app does not let somebody in.
fn arrive(call: &Call<'_>, finished: &Finished) -> Response<String> {
    let mut response = match &finished.outcome {
        Ok(location) => pages::redirect(location, true),
        Err(refusal) => call.refuse(refusal),
    };
    set_cookies(&mut response, &finished.cookies);
    response
}

/// A path as it may stand in a log: the secret of an invitation link may not.
pub fn loggable(path: &str) -> &str {
    const LINK: &str = "/invitation/";
    path.find(LINK)
        .and_then(|at| path.get(..at + LINK.len()))
        .unwrap_or(path)
}

fn set_cookies(response: &mut Response<String>, lines: &[String]) {
    for line in lines {
        if let Ok(value) = HeaderValue::from_str(line) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
}

/// The public keys of the signed header (RFC 7517): the only answer of usher's own that may be cached.
fn jwks(call: &Call<'_>) -> Response<String> {
    let mut response = pages::json(http::StatusCode::OK, &call.usher.keys.load().jwks);
    response.headers_mut().insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    response
}
