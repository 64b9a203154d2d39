//! Spans by the OpenTelemetry SDK.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanProcessor};
use tokio::sync::{mpsc, oneshot};

use super::{Call, Carried, End};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Bytes of a `tracestate` that is kept and passed on (W3C Trace Context 3.3.1.5 asks for no more).
const STATE_LIMIT: usize = 512;

/// Makes spans, where traces are on; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<On>>);

#[derive(Debug)]
struct On {
    sdk: SdkTracer,
    /// What every span of ours stands in: it knows the SDK.
    base: Context,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
}

/// In a context: who makes the spans below.
struct Maker(SdkTracer);

impl Tracer {
    /// Spans go to `processor`. A trace that begins here is sampled with that probability (0 to 1), one that was begun elsewhere as
    /// was decided there; with 0 nothing ever is. `flushes` asks whoever sends the spans to do so now.
    pub fn new(
        sample: f64,
        processor: impl SpanProcessor + 'static,
        flushes: mpsc::Sender<oneshot::Sender<()>>,
    ) -> Self {
        let sampler = if sample <= 0.0 {
            Sampler::AlwaysOff
        } else {
            Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample)))
        };
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_resource(Resource::builder_empty().build())
            .with_span_processor(processor)
            .build();
        let scope = InstrumentationScope::builder("usher")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let sdk = provider.tracer_with_scope(scope);
        let base = Context::new().with_value(Maker(sdk.clone()));
        Self(Some(Arc::new(On { sdk, base, flushes })))
    }

    /// The server span of a request that comes now; none where traces are off. It begins with [`Served::begin`].
    #[inline]
    pub fn serve(&self, headers: &HeaderMap) -> Option<Box<Served>> {
        let on = self.0.as_ref()?;
        Some(Box::new(Served {
            on: Arc::clone(on),
            at: SystemTime::now(),
            client: client(headers),
            context: None,
        }))
    }

    /// The client span of one of usher's own requests, a root where nothing is under way. Takes [`Call`] out of the extensions,
    /// and sets `traceparent` where that says so.
    pub fn call(&self, request: &mut Request<Bytes>) -> Option<Asking> {
        let call = request.extensions_mut().remove::<Call>();
        let on = self.0.as_ref()?;
        let call = call.unwrap_or(Call::to_idp("request"));
        let current = Context::current();
        let parent = match current.has_active_span() {
            true => current,
            false => on.base.clone(),
        };
        let asking = on.ask(call.name.into(), request.method(), &parent);
        let span = asking.0.span();
        if let Some(host) = request.uri().host() {
            span.set_attribute(KeyValue::new("server.address", host.to_owned()));
        }
        if let Some(port) = request.uri().port_u16() {
            span.set_attribute(KeyValue::new("server.port", i64::from(port)));
        }
        if call.passes_on {
            asking.pass_on(request.headers_mut());
        }
        Some(asking)
    }

    /// Waits until all spans that ended so far were sent, or given up.
    pub async fn flush(&self) {
        let Some(on) = &self.0 else { return };
        let (done, is_done) = oneshot::channel();
        if on.flushes.send(done).await.is_ok() {
            // Whoever sends them may be gone.
            let _ = is_done.await;
        }
    }
}

impl On {
    fn ask(&self, name: std::borrow::Cow<'static, str>, method: &Method, at: &Context) -> Asking {
        let span = self
            .sdk
            .span_builder(name)
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("http.request.method", known(method))])
            .start_with_context(&self.sdk, at);
        Asking(at.with_span(span))
    }
}

/// The server span of one request.
#[derive(Debug)]
pub struct Served {
    on: Arc<On>,
    at: SystemTime,
    /// Where the client's trace is.
    client: Option<SpanContext>,
    /// Once it began.
    context: Option<Context>,
}

impl Served {
    /// Begins the span, once: below `earlier`, where a sign-in goes on in this request, else below the client's own. A client whose
    /// trace gives way is linked.
    pub fn begin(&mut self, earlier: Option<&Carried>) -> Current {
        if let Some(context) = &self.context {
            return Current(context.clone());
        }
        let earlier = earlier.and_then(|earlier| parse(&earlier.parent, &earlier.state));
        let gives_way = match (&earlier, &self.client) {
            (Some(earlier), Some(client)) if earlier.trace_id() != client.trace_id() => {
                Some(Link::with_context(client.clone()))
            }
            (Some(_), Some(_)) | (Some(_), None) | (None, _) => None,
        };
        let parent = match earlier.or_else(|| self.client.clone()) {
            Some(parent) => self.on.base.with_remote_span_context(parent),
            None => self.on.base.clone(),
        };
        let span = self
            .on
            .sdk
            .span_builder("request")
            .with_kind(SpanKind::Server)
            .with_start_time(self.at)
            .with_links(gives_way.into_iter().collect())
            .start_with_context(&self.on.sdk, &parent);
        let context = parent.with_span(span);
        self.context = Some(context.clone());
        Current(context)
    }

    /// The span, once it began.
    pub fn current(&self) -> Option<Current> {
        self.context.clone().map(Current)
    }

    /// The trace, once the span began, in lower-case hexadecimal.
    pub fn trace_id(&self) -> Option<String> {
        let context = self.context.as_ref()?;
        Some(context.span().span_context().trace_id().to_string())
    }

    /// The client span of what the app is asked.
    pub fn to_app(&self, app: &str, method: &Method) -> Option<Asking> {
        let context = self.context.as_ref()?;
        let name = format!("{} {app}", known(method));
        let asking = self.on.ask(name.into(), method, context);
        let attribute = KeyValue::new("usher.app", app.to_owned());
        asking.0.span().set_attribute(attribute);
        Some(asking)
    }

    /// Ends the span.
    pub fn end(mut self, end: End<'_>) {
        let context = self.begin(None).0;
        let span = context.span();
        if !span.is_recording() {
            return;
        }
        let method = known(end.method);
        let begins = end.asked_at.unwrap_or(method);
        span.update_name(match end.app.or(end.route) {
            Some(place) => format!("{begins} {place}"),
            None => begins.to_owned(),
        });
        let status = i64::from(end.status.as_u16());
        span.set_attributes([
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.response.status_code", status),
            KeyValue::new("usher.outcome", end.outcome),
            KeyValue::new("usher.request_id", end.request_id.to_owned()),
        ]);
        let named = [
            ("http.route", end.route),
            ("usher.app", end.app),
            ("usher.asked_at", end.asked_at),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                span.set_attribute(KeyValue::new(name, value.to_owned()));
            }
        }
        if end.status.is_server_error() || end.broken {
            span.set_status(Status::error(end.outcome));
        }
        span.end();
    }
}

/// A span that is under way.
#[derive(Debug)]
pub struct Current(Context);

impl Current {
    /// Does the work below this span.
    pub async fn within<F: Future>(self, work: F) -> F::Output {
        // Boxed: what is moved with the context stays small.
        Box::pin(work).with_context(self.0).await
    }
}

/// The client span of a request that waits for its answer; dropped without one, it ends as it is.
#[derive(Debug)]
pub struct Asking(Context);

impl Asking {
    /// Tells the other side where it stands, in place of what is there.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        let Some(Carried { parent, state }) = carried(&self.0) else {
            return;
        };
        headers.remove(TRACESTATE);
        if let Ok(parent) = HeaderValue::try_from(parent) {
            headers.insert(TRACEPARENT, parent);
        }
        if !state.is_empty()
            && let Ok(state) = HeaderValue::try_from(state)
        {
            headers.insert(TRACESTATE, state);
        }
    }

    /// The answer is here.
    pub fn answered(self, status: StatusCode) {
        let span = self.0.span();
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        if status.is_client_error() || status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// There is none, by a stable code.
    pub fn failed(self, code: &'static str) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("error.type", code));
        span.set_status(Status::error(code));
        span.end();
    }
}

/// Does the work as a span below the one that is under way; nothing is measured where there is none.
pub async fn step<F: Future>(name: &'static str, work: F) -> F::Output {
    let parent = Context::current();
    let Some(Maker(sdk)) = parent.get::<Maker>() else {
        return work.await;
    };
    let span = sdk.span_builder(name).start_with_context(sdk, &parent);
    let context = parent.with_span(span);
    let done = Box::pin(work).with_context(context.clone()).await;
    context.span().end();
    done
}

/// An attribute of the span that is under way: an id of the config or a stable code, nothing that a person or a peer wrote.
pub fn note(name: &'static str, value: &str) {
    Context::map_current(|current| {
        let span = current.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(name, value.to_owned()));
        }
    });
}

/// Where the work stands, to go on from there in another request.
pub fn carry() -> Option<Carried> {
    Context::map_current(carried)
}

/// The trace of the work, in lower-case hexadecimal.
pub fn trace_id() -> Option<String> {
    Context::map_current(|current| {
        let span = current.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    })
}

fn carried(context: &Context) -> Option<Carried> {
    let span = context.span();
    let context = span.span_context();
    let flags = u8::from(context.is_sampled());
    context.is_valid().then(|| Carried {
        parent: format!(
            "00-{}-{}-{flags:02x}",
            context.trace_id(),
            context.span_id()
        ),
        state: context.trace_state().header(),
    })
}

/// Where the client says that it stands: nowhere if it says so twice, or not as W3C Trace Context 3.2 wants it.
fn client(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let mut states = headers.get_all(TRACESTATE).iter().map(HeaderValue::to_str);
    let states = states.by_ref().collect::<Result<Vec<_>, _>>();
    parse(parent.to_str().ok()?, &states.unwrap_or_default().join(","))
}

/// Reads `traceparent` (W3C Trace Context 3.2) and `tracestate`; one that is too long or malformed is left out.
fn parse(parent: &str, state: &str) -> Option<SpanContext> {
    let (head, rest) = parent.split_at_checked(55)?;
    let mut parts = head.split('-');
    let mut hex = |length: usize| {
        let part = parts.next()?;
        let fits = part.len() == length
            && part
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then_some(part)
    };
    let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let ends_well = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        // A later version may say more.
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    if !ends_well {
        return None;
    }
    let state = (state.len() <= STATE_LIMIT).then_some(state);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        state
            .and_then(|state| state.parse::<TraceState>().ok())
            .unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

/// A method of the semantic conventions; what a client made up has no place in a name.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn takes_a_traceparent_only_as_the_standard_writes_it() {
        let context = parse(VALID, "vendor=1").unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "vendor=1");
        let unsampled = parse(&VALID.replace("-01", "-00"), "").unwrap();
        assert!(!unsampled.is_sampled());
        assert!(parse(&VALID.replace("00-4", "01-4"), "").is_some());
        let later = format!("{VALID}-more").replace("00-4", "cc-4");
        assert!(parse(&later, "").is_some());
        for wrong in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-"),
            format!("{VALID}-more"),
            format!("{VALID}0").replace("00-4", "cc-4"),
            VALID.replace("00-4", "ff-4"),
            VALID.to_uppercase(),
            VALID.replace('-', "_"),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replace("00f067aa0ba902b7", "+0f067aa0ba902b7"),
            VALID.replace("4b", "é"),
        ] {
            assert!(parse(&wrong, "").is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_tracestate_that_cannot_be_used_does_not_take_its_trace_along() {
        for state in ["no-pair".to_owned(), format!("a={}", "x".repeat(600))] {
            let context = parse(VALID, &state).unwrap();
            assert_eq!(context.trace_state().header(), "");
        }
    }

    #[test]
    fn two_traceparents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(client(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(client(&headers).is_none());
    }
}
