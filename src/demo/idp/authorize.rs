//! The authorization endpoint: the code flow with PKCE, single sign-on, `prompt` and `max_age`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use cookie::{Cookie, SameSite};

use super::faults::{AuthorizeFault, Fault};
use super::login_page::{self, CHOSEN, Problem};
use super::params::Params;
use super::state::{self, Grant, IdpSession, Inner, Shared};
use super::{IdpError, TestUser};

/// The IdP's own session, so that a second sign-in asks nothing.
pub(super) const SESSION_COOKIE: &str = "demo_idp_session";
/// A test's browser sends this cookie with a user name to pass the login page.
const USER_COOKIE: &str = "demo_idp_user";

pub(super) async fn by_query(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, IdpError> {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    authorize(&shared, &params, &headers)
}

pub(super) async fn by_form(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, IdpError> {
    authorize(&shared, &Params::parse(&body), &headers)
}

/// What the request asks for, once client and redirect URI are known to be right.
struct Request<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    params: &'a Params,
}

/// An OAuth error that goes back to the redirect URI.
struct Refused(&'static str, &'static str);

/// Who goes on, or what is shown instead.
enum Who {
    SignedIn(IdpSession),
    FreshSignIn(TestUser),
    Ask(Option<Problem>),
    Refused(Refused),
}

fn authorize(shared: &Shared, params: &Params, headers: &HeaderMap) -> Result<Response, IdpError> {
    let mut inner = shared.lock();
    if params.get(CHOSEN).is_none() {
        inner.recorded.authorize.push(state::pairs(params));
    }
    let request = match checked_redirect(&inner, params) {
        Ok(request) => request,
        Err(problem) => return Ok(login_page::problem(problem)),
    };
    if let Err(Refused(error, why)) = checked_params(&inner, params) {
        return respond(shared, inner, &request, Answer::Error(error, why), None);
    }
    match who(&inner, params, headers) {
        Who::SignedIn(session) => grant(shared, inner, &request, session, None),
        Who::FreshSignIn(user) => {
            let session = IdpSession {
                sid: state::random()?,
                username: user.username,
                auth_time: inner.now(),
            };
            let id = state::random()?;
            inner.sessions.insert(id.clone(), session.clone());
            grant(shared, inner, &request, session, Some(id))
        }
        Who::Ask(problem) => Ok(login_page::people(&inner.users, params, problem)),
        Who::Refused(Refused(error, why)) => {
            respond(shared, inner, &request, Answer::Error(error, why), None)
        }
    }
}

fn checked_redirect<'a>(inner: &Inner, params: &'a Params) -> Result<Request<'a>, &'static str> {
    if params.repeated().is_some() {
        return Err("A parameter was sent twice.");
    }
    let client_id = params.get("client_id").unwrap_or_default();
    let client = inner
        .client(client_id)
        .ok_or("No such client is registered here.")?;
    let redirect_uri = params
        .get("redirect_uri")
        .ok_or("The redirect URI is missing.")?;
    if !client.redirect_uris.allow(redirect_uri) {
        return Err("This redirect URI is not registered for the client.");
    }
    Ok(Request {
        client_id,
        redirect_uri,
        params,
    })
}

fn checked_params(inner: &Inner, params: &Params) -> Result<(), Refused> {
    if params.get("response_type") != Some("code") {
        return Err(Refused(
            "unsupported_response_type",
            "only code is supported",
        ));
    }
    if !params
        .get("scope")
        .unwrap_or_default()
        .split(' ')
        .any(|word| word == "openid")
    {
        return Err(Refused("invalid_scope", "the scope openid is missing"));
    }
    if !matches!(
        params.get("response_mode"),
        None | Some("query" | "form_post")
    ) {
        return Err(Refused(
            "invalid_request",
            "this response_mode is not supported",
        ));
    }
    match (
        params.get("code_challenge"),
        params.get("code_challenge_method"),
    ) {
        (None, _) if inner.settings.require_pkce => {
            Err(Refused("invalid_request", "code_challenge is missing"))
        }
        (None, _) => Ok(()),
        (Some(challenge), Some("S256")) if challenge.len() == 43 => Ok(()),
        (Some(_), _) => Err(Refused(
            "invalid_request",
            "code_challenge is not one of S256",
        )),
    }
}

fn who(inner: &Inner, params: &Params, headers: &HeaderMap) -> Who {
    let prompts: Vec<&str> = params
        .get("prompt")
        .unwrap_or_default()
        .split(' ')
        .collect();
    let silent = prompts.contains(&"none");
    if let Some(chosen) = params.get(CHOSEN) {
        return match inner.user(chosen) {
            Some(user) if user.enabled => Who::FreshSignIn(user.clone()),
            Some(_) => Who::Ask(Some(Problem::Disabled)),
            None => Who::Ask(Some(Problem::Unknown)),
        };
    }
    let again = prompts.contains(&"login") || prompts.contains(&"select_account");
    let known =
        session(inner, headers).filter(|known| !again && young_enough(inner, params, known));
    let cookie = cookie(headers, USER_COOKIE);
    let automatic = cookie
        .as_deref()
        .or(inner.settings.sign_in_as.as_deref())
        .or(params.get("login_hint"))
        .and_then(|hint| inner.user_by_hint(hint));
    match (known, automatic) {
        // A browser that says who it is gets no session of somebody else.
        (Some(known), Some(user)) if known.username != user.username => {
            Who::FreshSignIn(user.clone())
        }
        (Some(known), _) => Who::SignedIn(known),
        (None, Some(user)) if user.enabled => Who::FreshSignIn(user.clone()),
        (None, _) if silent => Who::Refused(Refused("login_required", "nobody is signed in")),
        (None, Some(_)) => Who::Ask(Some(Problem::Disabled)),
        (None, None) => Who::Ask(None),
    }
}

fn session(inner: &Inner, headers: &HeaderMap) -> Option<IdpSession> {
    let known = inner.sessions.get(&cookie(headers, SESSION_COOKIE)?)?;
    let enabled = inner.user(&known.username).is_some_and(|user| user.enabled);
    enabled.then(|| known.clone())
}

/// `max_age` in seconds; 0 asks always (OIDC Core section 3.1.2.1).
fn young_enough(inner: &Inner, params: &Params, known: &IdpSession) -> bool {
    let max_age = params
        .get("max_age")
        .and_then(|text| text.parse::<i64>().ok());
    max_age.is_none_or(|limit| inner.now() - known.auth_time < limit)
}

pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(axum::http::header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

enum Answer {
    Code(String),
    Error(&'static str, &'static str),
}

fn grant(
    shared: &Shared,
    mut inner: std::sync::MutexGuard<'_, Inner>,
    request: &Request<'_>,
    session: IdpSession,
    new_cookie: Option<String>,
) -> Result<Response, IdpError> {
    let text = |name: &str| request.params.get(name).map(str::to_owned);
    let code = state::random()?;
    let grant = Grant {
        client_id: request.client_id.to_owned(),
        redirect_uri: request.redirect_uri.to_owned(),
        session,
        scope: text("scope").unwrap_or_default(),
        nonce: text("nonce"),
        code_challenge: text("code_challenge"),
        family: state::random()?,
        expires_at: inner.now() + 60,
    };
    inner.recorded.sids.push(grant.session.sid.clone());
    inner.codes.insert(code.clone(), grant);
    respond(shared, inner, request, Answer::Code(code), new_cookie)
}

/// Sends the browser back, by a redirect or by a form that posts itself.
fn respond(
    shared: &Shared,
    mut inner: std::sync::MutexGuard<'_, Inner>,
    request: &Request<'_>,
    answer: Answer,
    new_cookie: Option<String>,
) -> Result<Response, IdpError> {
    let mut back: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: &str| back.push((name.to_owned(), value.to_owned()));
    let earlier_code = inner.last_code.clone();
    match answer {
        Answer::Code(code) => {
            put("code", &code);
            inner.last_code = Some(code);
        }
        Answer::Error(error, description) => {
            put("error", error);
            put("error_description", description);
        }
    }
    if let Some(state) = request.params.get("state") {
        put("state", state);
    }
    if inner.settings.response_iss {
        put("iss", &shared.issuer);
    }
    let faults = inner.faults.take(|fault| {
        let Fault::Authorize(fault) = fault else {
            return None;
        };
        Some(fault.clone())
    });
    for fault in faults {
        spoil(&mut back, fault, earlier_code.as_deref());
    }
    let mut response = match request.params.get("response_mode") {
        Some("form_post") => login_page::form_post(request.redirect_uri, &back),
        _ => redirect(request.redirect_uri, &back),
    };
    if let Some(id) = new_cookie {
        let cookie = Cookie::build((SESSION_COOKIE, id))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax);
        if let Ok(line) = cookie.to_string().parse() {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
    Ok(response)
}

fn spoil(back: &mut Vec<(String, String)>, fault: AuthorizeFault, earlier_code: Option<&str>) {
    match fault {
        AuthorizeFault::Error(error, description) => {
            back.retain(|(name, _)| name != "code");
            back.insert(0, ("error".to_owned(), error));
            back.insert(1, ("error_description".to_owned(), description));
        }
        AuthorizeFault::Param(name, value) => {
            back.retain(|(known, _)| *known != name);
            back.push((name, value));
        }
        AuthorizeFault::Remove(name) => back.retain(|(known, _)| *known != name),
        AuthorizeFault::Add(name, value) => back.push((name, value)),
        AuthorizeFault::SwapCode => {
            for (name, value) in back {
                if name == "code" {
                    *value = earlier_code.unwrap_or("no-earlier-code").to_owned();
                }
            }
        }
    }
}

fn redirect(to: &str, params: &[(String, String)]) -> Response {
    let Ok(mut url) = url::Url::parse(to) else {
        return login_page::problem("This redirect URI is no URL.");
    };
    url.query_pairs_mut().extend_pairs(params);
    let headers = [(LOCATION, url.as_str()), (CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}
