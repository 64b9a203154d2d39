//! A collector of OpenTelemetry traces: OTLP over HTTP, as usher sends it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// What came, and how it is answered.
#[derive(Default)]
struct Taken {
    requests: Vec<(HeaderMap, ExportTraceServiceRequest)>,
    /// Instead of 200.
    answer: Option<StatusCode>,
    /// Before the answer.
    delay: Duration,
}

/// A collector that keeps all that it gets.
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&taken));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, taken }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub(crate) fn answer_with(&self, status: Option<StatusCode>, delay: Duration) {
        let mut taken = self.taken.lock().unwrap();
        (taken.answer, taken.delay) = (status, delay);
    }

    /// The header fields of the requests that were answered with 200.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        let taken = self.taken.lock().unwrap();
        taken
            .requests
            .iter()
            .map(|(head, _)| head.clone())
            .collect()
    }

    /// The attributes of what all spans are of.
    pub(crate) fn resource(&self) -> Vec<(String, String)> {
        let taken = self.taken.lock().unwrap();
        let spans = taken.requests.iter().flat_map(|(_, it)| &it.resource_spans);
        let resources = spans.filter_map(|spans| spans.resource.as_ref());
        resources.flat_map(|it| pairs(&it.attributes)).collect()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        let taken = self.taken.lock().unwrap();
        let spans = taken.requests.iter().flat_map(|(_, it)| &it.resource_spans);
        spans
            .flat_map(|spans| &spans.scope_spans)
            .flat_map(|spans| &spans.spans)
            .map(|span| Seen(span.clone()))
            .collect()
    }
}

async fn take(
    State(taken): State<Arc<Mutex<Taken>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (answer, delay) = {
        let taken = taken.lock().unwrap();
        (taken.answer, taken.delay)
    };
    tokio::time::sleep(delay).await;
    if let Some(status) = answer {
        return status;
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    taken.lock().unwrap().requests.push((headers, request));
    StatusCode::OK
}

/// One span.
#[derive(Clone, Debug)]
pub(crate) struct Seen(pub(crate) Span);

impl Seen {
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.0.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.0.span_id)
    }

    /// Empty: it is a root.
    pub(crate) fn parent(&self) -> String {
        hex(&self.0.parent_span_id)
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let found = pairs(&self.0.attributes);
        found
            .into_iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Every text in it.
    pub(crate) fn texts(&self) -> Vec<String> {
        let span = &self.0;
        let mut all = vec![span.name.clone(), span.trace_state.clone()];
        all.extend(span.status.iter().map(|status| status.message.clone()));
        let of_events = span.events.iter().flat_map(|event| &event.attributes);
        let of_links = span.links.iter().flat_map(|link| &link.attributes);
        for attribute in span.attributes.iter().chain(of_events).chain(of_links) {
            all.push(attribute.key.clone());
            all.push(text(attribute.value.as_ref()));
        }
        all
    }
}

fn pairs(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let pair = |it: &KeyValue| (it.key.clone(), text(it.value.as_ref()));
    attributes.iter().map(pair).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
