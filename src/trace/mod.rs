//! Traces (OpenTelemetry, W3C Trace Context): the spans of a request, of the sign-in in it, and of usher's own requests.
//!
//! The span that is under way is known by the task (`opentelemetry::Context`), so that nothing has to hand it on. Without the
//! feature `otel` all of this is empty; with it and without `traces` in the config a request costs one branch.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod on;

#[cfg(not(feature = "otel"))]
pub use off::{Asking, Current, Served, Tracer, carry, note, step, trace_id};
#[cfg(feature = "otel")]
pub use on::{Asking, Current, Served, Tracer, carry, note, step, trace_id};

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// A place in a trace, kept until the browser comes back: the fields of W3C Trace Context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// `traceparent`.
    pub parent: String,
    /// `tracestate`; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

/// What one of usher's own requests is, for its span; an extension of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Name of the span.
    pub name: &'static str,
    /// Whether the other side gets `traceparent`.
    pub passes_on: bool,
}

impl Call {
    /// To an IdP, who is told nothing of our traces: it is somebody else's server.
    pub const fn to_idp(name: &'static str) -> Self {
        Self {
            name,
            passes_on: false,
        }
    }

    /// To an app, which goes on with the trace.
    pub const fn to_app(name: &'static str) -> Self {
        Self {
            name,
            passes_on: true,
        }
    }
}

/// What a request was, told when it ends.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// Pattern of the path of an endpoint of usher's own, or the path that the app is mounted at.
    pub route: Option<&'a str>,
    /// Id of the app.
    pub app: Option<&'a str>,
    /// The endpoint of forward-auth that a proxy asked about it, where it was only described.
    pub asked_at: Option<&'a str>,
    /// The stable code of the access log.
    pub outcome: &'static str,
    /// Status of the answer.
    pub status: StatusCode,
    /// Request id.
    pub request_id: &'a str,
    /// Whether the answer broke off.
    pub broken: bool,
}
