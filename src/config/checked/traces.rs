//! `traces`.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::secrets::Context;
use crate::config::Traces;
use crate::config::raw::{At, RawTraces, Report, SecretSource, Table};
use crate::secret::Secret;

/// The collector of people's other programs.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Added to the endpoint (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// `traces`; the outer `None` after a problem.
pub(super) fn traces(
    raw: Option<&At<RawTraces>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<Traces>> {
    let Some(raw) = raw else { return Some(None) };
    if cfg!(not(feature = "otel")) {
        report.add(
            raw.place,
            "`traces` needs an usher that was built with the feature `otel`; this one was not",
            "remove the key, or build with `--features otel`",
        );
        return None;
    }
    let endpoint = endpoint(raw, context, report);
    let headers = raw
        .headers
        .as_ref()
        .and_then(|table| headers(table, context, report));
    Some(Some(Traces {
        endpoint: endpoint?,
        sample: raw.sample.as_ref()?.0,
        headers: headers?,
    }))
}

fn endpoint(raw: &At<RawTraces>, context: &Context<'_>, report: &mut Report) -> Option<Url> {
    let example = "write its base URL, such as `http://collector:4318`";
    let (place, name, written) = match &raw.otlp_endpoint {
        Some(text) => (text.place, "traces.otlp_endpoint", text.0.clone()),
        None => match context.variable(ENDPOINT) {
            Some(value) => (raw.place, ENDPOINT, value),
            None => {
                let what = format!("`traces` has no `otlp_endpoint`, and {ENDPOINT} is not set");
                report.add(raw.place, what, example);
                return None;
            }
        },
    };
    let base = written.trim_end_matches('/');
    let whole = match base.ends_with(PATH) {
        true => base.to_owned(),
        false => format!("{base}{PATH}"),
    };
    let url = Url::parse(&whole).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        // It may hold a password.
        let what = format!("`{name}` is not an http or https URL without user name and query");
        report.add(place, what, example);
    }
    url
}

fn headers(
    table: &At<Table<SecretSource>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Vec<(HeaderName, Secret)>> {
    let mut all = Some(Vec::new());
    for (name, source) in &table.0 {
        let path = format!("traces.headers.{}", name.value);
        let parsed = name.value.parse::<HeaderName>().ok();
        if parsed.is_none() {
            let fix = "write one such as `authorization`";
            report.add(name.place, format!("`{path}` is no header field"), fix);
        }
        let value = context.secret(&path, source, report);
        let fits = value
            .as_ref()
            .is_none_or(|value| HeaderValue::from_str(value.expose()).is_ok());
        if !fits {
            let what = format!("the value of `{path}` cannot stand in a header field");
            report.add(source.place, what, "write it in one line of plain text");
        }
        all = match (all, parsed, value) {
            (Some(mut all), Some(name), Some(value)) if fits => {
                all.push((name, value));
                Some(all)
            }
            (_, _, _) => None,
        };
    }
    all
}
