//! Sends spans to a collector: OTLP over HTTP, in batches from a bounded queue. A request never waits for it.

use crate::config::Traces;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::trace::Tracer;

/// Traces where usher is built without them: the config has none.
#[cfg(not(feature = "otel"))]
pub fn start(_: &Traces, _: Outbound, _: &Metrics) -> Tracer {
    Tracer::default()
}

/// Starts the task that sends, on the runtime of the caller. It ends when nobody makes spans any more.
#[cfg(feature = "otel")]
pub fn start(traces: &Traces, outbound: Outbound, metrics: &Metrics) -> Tracer {
    export::start(traces, outbound, metrics)
}

#[cfg(feature = "otel")]
mod export {
    use std::time::Duration;

    use bytes::Bytes;
    use http::header::CONTENT_TYPE;
    use http::{Request, StatusCode};
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::resource::EnvResourceDetector;
    use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
    use prometheus_client::metrics::counter::Counter;
    use prost::Message;
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::Instant;

    use crate::config::Traces;
    use crate::metrics::Metrics;
    use crate::outbound::{Answer, Outbound};
    use crate::trace::Tracer;

    /// Spans that wait for the collector, where `OTEL_BSP_MAX_QUEUE_SIZE` says nothing; those beyond are dropped and counted.
    const QUEUE: usize = 8192;
    /// Whatever it says, about 1 KiB each.
    const LARGEST_QUEUE: usize = 1 << 18;
    /// Spans of one request to the collector.
    const BATCH: usize = 512;
    /// A batch that is not full waits for so long.
    const PAUSE: Duration = Duration::from_secs(1);
    /// For one request to the collector.
    const WITHIN: Duration = Duration::from_secs(5);
    /// Tries of one batch.
    const TRIES: u32 = 4;
    /// After the first failed try; it doubles each time.
    const FIRST_PAUSE: Duration = Duration::from_millis(500);
    /// Bytes of an answer.
    const ANSWER_LIMIT: usize = 64 * 1024;

    pub(super) fn start(traces: &Traces, outbound: Outbound, metrics: &Metrics) -> Tracer {
        let asked = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
        let asked = asked.and_then(|size| size.parse().ok()).unwrap_or(QUEUE);
        let (sender, spans) = mpsc::channel(asked.clamp(1, LARGEST_QUEUE));
        let (flush, flushes) = mpsc::channel(1);
        let queue = Queue {
            spans: sender,
            dropped: metrics.trace_spans("queue_full"),
        };
        let exporter = Exporter {
            traces: traces.clone(),
            resource: ResourceAttributesWithSchema::from(&resource()),
            outbound,
            exported: metrics.trace_spans("exported"),
            failed: metrics.trace_spans("failed"),
            failing: false,
        };
        tokio::spawn(exporter.work(spans, flushes));
        Tracer::new(traces.sample, queue, flush)
    }

    /// What is true of all spans: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; the name is `usher` without them.
    fn resource() -> Resource {
        let name = std::env::var("OTEL_SERVICE_NAME").ok();
        let more = std::env::var_os("OTEL_RESOURCE_ATTRIBUTES");
        let usher = [
            KeyValue::new("service.name", "usher"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let mut resource = Resource::builder_empty().with_attributes(usher);
        if more.is_some() {
            resource = resource.with_detector(Box::new(EnvResourceDetector::new()));
        }
        match name.filter(|name| !name.is_empty()) {
            Some(name) => resource.with_service_name(name).build(),
            None => resource.build(),
        }
    }

    /// Takes spans as they end, on whatever thread.
    #[derive(Debug)]
    struct Queue {
        spans: mpsc::Sender<SpanData>,
        dropped: Counter,
    }

    impl SpanProcessor for Queue {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            if self.spans.try_send(span).is_err() {
                self.dropped.inc();
            }
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    struct Exporter {
        traces: Traces,
        resource: ResourceAttributesWithSchema,
        outbound: Outbound,
        exported: Counter,
        failed: Counter,
        /// Whether the last batch was lost, so that the log says it once.
        failing: bool,
    }

    /// What the collector made of a batch.
    enum Taken {
        /// Took it, except for so many spans.
        But(u64),
        /// Not now.
        Later(String),
        /// Never.
        Not(String),
    }

    impl Exporter {
        async fn work(
            mut self,
            mut spans: mpsc::Receiver<SpanData>,
            mut flushes: mpsc::Receiver<oneshot::Sender<()>>,
        ) {
            let mut open = true;
            while open {
                let mut batch = Vec::new();
                let asked = tokio::select! {
                    more = gather(&mut spans, &mut batch) => {
                        open = more;
                        None
                    }
                    Some(asked) = flushes.recv() => Some(asked),
                };
                let tries = if asked.is_some() { 1 } else { TRIES };
                self.export(batch, tries).await;
                let Some(asked) = asked else { continue };
                let mut rest = Vec::new();
                while let Ok(span) = spans.try_recv() {
                    rest.push(span);
                    if rest.len() == BATCH {
                        self.export(std::mem::take(&mut rest), tries).await;
                    }
                }
                self.export(rest, tries).await;
                // Whoever asked may have waited enough.
                let _ = asked.send(());
            }
        }

        /// Sends a batch, and counts what came of it.
        async fn export(&mut self, batch: Vec<SpanData>, tries: u32) {
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let request = ExportTraceServiceRequest {
                resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
            };
            let body = Bytes::from(request.encode_to_vec());
            let mut pause = FIRST_PAUSE;
            let mut tried = 1;
            let cause = loop {
                match self.send(body.clone()).await {
                    Taken::But(rejected) => {
                        let rejected = rejected.min(count);
                        self.exported.inc_by(count - rejected);
                        self.failed.inc_by(rejected);
                        if std::mem::take(&mut self.failing) {
                            tracing::info!(
                                event = "traces_sent",
                                "the collector takes spans again"
                            );
                        }
                        return;
                    }
                    Taken::Later(_) if tried < tries => tokio::time::sleep(pause).await,
                    Taken::Later(cause) | Taken::Not(cause) => break cause,
                }
                pause *= 2;
                tried += 1;
            };
            self.failed.inc_by(count);
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(
                    event = "traces_lost",
                    cause,
                    "the collector takes no spans; they are dropped and counted until it does"
                );
            }
        }

        async fn send(&self, body: Bytes) -> Taken {
            let mut request = Request::post(self.traces.endpoint.as_str())
                .header(CONTENT_TYPE, "application/x-protobuf");
            for (name, value) in &self.traces.headers {
                request = request.header(name, value.expose());
            }
            let request = match request.body(body) {
                Ok(request) => request,
                Err(error) => return Taken::Not(error.to_string()),
            };
            match self.outbound.send(request, ANSWER_LIMIT, WITHIN).await {
                Ok(answer) => taken(&answer),
                Err(error) => Taken::Later(error.to_string()),
            }
        }
    }

    /// By the OTLP specification, "OTLP/HTTP Response".
    fn taken(answer: &Answer) -> Taken {
        let said = format!("the collector answered {}", answer.status);
        match answer.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Taken::Later(said),
            status if status.is_success() => {
                let rejected = ExportTraceServiceResponse::decode(answer.body.clone())
                    .ok()
                    .and_then(|response| response.partial_success)
                    .map_or(0, |partial| partial.rejected_spans);
                Taken::But(u64::try_from(rejected).unwrap_or_default())
            }
            _ => Taken::Not(said),
        }
    }

    /// Waits for a span, and a while for more. False where there will be none.
    async fn gather(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) -> bool {
        if spans.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let until = Instant::now() + PAUSE;
        while batch.len() < BATCH {
            let more = spans.recv_many(batch, BATCH - batch.len());
            match tokio::time::timeout_at(until, more).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }
}
