//! JSON logs on standard output, one line for each event.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Installs the logs. `USHER_LOG` sets the level (`info` without it), in the syntax of `tracing`.
pub(super) fn install(default: &str) {
    let filter = EnvFilter::try_from_env("USHER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = fmt()
        // A log that cannot be written must not take requests with it: there is nowhere left to say so.
        .log_internal_errors(false)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .finish();
    // A test that installs its own first keeps it.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
