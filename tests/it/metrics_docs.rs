//! docs/metrics.md, the dashboard and the alerts of the chart against what `/metrics` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use regex_automata::meta::Regex;
use usher::refusal::Reason;

use crate::saml;
use crate::support::company::{Changes, Company, page};
use crate::support::process::fetch;

/// Labels that Prometheus or the chart's ServiceMonitor adds.
const OF_PROMETHEUS: &[&str] = &[
    "namespace",
    "service",
    "pod",
    "job",
    "instance",
    "container",
];

/// The labels of each series, by its name as Prometheus stores it, and its type; without `le`.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// What a page of `/metrics` shows. A family without a sample has no labels yet.
fn shown(text: &str) -> Metrics {
    let mut found = Metrics::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let ending = if kind == "counter" { "_total" } else { "" };
            let name = format!("{name}{ending}");
            found.insert(name, (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#')
            && let Some((name, rest)) = line.split_once('{')
        {
            let labels = labels_of(rest.split('}').next().unwrap());
            if let Some((_, known)) = found.get_mut(family(name)) {
                known.extend(labels.into_iter().filter(|label| label != "le"));
            }
        }
    }
    found
}

/// The metric that a series is of.
fn family(series: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|ending| series.strip_suffix(ending))
        .unwrap_or(series)
}

/// The names before `=`, `!=`, `=~`, `!~`.
fn labels_of(matchers: &str) -> Vec<String> {
    let name = Regex::new(r#"[a-z_]+(=~|!~|!=|=)""#).unwrap();
    name.find_iter(matchers)
        .map(|found| {
            let text = &matchers[found.range()];
            text.trim_end_matches(['=', '~', '!', '"']).to_owned()
        })
        .collect()
}

/// What a process shows after a sign-in by OIDC, the start of one by SAML, and a question by forward-auth.
async fn driven() -> Metrics {
    let idp = saml::idp().await;
    let changes = Changes {
        more_idps: saml::entry("globex", "Globex", &idp, &saml::Settings::default()),
        // Nobody listens there: each span is counted as one that was not taken.
        top: match cfg!(feature = "otel") {
            true => vec!["traces: { otlp_endpoint: \"http://127.0.0.1:9\" }".to_owned()],
            false => Vec::new(),
        },
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let mut browser = company.browser();
    browser
        .open(&page("/_usher/sign-in/globex?return_to=/"))
        .await
        .unwrap();
    company.idp.sign_in_as(Some("alice"));
    let start = page("/_usher/sign-in/acme?return_to=/");
    let end = browser.follow(&start, |_| false, 12).await.unwrap();
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    browser.open(&page("/_usher/auth")).await.unwrap();
    let listener = company.usher.metrics().unwrap();
    let text = fetch(listener, "/metrics", Duration::from_secs(2)).await;
    let text = text.unwrap().text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    shown(&text)
}

/// What the registry shows where every counter of [`Metrics`](usher::metrics::Metrics) counted something.
fn counted() -> Metrics {
    let metrics = usher::metrics::Metrics::default();
    for family in [
        &metrics.sign_ins,
        &metrics.callbacks,
        &metrics.deliveries,
        &metrics.jwks_fetches,
        &metrics.renewals,
        &metrics.saml_metadata_fetches,
    ] {
        usher::metrics::Metrics::count(family, "acme", "ok");
    }
    metrics.trace_spans("exported").inc();
    let certificate = [("AA".to_owned(), jiff::Timestamp::UNIX_EPOCH)];
    metrics
        .saml_certificates
        .set("globex", certificate.into_iter());
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let found = shown(&text);
    // None was forgotten above.
    let registered = include_str!("../../src/metrics.rs")
        .matches("registry.register(")
        .count();
    assert_eq!(found.len(), registered, "{text}");
    found
}

/// The rows of the first table of docs/metrics.md.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>, BTreeSet<String>)> {
    let words = |cell: &str| -> BTreeSet<String> {
        let words = cell.split(',').map(|word| word.trim().trim_matches('`'));
        words
            .filter(|it| !it.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `usher_"));
    let cells = rows.map(|row| row.trim_matches('|').split('|').collect::<Vec<_>>());
    cells
        .filter(|cells| cells.len() == 5)
        .map(|cells| {
            let name = cells[0].trim().trim_matches('`').to_owned();
            let kind = cells[1].trim().to_owned();
            (name, (kind, words(cells[2]), words(cells[4])))
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Names of series in an expression, each with the labels that are asked of it there.
fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
    let series = Regex::new(r"\busher_[a-z_]+").unwrap();
    let found = series.find_iter(expression).map(|found| {
        let rest = &expression[found.end()..];
        let matchers = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next());
        let labels = labels_of(matchers.unwrap_or_default());
        (expression[found.range()].to_owned(), labels)
    });
    found.collect()
}

/// The labels that an expression groups by.
fn grouped(expression: &str) -> Vec<String> {
    let by = Regex::new(r"\b(by|on|without) ?\([^)]*\)").unwrap();
    by.find_iter(expression)
        .flat_map(|found| {
            let inside = expression[found.range()].split('(').nth(1).unwrap();
            let names = inside.trim_end_matches(')').split(',').map(str::trim);
            names.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// What an expression asks for that is not documented.
fn unknown(place: &str, expression: &str) -> Vec<String> {
    let documented = documented();
    let mut wrong = Vec::new();
    let mut known: BTreeSet<String> = OF_PROMETHEUS.iter().map(|it| (*it).to_owned()).collect();
    let series = asked(expression);
    for (name, labels) in &series {
        let family = if documented.contains_key(name) {
            name
        } else {
            family(name)
        };
        let Some((kind, its, _)) = documented.get(family) else {
            wrong.push(format!("{place}: there is no metric {name}"));
            continue;
        };
        if family != name && kind != "histogram" {
            wrong.push(format!("{place}: {family} is no histogram"));
        }
        known.extend(its.iter().cloned());
        if kind == "histogram" {
            known.insert("le".to_owned());
        }
        for label in labels {
            if !its.contains(label) && !OF_PROMETHEUS.contains(&label.as_str()) {
                wrong.push(format!("{place}: {name} has no label {label}"));
            }
        }
    }
    if !series.is_empty() {
        let strange = grouped(expression)
            .into_iter()
            .filter(|it| !known.contains(it));
        wrong.extend(strange.map(|label| format!("{place}: nothing there has the label {label}")));
    }
    wrong.extend(unknown_outcomes(place, expression));
    wrong
}

/// Codes that `outcome` is compared with, and that no page says.
fn unknown_outcomes(place: &str, expression: &str) -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let compared = Regex::new(r#"outcome(=~|!~|!=|=)"[^"]*""#).unwrap();
    let codes = compared.find_iter(expression).flat_map(|found| {
        let quoted = expression[found.range()].split('"').nth(1).unwrap();
        quoted.split('|').collect::<Vec<_>>()
    });
    let known = |code: &str| {
        page.contains(&format!("`{code}`")) || Reason::ALL.iter().any(|it| it.code() == code)
    };
    codes
        .filter(|code| !known(code))
        .map(|code| format!("{place}: nothing has the outcome {code}"))
        .collect()
}

/// Every text of a document under one of these keys.
fn texts(value: &serde_json::Value, keys: &[&str], into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                match member.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => into.push(text.to_owned()),
                    _ => texts(member, keys, into),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, keys, into)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type_and_labels() {
    let mut shown = driven().await;
    // What the process did not count is not there yet.
    for (name, metric) in counted() {
        let known = shown.entry(name).or_insert_with(|| metric.clone());
        known.1.extend(metric.1);
    }
    let documented = documented();
    assert_eq!(
        shown.keys().collect::<Vec<_>>(),
        documented.keys().collect::<Vec<_>>()
    );
    for (name, (kind, labels)) in &shown {
        let (said, its, _) = &documented[name];
        assert_eq!((kind, labels), (said, its), "{name}");
    }
}

#[test]
fn the_outcomes_of_requests_and_refusals_are_told_apart() {
    assert!(unknown_outcomes("x", "a{outcome=\"admitted\"}").is_empty());
    assert!(unknown_outcomes("x", "a{outcome=~\"app_timeout|internal\"}").is_empty());
    assert_eq!(unknown_outcomes("x", "a{outcome!=\"none\"}").len(), 1);
}

#[test]
fn what_an_expression_asks_for_and_nobody_has_is_found() {
    for right in [
        "sum by (app) (rate(usher_requests_total{outcome=~\"internal\",namespace=\"a\"}[5m])) > 0",
        "histogram_quantile(0.9, sum by (le) (rate(usher_added_seconds_bucket[5m])))",
        "up{job=\"usher\"} == 0",
    ] {
        assert_eq!(unknown("x", right), Vec::<String>::new());
    }
    for wrong in [
        "usher_request_total",
        "rate(usher_requests[5m])",
        "usher_sign_ins_total{idp=\"acme\"}",
        "sum by (of) (usher_requests_total)",
        "usher_requests_total{outcome=\"app_down\"}",
        "usher_open_connections_bucket",
    ] {
        assert_eq!(unknown("x", wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_there_are() {
    let chart = root().join("helm/usher");
    let Ok(folder) = std::fs::read_dir(chart.join("dashboards")) else {
        assert!(!chart.exists(), "the chart has no dashboards");
        return;
    };
    let (mut wrong, mut expressions) = (Vec::new(), 0);
    for entry in folder {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut found = Vec::new();
        texts(&dashboard, &["expr", "query", "definition"], &mut found);
        let place = path.file_name().unwrap().to_string_lossy().into_owned();
        for expression in &found {
            expressions += 1;
            wrong.extend(unknown(&place, expression));
        }
    }
    let alerts = std::fs::read_to_string(chart.join("files/alerts.yaml")).unwrap();
    let documented = documented();
    let mut names = BTreeSet::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.split_whitespace().next().unwrap().to_owned();
        // Keys of the rule stand four more columns in than the dash of the list.
        let expression = alert.split("expr:").nth(1).unwrap();
        let end = Regex::new(r"\n {8}[a-z]+:").unwrap();
        let until = end
            .find(expression)
            .map_or(expression.len(), |it| it.start());
        let expression = &expression[..until];
        expressions += 1;
        wrong.extend(unknown(&name, expression));
        for (series, _) in asked(expression) {
            let row = documented.get(&series).or(documented.get(family(&series)));
            if row.is_some_and(|(_, _, alerts)| !alerts.contains(&name)) {
                wrong.push(format!(
                    "docs/metrics.md does not say that {name} uses {series}"
                ));
            }
        }
        names.insert(name);
    }
    for (metric, (_, _, alerts)) in &documented {
        let gone = alerts.difference(&names);
        wrong.extend(gone.map(|name| format!("docs/metrics.md, {metric}: no alert {name}")));
    }
    assert!(expressions > 20, "{expressions} expressions were read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
