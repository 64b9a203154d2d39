//! The app's provisioning callback: an account table, a record of every call, and faults on demand.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{
    recorder::{Seen, read_head},
    wire::{Stream, find},
};

/// The secret in usher's config; for tests.
pub(crate) const SECRET: &str = "whsec_dGVzdC1vbmx5LWNhbGxiYWNrLXNlY3JldC0zMmI=";

/// One call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) head: Seen,
    pub(crate) body: String,
    pub(crate) json: Value,
    /// The signature is right over id, timestamp and body.
    pub(crate) signed: bool,
}

impl Call {
    /// `data.user.id`.
    pub(crate) fn user_id(&self) -> String {
        self.json["data"]["user"]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// `type`, such as `user.created`.
    pub(crate) fn kind(&self) -> String {
        self.json["type"].as_str().unwrap_or_default().to_owned()
    }

    /// `webhook-id`, the idempotency key.
    pub(crate) fn id(&self) -> String {
        self.head.header("webhook-id").unwrap_or_default()
    }

    /// The user's name as the IdP knows it: `username`, or the part of the e-mail before `@`.
    pub(crate) fn username(&self) -> String {
        let user = &self.json["data"]["user"];
        let email = user["email"].as_str().unwrap_or_default();
        let local = email.split('@').next().unwrap_or_default();
        user["username"].as_str().unwrap_or(local).to_owned()
    }
}

/// What the callback does instead of answering with the account.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A well-formed answer.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes, then the end of the connection, or silence.
    Raw { bytes: Vec<u8>, close: bool },
    /// A head, then this many bytes as fast as they go.
    Flood { head: Vec<u8>, bytes: u64 },
    /// These bytes, then one byte a second of the others.
    Drip { first: Vec<u8>, rest: Vec<u8> },
    /// The right answer after this time.
    Late(Duration),
    /// The connection ends without a byte.
    Close,
}

/// A fault, whom it is for, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) fault: Fault,
    /// Only calls about this username; `None`: all.
    pub(crate) only: Option<String>,
    /// How many calls are left for it; `None`: no limit.
    pub(crate) times: Option<u32>,
    /// The account is made before the fault.
    pub(crate) commit: bool,
}

impl Rule {
    /// This fault for every call, without making an account.
    pub(crate) fn always(fault: Fault) -> Self {
        Self {
            fault,
            only: None,
            times: None,
            commit: false,
        }
    }
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// User id → account.
    accounts: BTreeMap<String, String>,
    /// username → accounts made for it.
    created: BTreeMap<String, u32>,
    /// `webhook-id`s of which the effect is in the table.
    done: BTreeMap<String, String>,
    rule: Option<Rule>,
    /// Every other event fails at its first try.
    stumbles: bool,
    running: u32,
    most: u32,
}

/// A running callback.
pub(crate) struct Callback {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: tokio::task::AbortHandle,
}

impl Callback {
    /// Listens on a free port of 127.0.0.1, plain HTTP.
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    /// The same over TLS with this server config.
    pub(crate) async fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let server = tokio::spawn(accept(listener, tls, Arc::clone(&state))).abort_handle();
        Self {
            address,
            state,
            server,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does this from now on; `None`: everything right.
    pub(crate) fn behave(&self, rule: Option<Rule>) {
        self.state.lock().unwrap().rule = rule;
    }

    /// From now on, the first try of about every other event is answered 500; half of those are heard all the same.
    pub(crate) fn stumble(&self) {
        self.state.lock().unwrap().stumbles = true;
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Accounts made for this username, counting every one that was made.
    pub(crate) fn created(&self, username: &str) -> u32 {
        self.state
            .lock()
            .unwrap()
            .created
            .get(username)
            .copied()
            .unwrap_or(0)
    }

    /// Accounts made in all.
    pub(crate) fn created_in_all(&self) -> u32 {
        self.state.lock().unwrap().created.values().sum()
    }

    /// The account of a user id.
    pub(crate) fn account(&self, user_id: &str) -> Option<String> {
        self.state.lock().unwrap().accounts.get(user_id).cloned()
    }

    /// The most calls that ran at once.
    pub(crate) fn most_at_once(&self) -> u32 {
        self.state.lock().unwrap().most
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return None,
                },
            };
            serve(stream, state).await
        });
    }
}

async fn serve(mut stream: Box<dyn Stream>, state: Arc<Mutex<State>>) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let call = read_call(&mut stream, &mut buffer).await?;
        let (rule, answer) = {
            let mut state = state.lock().unwrap();
            state.running += 1;
            state.most = state.most.max(state.running);
            state.calls.push(call.clone());
            let rule = stumble(&state, &call).or_else(|| take_rule(&mut state, &call));
            let commits = rule
                .as_ref()
                .is_none_or(|r| r.commit || matches!(r.fault, Fault::Late(_)));
            let answer = if commits {
                settle(&mut state, &call)
            } else {
                (500, Value::Null)
            };
            (rule, answer)
        };
        let outcome = respond(&mut stream, rule, answer).await;
        state.lock().unwrap().running -= 1;
        outcome?;
    }
}

/// By the last digit of its id: random, and the same on every try.
fn stumble(state: &State, call: &Call) -> Option<Rule> {
    let id = call.id();
    let digit = u8::from_str_radix(id.get(id.len().checked_sub(1)?..)?, 16).ok()?;
    let tries = state.calls.iter().filter(|one| one.id() == id).count();
    (state.stumbles && tries == 1 && digit.is_multiple_of(2)).then(|| Rule {
        fault: Fault::Answer {
            status: 500,
            headers: Vec::new(),
            body: Vec::new(),
        },
        only: None,
        times: None,
        commit: digit.is_multiple_of(4),
    })
}

fn take_rule(state: &mut State, call: &Call) -> Option<Rule> {
    let rule = state.rule.as_mut()?;
    if rule
        .only
        .as_ref()
        .is_some_and(|only| *only != call.username())
    {
        return None;
    }
    match &mut rule.times {
        Some(0) => return None,
        Some(left) => *left -= 1,
        None => {}
    }
    Some(rule.clone())
}

/// What a well-behaved app answers.
fn settle(state: &mut State, call: &Call) -> (u16, Value) {
    if !call.signed {
        return (401, json!({"error": "signature"}));
    }
    if let Some(account) = state.done.get(&call.id()) {
        return (200, json!({"account": account}));
    }
    let user = call.user_id();
    let known = state.accounts.get(&user).cloned();
    let (status, account) = match (call.kind().as_str(), known) {
        ("user.created", Some(account)) => (409, account),
        (_, Some(account)) => (200, account),
        (_, None) => {
            let account = format!("acc-{}", state.accounts.len() + 1);
            *state.created.entry(call.username()).or_insert(0) += 1;
            state.accounts.insert(user, account.clone());
            (201, account)
        }
    };
    state.done.insert(call.id(), account.clone());
    (status, json!({"account": account}))
}

async fn respond(
    stream: &mut Box<dyn Stream>,
    rule: Option<Rule>,
    (status, body): (u16, Value),
) -> Option<()> {
    let right = whole(status, &[], body.to_string().as_bytes());
    match rule.map(|rule| rule.fault) {
        None => stream.write_all(&right).await.ok(),
        Some(Fault::Late(time)) => {
            tokio::time::sleep(time).await;
            stream.write_all(&right).await.ok()
        }
        Some(Fault::Answer {
            status,
            headers,
            body,
        }) => stream.write_all(&whole(status, &headers, &body)).await.ok(),
        Some(Fault::Raw { bytes, close }) => {
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()?;
            if !close {
                until_gone(stream).await;
            }
            None
        }
        Some(Fault::Flood { head, bytes }) => flood(stream, &head, bytes).await,
        Some(Fault::Drip { first, rest }) => {
            stream.write_all(&first).await.ok()?;
            for byte in rest {
                stream.write_all(&[byte]).await.ok()?;
                stream.flush().await.ok()?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            None
        }
        Some(Fault::Close) => None,
    }
}

async fn flood(stream: &mut Box<dyn Stream>, head: &[u8], bytes: u64) -> Option<()> {
    stream.write_all(head).await.ok()?;
    let part = vec![b' '; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        stream.write_all(&part[..take]).await.ok()?;
        left -= take as u64;
    }
    None
}

async fn until_gone(stream: &mut Box<dyn Stream>) {
    let mut part = [0_u8; 1024];
    while stream.read(&mut part).await.is_ok_and(|n| n > 0) {}
}

fn whole(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Answer\r\n");
    if !headers
        .iter()
        .any(|(n, _)| n.eq_ignore_ascii_case("content-type"))
    {
        head.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

async fn read_call(stream: &mut Box<dyn Stream>, buffer: &mut Vec<u8>) -> Option<Call> {
    let mut part = [0_u8; 16 * 1024];
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        let n = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        buffer.extend_from_slice(&part[..n]);
    };
    let head = read_head(&buffer.drain(..end).collect::<Vec<_>>());
    let length = head
        .header("content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0);
    while buffer.len() < length {
        let n = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        buffer.extend_from_slice(&part[..n]);
    }
    let body = String::from_utf8_lossy(&buffer.drain(..length).collect::<Vec<_>>()).into_owned();
    let json = serde_json::from_str(&body).unwrap_or_default();
    let signed = verify(&head, &body, None);
    Some(Call {
        at: Instant::now(),
        head,
        body,
        json,
        signed,
    })
}

/// The reference verifier of Standard Webhooks 1.0; with `now` (Unix seconds) it also refuses what
/// is older or younger than five minutes.
pub(crate) fn verify(head: &Seen, body: &str, now: Option<i64>) -> bool {
    let text = |name: &str| head.header(name).unwrap_or_default();
    let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
    let Ok(seconds) = timestamp.parse::<i64>() else {
        return false;
    };
    if id.is_empty() || now.is_some_and(|now| (now - seconds).abs() > 300) {
        return false;
    }
    let secret = STANDARD
        .decode(SECRET.trim_start_matches("whsec_"))
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let message = format!("{id}.{timestamp}.{body}");
    text("webhook-signature").split(' ').any(|one| {
        let tag = one
            .strip_prefix("v1,")
            .and_then(|tag| STANDARD.decode(tag).ok());
        tag.is_some_and(|tag| hmac::verify(&key, message.as_bytes(), &tag).is_ok())
    })
}
