//! Accepting connections, and the faults that concern an endpoint as a whole.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::faults::{Endpoint, EndpointFault};
use super::state::Shared;
use super::{authorize, discovery, graph, login_page, logout, token, userinfo};

/// Serves until the task is aborted; its connections end with it.
pub(super) fn spawn(listener: TcpListener, shared: Arc<Shared>) -> AbortHandle {
    let router = router(Arc::clone(&shared));
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, router.clone(), Arc::clone(&shared)));
                },
                Some(_) = connections.join_next() => {}
            }
        }
    });
    task.abort_handle()
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(discovery::document),
        )
        .route("/jwks", get(discovery::jwks))
        .route(
            "/authorize",
            get(authorize::by_query).post(authorize::by_form),
        )
        .route("/token", post(token::exchange))
        .route("/userinfo", get(userinfo::claims).post(userinfo::claims))
        .route("/end-session", get(logout::by_query).post(logout::by_form))
        .route(
            "/graph/v1.0/me/getMemberObjects",
            post(graph::member_objects),
        )
        .route(
            "/graph/v1.0/me/transitiveMemberOf",
            get(graph::transitive_member_of),
        )
        .route("/style.css", get(login_page::style))
        .route("/", get(login_page::front))
        .with_state(shared)
}

/// The connection is to be reset.
#[derive(Debug, thiserror::Error)]
#[error("reset by a fault")]
struct Reset;

async fn connection(stream: TcpStream, router: Router, shared: Arc<Shared>) {
    // Without it every small answer waits for the client's delayed acknowledgement. It may only cost time.
    stream.set_nodelay(true).ok();
    let reset = Arc::new(AtomicBool::new(false));
    let asked_for = Arc::clone(&reset);
    let service = service_fn(move |request| {
        let reset = Arc::clone(&reset);
        let answer = answer(Arc::clone(&shared), router.clone(), request);
        let answer = async move {
            let answer = answer.await;
            reset.store(answer.is_err(), Ordering::Relaxed);
            answer
        };
        Box::pin(answer) as Pin<Box<dyn Future<Output = Result<Response<Body>, Reset>> + Send>>
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if ended.is_err() && asked_for.load(Ordering::Relaxed) {
        // Linger zero makes the close a RST.
        connection
            .into_parts()
            .io
            .into_inner()
            .set_zero_linger()
            .ok();
    }
}

async fn answer(
    shared: Arc<Shared>,
    router: Router,
    request: Request<Incoming>,
) -> Result<Response<Body>, Reset> {
    let Some(endpoint) = endpoint_of(request.uri().path()) else {
        return Ok(routed(router, request).await);
    };
    shared.count(endpoint);
    let mut headers = Vec::new();
    let mut lost = false;
    for fault in shared.endpoint_faults(endpoint) {
        match fault {
            EndpointFault::Delay(time) => tokio::time::sleep(time).await,
            EndpointFault::Hang => std::future::pending().await,
            EndpointFault::Reset => return Err(Reset),
            EndpointFault::ResetAfter => lost = true,
            EndpointFault::Header(name, value) => headers.push((name, value)),
            EndpointFault::Status(status, body) => {
                let status = StatusCode::from_u16(status).unwrap_or_default();
                return Ok(json(status, Body::from(body)));
            }
            EndpointFault::Garbage => {
                return Ok(json(StatusCode::OK, Body::from("<html>{\"not\": json")));
            }
            EndpointFault::Huge(bytes) => return Ok(json(StatusCode::OK, huge(bytes))),
            EndpointFault::Redirect(to) => return Ok(redirect(&to)),
            EndpointFault::CutShort => return Ok(cut_short()),
        }
    }
    let mut response = routed(router, request).await;
    if lost {
        return Err(Reset);
    }
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::from_str(&value),
        ) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

async fn routed(router: Router, request: Request<Incoming>) -> Response<Body> {
    let routed: Result<Response<Body>, Infallible> =
        TowerToHyperService::new(router).call(request).await;
    match routed {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn endpoint_of(path: &str) -> Option<Endpoint> {
    match path {
        "/.well-known/openid-configuration" => Some(Endpoint::Discovery),
        "/jwks" => Some(Endpoint::Jwks),
        "/authorize" => Some(Endpoint::Authorize),
        "/token" => Some(Endpoint::Token),
        "/userinfo" => Some(Endpoint::Userinfo),
        "/end-session" => Some(Endpoint::EndSession),
        other if other.starts_with("/graph/") => Some(Endpoint::Graph),
        _ => None,
    }
}

fn json(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// A JSON string of about so many bytes, never held in memory as a whole.
fn huge(bytes: usize) -> Body {
    const CHUNK: usize = 16 * 1024;
    let middle = (0..bytes / CHUNK).map(|_| Bytes::from_static(&[b'a'; CHUNK]));
    let quote = || std::iter::once(Bytes::from_static(b"\""));
    let chunks = quote().chain(middle).chain(quote());
    Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)))
}

fn cut_short() -> Response<Body> {
    let begun = stream::iter([Ok(Bytes::from_static(b"{\"issuer\":"))]);
    let end = stream::once(async {
        // What came before has to leave first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::other("cut short by a fault"))
    });
    let mut response = json(StatusCode::OK, Body::from_stream(begun.chain(end)));
    let promised = HeaderValue::from_static("2000");
    response.headers_mut().insert(CONTENT_LENGTH, promised);
    response
}
