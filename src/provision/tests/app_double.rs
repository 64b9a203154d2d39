//! An app that is called back: it records what it gets and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use axum::routing::any;
use serde_json::Value;

/// One answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    pub(super) status: u16,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) after: Duration,
}

pub(super) fn says(status: u16, body: &str) -> Script {
    Script {
        status,
        body: body.to_owned(),
        ..Script::default()
    }
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    pub(super) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(super) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn kind(&self) -> String {
        self.body()["type"].as_str().unwrap().to_owned()
    }
}

#[derive(Default)]
struct Inner {
    /// Answers to come; the last one stays.
    scripts: VecDeque<Script>,
    calls: Vec<Call>,
}

pub(super) struct AppDouble {
    pub(super) url: String,
    inner: Arc<Mutex<Inner>>,
    task: tokio::task::JoinHandle<()>,
}

impl AppDouble {
    pub(super) async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/internal/users", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(any(answer))
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, task }
    }

    /// Sets the answers to come; the last one stays.
    pub(super) fn answer(&self, scripts: impl IntoIterator<Item = Script>) {
        self.inner.lock().unwrap().scripts = scripts.into_iter().collect();
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.inner.lock().unwrap().calls.clone()
    }

    pub(super) async fn called(&self, times: usize) {
        while self.calls().len() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for AppDouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let script = {
        let mut inner = inner.lock().unwrap();
        inner.calls.push(Call {
            headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        });
        if inner.scripts.len() > 1 {
            inner.scripts.pop_front()
        } else {
            inner.scripts.front().cloned()
        }
    };
    let script = script.unwrap_or_else(|| says(204, ""));
    tokio::time::sleep(script.after).await;
    let mut response = Response::builder().status(script.status);
    for (name, value) in script.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(script.body)).unwrap()
}
