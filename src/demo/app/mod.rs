//! The demo app: a small product that knows nothing of single sign-on. It keeps accounts, which its provisioning
//! callback makes, and believes the identity headers once their signature is verified.

mod accounts;
mod identity;
mod pages;
mod webhook;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use accounts::Account;

use super::{loopback_client, serve};
use accounts::{Accounts, Event, Outcome};
use identity::{Identity, Verifier};
use pages::HomeView;
use webhook::WebhookKey;

/// What the app is told when it is installed.
#[derive(Clone)]
pub struct AppSettings {
    /// usher's public URL, the `iss` of the signed header; its keys are fetched below it.
    pub usher_url: String,
    /// The id of this app in usher's config, the `aud` of the signed header.
    pub app_id: String,
    /// The secret of the provisioning callback, `whsec_…`.
    pub webhook_secret: String,
}

/// The running app. It ends when this value is dropped.
pub struct DemoApp {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: AbortHandle,
}

struct Shared {
    accounts: Mutex<Accounts>,
    webhook_key: WebhookKey,
    verifier: Verifier,
}

impl Shared {
    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DemoApp {
    /// Listens and serves on the caller's runtime. Port 0 takes a free one. The process-wide rustls provider has to
    /// be installed before.
    ///
    /// # Errors
    /// The address cannot be bound, or the webhook secret is none.
    pub async fn start(address: SocketAddr, settings: &AppSettings) -> io::Result<DemoApp> {
        let key = WebhookKey::parse(&settings.webhook_secret)
            .ok_or_else(|| io::Error::other("the webhook secret is not whsec_<base64>"))?;
        let http = loopback_client(Duration::from_secs(3)).map_err(io::Error::other)?;
        let usher = settings.usher_url.trim_end_matches('/');
        let jwks = format!("{usher}/_usher/jwks.json");
        let shared = Arc::new(Shared {
            accounts: Mutex::default(),
            webhook_key: key,
            verifier: Verifier::new(http, &jwks, usher, &settings.app_id),
        });
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let server = serve::spawn(listener, router(Arc::clone(&shared)));
        Ok(DemoApp {
            address,
            shared,
            server,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where usher sends the provisioning events.
    pub fn callback_url(&self) -> String {
        format!("http://{}/internal/users", self.address)
    }

    /// The accounts, by user id.
    pub fn accounts(&self) -> Vec<Account> {
        self.shared.accounts().all()
    }

    /// How many authentic events came, repeated ones included.
    pub fn events(&self) -> u64 {
        self.shared.accounts().events()
    }
}

impl Drop for DemoApp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let callback = post(callback).layer(DefaultBodyLimit::max(64 * 1024));
    Router::new()
        .route("/", get(home))
        .route("/whoami", get(whoami))
        .route("/public/", get(public))
        .route("/public/style.css", get(pages::style))
        .route("/admin", get(admin))
        .route("/events", get(events))
        .route("/ws", any(echo))
        .route("/headers", any(headers))
        .route("/internal/users", callback)
        .fallback(missing)
        .with_state(shared)
}

async fn home(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(person) = Identity::read(&headers) else {
        return nobody();
    };
    let signature = shared.verifier.verify(&headers, &person).await;
    let account = shared.accounts().of(&person.user).cloned();
    pages::home(&HomeView {
        person: &person,
        account: account.as_ref(),
        signature: &signature,
        headers: &forwarded(&headers),
    })
}

/// The same as the home page, for programs.
async fn whoami(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(person) = Identity::read(&headers) else {
        return nobody();
    };
    let signature = shared.verifier.verify(&headers, &person).await;
    let account = shared.accounts().of(&person.user).cloned();
    let account = account.map(|account| {
        json!({
            "number": account.number.to_string(),
            "created_by": account.created_by,
            "created_events": account.created_events,
            "active": account.active,
        })
    });
    Json(json!({
        "user": person.user,
        "name": person.name,
        "email": person.email,
        "roles": person.roles,
        "groups": person.groups,
        "account_header": person.account,
        "account": account,
        "signature_verified": signature.is_ok(),
        "signature_problem": signature.err().map(|why| why.to_string()),
    }))
    .into_response()
}

async fn public(headers: HeaderMap) -> Response {
    pages::public(Identity::read(&headers).as_ref())
}

async fn admin(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(person) = Identity::read(&headers) else {
        return nobody();
    };
    // usher's rule refuses everybody else already; an app asks again where it costs nothing.
    if !person.is("admin") {
        let text = "You need the role admin for this page.";
        return pages::message(StatusCode::FORBIDDEN, Some(&person), "Not for you", text);
    }
    pages::admin(&person, &shared.accounts().all())
}

fn nobody() -> Response {
    let text = "This request came without an identity. Open the app through usher.";
    pages::message(StatusCode::UNAUTHORIZED, None, "Who are you?", text)
}

async fn missing(headers: HeaderMap) -> Response {
    let person = Identity::read(&headers);
    let text = "There is no such page.";
    pages::message(StatusCode::NOT_FOUND, person.as_ref(), "Not found", text)
}

/// A clock, a tick a second.
async fn events() -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    Sse::new(stream::unfold(true, async |first| {
        if !first {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let now = Timestamp::now().strftime("%H:%M:%S UTC").to_string();
        Some((Ok(SseEvent::default().data(now)), false))
    }))
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo_until_closed)
}

async fn echo_until_closed(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let back = matches!(message, Message::Text(_) | Message::Binary(_));
        if back && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Every header of the request, as pairs in a list, so that a repeated one shows.
async fn headers(headers: HeaderMap) -> Json<Value> {
    let pairs = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        json!([name.as_str(), value])
    });
    Json(pairs.collect())
}

fn forwarded(headers: &HeaderMap) -> Vec<(String, String)> {
    let ours = headers.iter().filter(|(name, _)| {
        name.as_str().starts_with("x-forwarded-") || name.as_str() == "x-usher-jwt"
    });
    ours.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.to_string(), shortened(&value))
    })
    .collect()
}

/// A page is no place for a whole token.
fn shortened(value: &str) -> String {
    if value.chars().count() <= 80 {
        return value.to_owned();
    }
    let start: String = value.chars().take(40).collect();
    format!("{start}… ({} characters)", value.chars().count())
}

/// The receiver of usher's provisioning events.
async fn callback(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let now = Timestamp::now().as_second();
    let id = match shared.webhook_key.verify(&headers, &body, now) {
        Ok(id) => id,
        Err(why) => {
            let error = json!({"error": why.to_string()});
            return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
        }
    };
    let Ok(event) = serde_json::from_slice::<Event>(&body) else {
        let error = json!({"error": "this is no event that the app knows"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let account = |number: u64| Json(json!({"account": number.to_string()}));
    match shared.accounts().apply(&id, event) {
        Outcome::Done(number) => account(number).into_response(),
        Outcome::Existed(number) => (StatusCode::CONFLICT, account(number)).into_response(),
        Outcome::Gone => StatusCode::NO_CONTENT.into_response(),
    }
}

#[cfg(test)]
mod tests;
