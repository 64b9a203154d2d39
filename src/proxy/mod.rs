//! The data plane: accept, decide, forward, tunnel. One thread for each core, each with its own sessions, connections
//! and log; nothing shared is written on the way of a request.

mod access_log;
mod admit;
mod answer;
mod body;
mod cache;
mod connect;
mod connection;
mod denial;
mod exchange;
mod forward;
mod forward_auth;
mod gather;
mod guard;
mod head;
mod http1;
mod live;
mod locate;
mod pool;
mod request_id;
mod route;
mod service;
mod sniff;
mod state;
mod stats;
mod timer;
mod tunnel;
mod worker;

pub(crate) use access_log::{AccessLog, Line, LogWriter};
pub(crate) use connect::Connector;
pub(crate) use connection::serve_connection;
pub(crate) use request_id::{RequestId, RequestIds};
pub(crate) use route::{
    Host, Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, is_trusted,
};
pub(crate) use service::collect;
pub(crate) use stats::{Totals, WorkerStats};
pub(crate) use worker::{Open, Worker};
