//! Serving a router so that its end cuts every connection, as a process that dies does.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// Serves until the task is aborted; its connections end with it.
pub(super) fn spawn(listener: TcpListener, router: Router) -> AbortHandle {
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    // It may only cost time.
                    stream.set_nodelay(true).ok();
                    let service = TowerToHyperService::new(router.clone());
                    let connection = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    connections.spawn(connection);
                },
                Some(_) = connections.join_next() => {}
            }
        }
    });
    task.abort_handle()
}
