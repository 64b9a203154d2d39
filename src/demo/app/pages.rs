//! The app's pages: what a small product would show, and where each value came from.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};

use super::accounts::Account;
use super::identity::{Identity, SignatureError};

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }} · Fieldnotes</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/public/style.css">
<header><div>
  <a class="mark" href="/"><svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.9" aria-hidden="true"><path d="M6 3h9l4 4v14H6Z"/><path d="M9.5 11h6M9.5 15h6"/></svg>Fieldnotes</a>
  <nav aria-label="Main">
    <a href="/"{% if at == "/" %} aria-current="page"{% endif %}>Home</a>
    <a href="/public/"{% if at == "/public/" %} aria-current="page"{% endif %}>Public</a>
    <a href="/admin"{% if at == "/admin" %} aria-current="page"{% endif %}>Admin</a>
  </nav>
  <div class="me">
  {% if let Some(person) = person %}<span class="face" aria-hidden="true">{{ person.initial() }}</span><span>{{ person.name }}</span>
    <a href="/_usher/sign-out">Sign out</a>{% else %}<a href="/">Sign in</a>{% endif %}
  </div>
</div></header>
<main>
{{ body|safe }}
</main>
</html>"##
)]
struct Layout<'a> {
    title: &'a str,
    at: &'a str,
    person: Option<&'a Identity>,
    /// HTML of one of the templates below.
    body: &'a str,
}

impl Identity {
    fn initial(&self) -> String {
        self.name
            .chars()
            .next()
            .unwrap_or('?')
            .to_uppercase()
            .collect()
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<h1>Hello, {{ person.name }}</h1>
<p class="lead">You are signed in as {{ person.email }}. This app has no login of its own: usher told it who you are.</p>
{% if let Some(account) = account %}{% if !account.active %}<p class="notice" role="alert">Your account here is deactivated.</p>{% endif %}{% endif %}
<div class="cards">
  <section class="card"><h2>Your role</h2>
    <div class="big">{% for role in person.roles %}<span class="chip">{{ role }}</span> {% endfor %}</div>
    <p>from your IdP groups: {{ groups }}</p></section>
  <section class="card"><h2>Your account</h2>
    {% if let Some(account) = account %}<div class="big">No. {{ account.number }}</div>
    <p>Created by the provisioning callback, before your first request arrived (<code>{{ account.created_by }}</code>).</p>
    {% else %}<div class="big bad">None</div><p>The callback did not create one.</p>{% endif %}</section>
  <section class="card"><h2>Your identity</h2>
    {% match signature %}{% when Ok with (kid) %}<div class="big good">✓ Signature verified</div>
    <p><code>X-Usher-Jwt</code>, ES256, key <code>{{ kid }}</code>, checked against usher’s published keys.</p>
    {% when Err with (why) %}<div class="big bad">✗ Not verified</div><p>{{ why }}</p>{% endmatch %}</section>
  <section class="card"><h2>Live connection</h2>
    <div class="big" id="clock" role="timer">–</div>
    <p id="clock-state">A stream from <code>/events</code>; it ends the moment you sign out.</p></section>
</div>
<details><summary>Headers that usher sent with this request</summary>
<div class="table"><table>
{% for (name, value) in headers %}<tr><th scope="row"><code>{{ name }}</code></th><td><code>{{ value }}</code></td></tr>
{% endfor %}</table></div></details>
<script>
const clock = document.getElementById("clock"), state = document.getElementById("clock-state");
const events = new EventSource("/events");
events.onmessage = event => { clock.textContent = event.data; };
events.onerror = () => { events.close(); clock.textContent = "ended"; state.textContent = "The stream was closed."; };
</script>"##
)]
struct Home<'a> {
    person: &'a Identity,
    groups: String,
    account: Option<&'a Account>,
    signature: &'a Result<String, SignatureError>,
    headers: &'a [(String, String)],
}

/// Everything the home page shows.
pub(super) struct HomeView<'a> {
    pub(super) person: &'a Identity,
    pub(super) account: Option<&'a Account>,
    pub(super) signature: &'a Result<String, SignatureError>,
    pub(super) headers: &'a [(String, String)],
}

pub(super) fn home(view: &HomeView<'_>) -> Response {
    let groups = match view.person.groups.as_slice() {
        [] => "none".to_owned(),
        groups => groups.join(", "),
    };
    let body = Home {
        person: view.person,
        groups,
        account: view.account,
        signature: view.signature,
        headers: view.headers,
    };
    page(
        StatusCode::OK,
        "Home",
        "/",
        Some(view.person),
        body.render(),
    )
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<h1>Everybody’s notes</h1>
<p class="lead">This page is public: usher lets everybody pass here, and no identity header comes with the request.
{% if signed_in %}Yet this request carried an identity.{% endif %}</p>
<div class="cards"><section class="card"><h2>Try it</h2><p><a href="/">Open the private part</a>, and usher sends you to your IdP.</p></section></div>"##
)]
struct Public {
    signed_in: bool,
}

pub(super) fn public(person: Option<&Identity>) -> Response {
    let body = Public {
        signed_in: person.is_some(),
    };
    page(StatusCode::OK, "Public", "/public/", person, body.render())
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<h1>Accounts</h1>
<p class="lead">Only people with the role admin see this page. usher refuses all others before the app is asked.</p>
<div class="card table"><table>
<tr><th scope="col">No.</th><th scope="col">Name</th><th scope="col">E-mail</th><th scope="col">Roles</th><th scope="col">State</th></tr>
{% for account in accounts %}<tr><td>{{ account.number }}</td><td>{{ account.name }}</td><td>{{ account.email }}</td><td>{{ account.roles.join(", ") }}</td><td>{% if account.active %}active{% else %}deactivated{% endif %}</td></tr>
{% endfor %}</table></div>"##
)]
struct Admin<'a> {
    accounts: &'a [Account],
}

pub(super) fn admin(person: &Identity, accounts: &[Account]) -> Response {
    let body = Admin { accounts };
    page(
        StatusCode::OK,
        "Admin",
        "/admin",
        Some(person),
        body.render(),
    )
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"<h1>{{ title }}</h1><p class="lead">{{ text }}</p>"##
)]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
}

pub(super) fn message(
    status: StatusCode,
    person: Option<&Identity>,
    title: &str,
    text: &str,
) -> Response {
    page(status, title, "", person, Message { title, text }.render())
}

pub(super) async fn style() -> Response {
    (
        [(CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("app.css"),
    )
        .into_response()
}

fn page(
    status: StatusCode,
    title: &str,
    at: &str,
    person: Option<&Identity>,
    body: Result<String, askama::Error>,
) -> Response {
    let page = body.and_then(|body| {
        let body = body.as_str();
        Layout {
            title,
            at,
            person,
            body,
        }
        .render()
    });
    match page {
        Ok(page) => (status, [(CACHE_CONTROL, "no-store")], Html(page)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
