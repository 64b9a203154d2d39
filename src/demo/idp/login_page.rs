//! The IdP's pages. None needs JavaScript; the form of `form_post` merely posts itself where there is some.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};

use super::IdpError;
use super::model::TestUser;
use super::params::Params;

/// The parameter by which the login page says who was chosen.
pub(super) const CHOSEN: &str = "demo_user";

/// Why the chosen person is not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Disabled,
    Unknown,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Demo Identity</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
<main>
  <div class="mark"><svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" aria-hidden="true"><path d="M12 3 4.5 6v5.5c0 4.6 3.1 7.9 7.5 9.5 4.4-1.6 7.5-4.9 7.5-9.5V6Z"/><circle cx="12" cy="10" r="2.4"/><path d="M8.2 16a4 4 0 0 1 7.6 0"/></svg>Demo Identity</div>
  <h1>Choose who you are</h1>
  <p>to continue to <strong>{{ client }}</strong></p>
  {% if let Some(problem) = problem %}<p class="problem" role="alert">{{ problem }}</p>{% endif %}
  <form method="post" action="/authorize">
    {% for (name, value) in hidden %}<input type="hidden" name="{{ name }}" value="{{ value }}">
    {% endfor %}<ul>
    {% for person in people %}<li><button class="person" name="demo_user" value="{{ person.username }}"{% if !person.enabled %} disabled{% endif %}>
      <span class="face" aria-hidden="true">{{ person.initial() }}</span>
      <span><span class="who">{{ person.name }}</span>
      <span class="more">{{ person.email }}{% if !person.enabled %} · disabled{% endif %}</span>
      <span class="more">{{ person.groups() }}</span></span>
    </button></li>
    {% endfor %}</ul>
  </form>
  <footer>This identity provider is for trying things out: there are no passwords.</footer>
</main>
</html>"##
)]
struct People<'a> {
    client: &'a str,
    problem: Option<&'static str>,
    hidden: Vec<(&'a str, &'a str)>,
    people: Vec<Person<'a>>,
}

struct Person<'a> {
    username: &'a str,
    name: &'a str,
    email: &'a str,
    enabled: bool,
    groups: &'a [String],
}

impl Person<'_> {
    fn initial(&self) -> String {
        self.name
            .chars()
            .next()
            .unwrap_or('?')
            .to_uppercase()
            .collect()
    }

    fn groups(&self) -> String {
        match self.groups {
            [] => "no groups".to_owned(),
            [one] => format!("group {one}"),
            many if many.len() > 6 => format!("{} groups", many.len()),
            many => format!("groups {}", many.join(", ")),
        }
    }
}

/// The login page: the people as buttons; the request goes along in hidden fields.
pub(super) fn people(users: &[TestUser], params: &Params, problem: Option<Problem>) -> Response {
    let hidden = params.pairs().iter().filter(|(name, _)| name != CHOSEN);
    let page = People {
        client: params.get("client_id").unwrap_or("an app"),
        problem: problem.map(|problem| match problem {
            Problem::Disabled => "This account is disabled.",
            Problem::Unknown => "There is no such account.",
        }),
        hidden: hidden
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        people: users
            .iter()
            .map(|user| Person {
                username: &user.username,
                name: &user.name,
                email: &user.email,
                enabled: user.enabled,
                groups: &user.groups,
            })
            .collect(),
    };
    html(StatusCode::OK, page.render())
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · Demo Identity</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
<main>
  <div class="mark">Demo Identity</div>
  <h1>{{ title }}</h1>
  <p>{{ text }}</p>
</main>
</html>"##
)]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
}

fn message(status: StatusCode, title: &str, text: &str) -> Response {
    html(status, Message { title, text }.render())
}

/// A request that cannot be sent back to its redirect URI.
pub(super) fn problem(text: &str) -> Response {
    message(
        StatusCode::BAD_REQUEST,
        "This request cannot be answered",
        text,
    )
}

pub(super) fn signed_out() -> Response {
    message(
        StatusCode::OK,
        "You are signed out",
        "You can close this page.",
    )
}

pub(super) async fn front() -> Response {
    let text = "This is the identity provider. Open the app, and it sends you here to sign in.";
    message(StatusCode::OK, "Demo Identity", text)
}

pub(super) async fn style() -> Response {
    (
        [(CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("login.css"),
    )
        .into_response()
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Continue · Demo Identity</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
<main>
  <h1>You are signed in</h1>
  <form method="post" action="{{ action }}">
    {% for (name, value) in params %}<input type="hidden" name="{{ name }}" value="{{ value }}">
    {% endfor %}<button>Continue</button>
  </form>
</main>
<script>document.forms[0].submit()</script>
</html>"##
)]
struct FormPost<'a> {
    action: &'a str,
    params: &'a [(String, String)],
}

/// OAuth 2.0 Form Post Response Mode.
pub(super) fn form_post(action: &str, params: &[(String, String)]) -> Response {
    html(StatusCode::OK, FormPost { action, params }.render())
}

fn html(status: StatusCode, page: Result<String, askama::Error>) -> Response {
    match page {
        Ok(page) => (status, [(CACHE_CONTROL, "no-store")], Html(page)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl IntoResponse for IdpError {
    fn into_response(self) -> Response {
        // The text names no secret.
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
