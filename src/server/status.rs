//! The metrics listener: `/healthz`, `/readyz` and `/metrics`.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use prometheus_client::registry::Registry;

use super::stop::Stop;
use crate::proxy::Totals;
use crate::session::SessionKey;
use crate::usher::Usher;

/// For a request head, and for a connection without one.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// The store must answer `/readyz` within that time.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// What the listener tells of.
#[derive(Debug)]
pub(super) struct StatusPage {
    state: Arc<ArcSwap<Usher>>,
    registry: Registry,
    stop: Stop,
}

impl StatusPage {
    /// Over all counters.
    pub(super) fn new(state: Arc<ArcSwap<Usher>>, totals: Totals, stop: Stop) -> Self {
        let mut registry = Registry::default();
        state.load().metrics.register(&mut registry);
        registry.register_collector(Box::new(totals));
        Self {
            state,
            registry,
            stop,
        }
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "GET or HEAD only\n".to_owned(),
            );
        }
        match path {
            "/healthz" => text(StatusCode::OK, "alive\n".to_owned()),
            "/readyz" => self.ready().await,
            "/metrics" => self.metrics(),
            _ => text(
                StatusCode::NOT_FOUND,
                "/healthz, /readyz or /metrics\n".to_owned(),
            ),
        }
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        if self.stop.is_leaving() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
        }
        let usher = self.state.load_full();
        // No session has that key, so the store itself must answer.
        let nobody = SessionKey([0; 32]);
        let asked = usher.sessions.find(&nobody, "", Timestamp::now());
        match tokio::time::timeout(STORE_WITHIN, asked).await {
            Ok(Ok(_)) => text(StatusCode::OK, "ready\n".to_owned()),
            Ok(Err(_)) | Err(_) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the store does not answer\n".to_owned(),
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut page = String::new();
        match prometheus_client::encoding::text::encode(&mut page, &self.registry) {
            Ok(()) => {
                let mut response = text(StatusCode::OK, page);
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                let kind = http::HeaderValue::from_static(kind);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n".to_owned()),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Serves the listener for ever; without one, only waits.
pub(super) async fn serve(listener: Option<TcpListener>, page: StatusPage) {
    let Some(listener) = listener.and_then(|it| tokio::net::TcpListener::from_std(it).ok()) else {
        return std::future::pending().await;
    };
    let page = Arc::new(page);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(super::ACCEPT_PAUSE).await;
            continue;
        };
        let page = Arc::clone(&page);
        let service = service_fn(move |request: Request<Incoming>| {
            let page = Arc::clone(&page);
            async move { Ok::<_, Infallible>(page.answer(request.method(), request.uri().path()).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_WITHIN);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the metrics listener ended");
            }
        });
    }
}
