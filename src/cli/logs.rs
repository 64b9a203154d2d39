//! JSON logs on standard output, one line for each event.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer, format};
use tracing_subscriber::fmt::{FmtContext, Subscriber as Lines};
use tracing_subscriber::registry::LookupSpan;

use crate::trace;

/// Installs the logs. `USHER_LOG` sets the level (`info` without it), in the syntax of `tracing`.
pub(super) fn install(default: &str) {
    let filter = EnvFilter::try_from_env("USHER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let line = format()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    let subscriber = Lines::builder()
        // A log that cannot be written must not take requests with it: there is nowhere left to say so.
        .log_internal_errors(false)
        .fmt_fields(JsonFields::new())
        .event_format(InTrace(line))
        .with_env_filter(filter)
        .finish();
    // A test that installs its own first keeps it.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Lines of JSON, with the trace that the event is in where there is one.
struct InTrace<F>(F);

impl<S, N, F> FormatEvent<S, N> for InTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(trace_id) = trace::trace_id() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_suffix("}\n") {
            Some(open) => writeln!(writer, "{open},\"trace_id\":\"{trace_id}\"}}"),
            None => writer.write_str(&line),
        }
    }
}
