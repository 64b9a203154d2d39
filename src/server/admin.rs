//! The admin listener: connections, and where each request belongs. It runs beside the threads of the data plane, so that nothing
//! that an admin does holds up a request to an app.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::admin_request::{Desk, serve_request};
use crate::admin::api::Api;
use crate::admin::reload::Reloads;
use crate::proxy::AccessLog;
use crate::usher::Usher;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// What hyper needs at least to read a head, in bytes.
const LEAST_BUFFER: usize = 8 * 1024;

/// What the listener serves with.
pub(super) struct Parts {
    pub(super) state: Arc<ArcSwap<Usher>>,
    pub(super) reloads: Option<Reloads>,
    pub(super) log: AccessLog,
}

/// Serves the listener until `stop` fires, then finishes what is in flight, for `timeouts.drain` at most. Without a listener there
/// is nothing to do.
pub(super) async fn serve(listener: Option<TcpListener>, parts: Parts, stop: CancellationToken) {
    let Some(listener) = listener.and_then(|it| tokio::net::TcpListener::from_std(it).ok()) else {
        return;
    };
    let state = Arc::clone(&parts.state);
    let desk = Arc::new(Desk::new(
        parts.state,
        Api::new(Timestamp::now(), parts.reloads),
        parts.log,
    ));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Some((stream, address, place)) = accepted else {
            tokio::time::sleep(super::ACCEPT_PAUSE).await;
            continue;
        };
        let (desk, stop) = (Arc::clone(&desk), stop.clone());
        connections.spawn(async move {
            serve_connection(desk, stream, address, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let drain = state.load().config.timeouts.drain;
    let ended = async {
        while connections.join_next().await.is_some() {}
        desk.open.none().await;
    };
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("timeouts.drain is over; what is in flight at the admin listener is cut");
    }
    // Nothing may keep the log open.
    connections.shutdown().await;
}

type Accepted = (
    tokio::net::TcpStream,
    SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
);

/// The next connection, once there is room for it.
async fn accept(listener: &tokio::net::TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    let (stream, address) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some((stream, address, place))
}

async fn serve_connection(
    desk: Arc<Desk>,
    stream: tokio::net::TcpStream,
    address: SocketAddr,
    stop: CancellationToken,
) {
    let config = Arc::clone(&desk.usher().config);
    let service =
        service_fn(move |request| serve_request(Arc::clone(&desk), address.ip(), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout(config.timeouts.header))
        .max_headers(config.limits.headers)
        .max_buf_size(config.limits.header_bytes.max(LEAST_BUFFER));
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, client = %address, "a connection to the admin listener ended");
    }
}

/// hyper counts from the end of the answer before, so that this is also for how long a connection may be idle.
fn header_timeout(configured: Duration) -> Duration {
    configured.max(Duration::from_secs(1))
}
