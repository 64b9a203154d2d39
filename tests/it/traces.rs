//! Traces from the outside: what a collector gets of a sign-in, and what becomes of requests when it gets nothing.

use std::time::Duration;

use axum::http::StatusCode;
use usher::demo::idp::CLIENT_SECRET;

use crate::saml::{self, Globex};
use crate::support::browser::{Browser, redirect};
use crate::support::callback::SECRET;
use crate::support::collector::{Collector, Seen};
use crate::support::company::{Changes, Company, ORIGIN, eventually, page};
use crate::support::process::fetch;
use crate::support::wire::{PATIENCE, UNTRUSTED, Wire};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What the browser says of itself: on its first requests, and when it is back.
const FIRST: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const BACK: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01";
const TOKEN: &str = "token-of-the-collector";

fn traces(endpoint: &str, more: &str) -> Changes {
    Changes {
        top: vec![format!(
            "traces: {{ otlp_endpoint: \"{endpoint}\", headers: {{ x-token: {TOKEN} }}{more} }}"
        )],
        environment: vec![
            ("OTEL_SERVICE_NAME".to_owned(), "wiki-sign-in".to_owned()),
            (
                "OTEL_RESOURCE_ATTRIBUTES".to_owned(),
                "deployment.environment.name=test".to_owned(),
            ),
        ],
        ..Changes::default()
    }
}

/// Signs in by OIDC; `first` goes along as far as the IdP, `back` with the request to the app, nothing with the callback.
async fn sign_in(company: &Company, browser: &mut Browser, first: &str, back: &str) {
    company.idp.sign_in_as(Some("alice"));
    let mut url = page("/start?page=secret-of-the-query");
    let mut parent = Some(first);
    for _ in 0..12 {
        let is_app = parent == Some(back);
        let fields: Vec<(&str, &str)> = parent
            .iter()
            .flat_map(|parent| {
                [
                    ("traceparent", *parent),
                    ("tracestate", "vendor=of-the-browser"),
                ]
            })
            .collect();
        let answer = browser.send(&url, "GET", &fields, None).await.unwrap();
        let Some(next) = redirect(&url, &answer) else {
            assert!(is_app && answer.status == 200, "{url} {}", answer.text());
            return;
        };
        parent = match next.path() {
            path if path.ends_with("/callback") => None,
            "/start" => Some(back),
            _ if next.as_str().starts_with(ORIGIN) => Some(first),
            _ => None,
        };
        url = next;
    }
    panic!("the sign-in goes round in circles");
}

/// Ends usher in peace, by when all spans were sent.
async fn end(company: &mut Company) {
    company.usher.signal("INT");
    let code = company.usher.exit_code(Duration::from_secs(12)).await;
    assert_eq!(code, Some(0), "{}", company.usher.log());
}

/// The one span of that name below that parent.
#[track_caller]
fn below<'a>(spans: &'a [Seen], parent: &Seen, name: &str) -> &'a Seen {
    let is_it = |span: &&Seen| span.name() == name && span.parent() == parent.id();
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    let names: Vec<_> = spans.iter().map(|it| (it.name(), it.parent())).collect();
    assert_eq!(found.len(), 1, "{name} below {}: {names:?}", parent.name());
    found[0]
}

#[track_caller]
fn with_parent<'a>(spans: &'a [Seen], parent: &str, name: &str) -> &'a Seen {
    let is_it = |span: &&Seen| span.name() == name && span.parent() == parent;
    let names: Vec<_> = spans.iter().map(|it| (it.name(), it.parent())).collect();
    spans
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("{name} below {parent}: {names:?}"))
}

async fn count(company: &Company, outcome: &str) -> u64 {
    let listener = company.usher.metrics().unwrap();
    let text = fetch(listener, "/metrics", Duration::from_secs(2)).await;
    let text = text.unwrap().text();
    let begins = format!("usher_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&begins));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn one_sign_in_is_one_trace_from_the_browser_to_the_app() {
    let collector = Collector::start().await;
    let mut company = Company::open_with(traces(&collector.url(), "")).await;
    let mut browser = company.browser();
    sign_in(&company, &mut browser, FIRST, BACK).await;
    let app = company.last_seen();
    let callback = company.callback.calls().remove(0);
    end(&mut company).await;

    let spans: Vec<Seen> = collector.spans();
    let spans: Vec<Seen> = spans.into_iter().filter(|it| it.trace() == TRACE).collect();
    let first = "00f067aa0ba902b7";
    let asked = with_parent(&spans, first, "GET wiki");
    assert_eq!(
        asked.attribute("usher.outcome").as_deref(),
        Some("sign_in_required")
    );
    let start = with_parent(&spans, first, "GET /_usher/sign-in");
    let begin = below(&spans, start, "sign_in.begin");
    below(&spans, begin, "metadata");
    // The callback came without a word of the browser, and still is in the trace that the sign-in began in.
    let arrived = below(&spans, begin, "GET /_usher/oidc/{idp}/callback");
    let end = below(&spans, arrived, "sign_in.callback");
    assert_eq!(end.attribute("usher.outcome").as_deref(), Some("ok"));
    assert_eq!(end.attribute("usher.idp").as_deref(), Some("acme"));
    let redeem = below(&spans, end, "sign_in.redeem");
    below(&spans, redeem, "token");
    below(&spans, redeem, "key set");
    below(&spans, end, "sign_in.admit");
    let provision = below(&spans, end, "provision");
    let told = below(&spans, provision, "callback");
    let parent = format!("00-{TRACE}-{}-01", told.id());
    assert_eq!(callback.head.all("traceparent"), [parent]);
    let back = with_parent(&spans, "b7ad6b7169203331", "GET wiki");
    assert_eq!(back.attribute("usher.outcome").as_deref(), Some("admitted"));
    let status = back.attribute("http.response.status_code").unwrap();
    assert!(status.contains("200"), "{status}");
    let passed = below(&spans, back, "GET wiki");
    let parent = format!("00-{TRACE}-{}-01", passed.id());
    assert_eq!(app.all("traceparent"), [parent]);
    assert_eq!(app.all("tracestate"), ["vendor=of-the-browser"]);

    let resource = collector.resource();
    for (name, value) in [
        ("service.name", "wiki-sign-in"),
        ("deployment.environment.name", "test"),
    ] {
        let pair = (name.to_owned(), value.to_owned());
        assert!(resource.contains(&pair), "{pair:?} in {resource:?}");
    }
    let heads = collector.headers();
    assert!(heads.iter().all(|head| head["x-token"] == TOKEN));
    let log = company.usher.log();
    let in_trace = format!("\"trace_id\":\"{TRACE}\"");
    for event in ["\"event\":\"signed_in\"", "\"outcome\":\"admitted\""] {
        let line = log.lines().find(|line| line.contains(event)).unwrap();
        assert!(line.contains(&in_trace), "{line}");
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[tokio::test]
async fn no_secret_and_no_person_is_in_a_span() {
    let collector = Collector::start().await;
    let mut company = Company::open_with(traces(&collector.url(), "")).await;
    let mut browser = company.browser();
    sign_in(&company, &mut browser, FIRST, BACK).await;
    let user = company.last_seen().header("x-forwarded-user").unwrap();
    browser.open(&page("/_usher/me?x=1")).await.unwrap();
    browser.open(&page("/_usher/invitation/secret-link")).await;
    end(&mut company).await;

    let mut secrets: Vec<String> = ["alice", "Alice", "engineering", "example.com", "secret"]
        .map(str::to_owned)
        .to_vec();
    secrets.extend([
        user,
        CLIENT_SECRET.to_owned(),
        SECRET.to_owned(),
        TOKEN.to_owned(),
    ]);
    secrets.extend(browser.cookies.iter().map(|cookie| cookie.value.clone()));
    for hop in &browser.hops {
        let values = hop.url.query_pairs().map(|(_, value)| value.into_owned());
        // `code` and `S256` are words of the protocol.
        secrets.extend(values.filter(|value| value.len() >= 8));
    }
    assert!(secrets.len() > 14, "{secrets:?}");
    let texts: Vec<String> = collector.spans().iter().flat_map(Seen::texts).collect();
    assert!(texts.len() > 50, "{texts:?}");
    for text in &texts {
        let found = secrets.iter().find(|secret| text.contains(secret.as_str()));
        assert_eq!(found, None, "in {text}");
        assert!(!text.contains('?') && !text.contains('@'), "{text}");
    }
}

#[tokio::test]
async fn a_saml_response_goes_on_in_the_trace_of_its_sign_in() {
    let collector = Collector::start().await;
    let idp = saml::idp().await;
    let changes = Changes {
        more_idps: saml::entry("globex", "Globex", &idp, &saml::Settings::default()),
        group_roles: vec!["globex: { Editors: editor }".to_owned()],
        ..traces(&collector.url(), "")
    };
    let company = Company::open_with(changes).await;
    let mut globex = Globex { company, idp };
    let mut browser = globex.browser();
    let parent = [("traceparent", FIRST)];
    let start = saml::start("globex", "/");
    let away = browser.send(&start, "GET", &parent, None).await.unwrap();
    let request = saml::sent(&away);
    let response = globex.answer(&request);
    let arrived = saml::post(&mut browser, &response, request.relay_state.as_deref()).await;
    assert!(saml::makes_session(&arrived), "{}", arrived.text());
    end(&mut globex.company).await;

    let spans = collector.spans();
    let start = with_parent(&spans, "00f067aa0ba902b7", "GET /_usher/sign-in/{idp}");
    let begin = below(&spans, start, "sign_in.begin");
    let arrived = below(&spans, begin, "POST /_usher/saml/{idp}/acs");
    assert_eq!(arrived.trace(), TRACE);
    let end = below(&spans, arrived, "sign_in.callback");
    below(&spans, end, "sign_in.redeem");
    below(&spans, end, "provision");
}

#[tokio::test]
async fn a_proxy_that_begins_a_trace_of_its_own_at_the_callback_is_linked() {
    let collector = Collector::start().await;
    let mut company = Company::open_with(traces(&collector.url(), "")).await;
    let mut browser = company.browser();
    company.idp.sign_in_as(Some("alice"));
    let mut url = page("/_usher/sign-in?return_to=/");
    let other = format!("00-{}-{}-01", "a".repeat(32), "b".repeat(16));
    loop {
        let at_callback = url.path().ends_with("/callback");
        let parent = if at_callback { &other } else { FIRST };
        let fields = [("traceparent", parent)];
        let answer = browser.send(&url, "GET", &fields, None).await.unwrap();
        if at_callback {
            break;
        }
        url = redirect(&url, &answer).unwrap();
    }
    end(&mut company).await;
    let spans = collector.spans();
    let is_it = |span: &&Seen| span.name() == "GET /_usher/oidc/{idp}/callback";
    let arrived = spans.iter().find(is_it).unwrap();
    assert_eq!(arrived.trace(), TRACE);
    assert_eq!(arrived.0.links[0].trace_id, [0xaa; 16]);
}

#[tokio::test]
async fn what_the_client_says_of_its_trace_counts_only_if_it_is_valid() {
    let collector = Collector::start().await;
    let mut company = Company::open_with(traces(&collector.url(), "")).await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let url = page("/");
    let fields = [
        ("traceparent", "00-not-a-trace-01"),
        ("tracestate", "vendor=1"),
    ];
    browser.send(&url, "GET", &fields, None).await.unwrap();
    let app = company.last_seen();
    let parents = app.all("traceparent");
    assert_eq!(parents.len(), 1, "{parents:?}");
    assert!(parents[0].len() == 55 && parents[0].ends_with("-01"));
    assert!(app.all("tracestate").is_empty());
    // One that is not sampled stays so, and is passed on.
    let unsampled = FIRST.replace("-01", "-00");
    let fields = [("traceparent", unsampled.as_str())];
    browser.send(&url, "GET", &fields, None).await.unwrap();
    let parents = company.last_seen().all("traceparent");
    let begins = format!("00-{TRACE}-");
    assert!(parents[0].starts_with(&begins) && parents[0].ends_with("-00"));
    assert!(!parents[0].contains("00f067aa0ba902b7"), "{parents:?}");
    end(&mut company).await;
    let spans = collector.spans();
    assert!(!spans.is_empty());
    assert!(spans.iter().all(|span| span.trace() != TRACE));
}

#[tokio::test]
async fn with_a_sample_of_zero_nothing_is_sent_whatever_the_client_wants() {
    let collector = Collector::start().await;
    let mut company = Company::open_with(traces(&collector.url(), ", sample: 0")).await;
    let mut browser = company.browser();
    sign_in(&company, &mut browser, FIRST, BACK).await;
    let parents = company.last_seen().all("traceparent");
    assert!(parents[0].starts_with(&format!("00-{TRACE}-")) && parents[0].ends_with("-00"));
    end(&mut company).await;
    assert!(collector.headers().is_empty());
}

#[tokio::test]
async fn without_traces_the_client_s_fields_pass_as_they_are() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let fields = [("traceparent", "anything"), ("tracestate", "at all")];
    browser
        .send(&page("/"), "GET", &fields, None)
        .await
        .unwrap();
    let app = company.last_seen();
    assert_eq!(app.all("traceparent"), ["anything"]);
    assert_eq!(app.all("tracestate"), ["at all"]);
    let calls = company.callback.calls();
    assert!(calls[0].head.all("traceparent").is_empty());
}

#[tokio::test]
async fn a_collector_that_is_down_or_hangs_takes_nothing_with_it() {
    // Nobody listens there any more.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let hanging = Collector::start().await;
    hanging.answer_with(None, Duration::from_secs(3600));
    for endpoint in [nobody, hanging.url()] {
        let mut changes = traces(&endpoint, "");
        let queue = ("OTEL_BSP_MAX_QUEUE_SIZE".to_owned(), "50".to_owned());
        changes.environment.push(queue);
        let mut company = Company::open_with(changes).await;
        let mut browser = company.browser();
        sign_in(&company, &mut browser, FIRST, BACK).await;
        let cookies = browser.cookie_header(&page("/")).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: wiki.test\r\nCookie: {cookies}\r\n\r\n");
        let mut wire = Wire::connect(company.usher.public(), UNTRUSTED)
            .await
            .unwrap();
        // Two spans each: more than there is room for, while the first batch is under way.
        for _ in 0..500 {
            wire.send(request.as_bytes()).await;
            let answer = wire.answer(false, PATIENCE).await.unwrap();
            assert_eq!(answer.status, 200);
        }
        assert_eq!(count(&company, "exported").await, 0);
        let lost = count(&company, "queue_full").await + count(&company, "failed").await;
        assert!(lost > 0, "{}", company.usher.log());
        company.usher.signal("INT");
        let code = company.usher.exit_code(Duration::from_secs(12)).await;
        assert_eq!(code, Some(0));
    }
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_waited() {
    let collector = Collector::start().await;
    collector.answer_with(Some(StatusCode::SERVICE_UNAVAILABLE), Duration::ZERO);
    let company = Company::open_with(traces(&collector.url(), "")).await;
    company.browser().open(&page("/")).await.unwrap();
    // The first try was turned away.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    assert!(collector.spans().is_empty());
    collector.answer_with(None, Duration::ZERO);
    eventually(Duration::from_secs(10), "the span", || {
        collector
            .spans()
            .iter()
            .any(|span| span.name() == "GET wiki")
    })
    .await;
    assert_eq!(count(&company, "failed").await, 0);
}
