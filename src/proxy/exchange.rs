//! The record of one request, from its first byte to the last one of its answer: counted and logged when it is dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;

use super::access_log::Line;
use super::admit::{Admission, Grant};
use super::cache::Known;
use super::forward_auth::Dialect;
use super::request_id::RequestId;
use super::state::ConnectionState;
use super::stats::Outcome;
use super::worker::{View, Worker};
use crate::endpoints;
use crate::refusal::Refusal;
use crate::trace::{End, Served};

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) worker: Arc<Worker>,
    pub(crate) view: Arc<View>,
    pub(crate) connection: Arc<ConnectionState>,
    pub(crate) id: RequestId,
    /// When it came, by the wall clock.
    pub(crate) at: Timestamp,
    /// When it came, for durations.
    pub(crate) started: Instant,
    pub(crate) client: IpAddr,
    pub(crate) method: Method,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) target: Option<PathAndQuery>,
    /// The app's place in the config.
    pub(crate) app: Option<usize>,
    pub(crate) who: Option<Arc<Known>>,
    /// The endpoint that a proxy asked, where the request was only described.
    pub(crate) asked_at: Option<Dialect>,
    pub(crate) outcome: Outcome,
    pub(crate) status: StatusCode,
    /// Bytes of the answer's body so far.
    pub(crate) bytes: u64,
    /// The answer broke off.
    pub(crate) broken: bool,
    /// The cause of a refusal, for the log alone.
    pub(crate) cause: Option<String>,
    /// Its span, where traces are on.
    pub(crate) trace: Option<Box<Served>>,
}

impl Exchange {
    /// Notes that it was let in, and as whom.
    pub(crate) fn admitted(&mut self, admission: Admission) -> Grant {
        match admission {
            Admission::Public => {
                self.outcome = Outcome::Public;
                Grant::default()
            }
            Admission::Known {
                session,
                since,
                known,
                identity,
            } => {
                self.outcome = Outcome::Admitted;
                self.who = Some(known);
                Grant {
                    identity: Some(identity),
                    session: Some((session, since)),
                }
            }
        }
    }

    /// Ends its span, where there is one.
    fn end_trace(&mut self) {
        let Some(trace) = self.trace.take() else {
            return;
        };
        let app = self.app.and_then(|place| self.view.app(place));
        let app = app.map(|(app, _, _)| app);
        let path = self.target.as_ref().map_or("-", PathAndQuery::path);
        let own = match app {
            Some(_) => None,
            None => endpoints::pattern(&self.view.usher, path),
        };
        trace.end(End {
            method: &self.method,
            route: app.map(|app| app.path.as_str()).or(own.as_deref()),
            app: app.map(|app| app.id.as_str()),
            asked_at: self.asked_at.map(Dialect::name),
            outcome: self.outcome.code(),
            status: self.status,
            request_id: self.id.as_str(),
            broken: self.broken,
        });
    }

    /// Notes that it was refused, and why.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::Refused(refusal.reason);
        self.cause = Some(refusal.cause.clone()).filter(|cause| !cause.is_empty());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Instant::now();
        self.connection.end(now);
        let app = self.app.and_then(|place| self.view.app(place));
        let stats = app.map_or(&self.view.no_app, |(_, app, _)| &app.stats);
        match self.asked_at {
            None => stats.count(self.outcome),
            Some(_) => stats.count_described(self.outcome),
        }
        let host = self.host.as_ref().and_then(|host| host.to_str().ok());
        let path = self.target.as_ref().map_or("-", PathAndQuery::path);
        let trace_id = self.trace.as_ref().and_then(|trace| trace.trace_id());
        self.worker.log.write(&Line {
            at: self.at,
            request_id: self.id.as_str(),
            client: self.client,
            method: self.method.as_str(),
            host: host.unwrap_or("-"),
            path: match app {
                Some(_) => path,
                None => endpoints::loggable(path),
            },
            app: app.map(|(app, _, _)| app.id.as_str()),
            user: self.who.as_ref().map(|known| known.person.user.as_str()),
            asked_at: self.asked_at.map(Dialect::name),
            outcome: self.outcome.code(),
            status: self.status.as_u16(),
            micros: u64::try_from((now - self.started).as_micros()).unwrap_or(u64::MAX),
            bytes: self.bytes,
            cause: self
                .cause
                .as_deref()
                .or_else(|| self.broken.then_some("the answer broke off")),
            trace_id: trace_id.as_deref(),
        });
        self.end_trace();
    }
}
