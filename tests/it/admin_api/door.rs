//! Who gets in: nobody without a token, and no page of another origin.

use std::time::Duration;

use serde_json::json;

use super::client::{Ask, code, company, company_with, get};
use crate::support::browser::Browser;
use crate::support::company::{ADMIN_ORIGIN, ADMIN_TOKEN, Changes, Company, eventually};
use crate::support::scim::TOKEN;
use crate::support::wire::{Answer, PATIENCE, TRUSTED, UNTRUSTED, Wire};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// Every path of the API with example values in place of its parameters.
async fn paths(company: &Company) -> Vec<String> {
    let document = get(company, "/api/v1/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let filled = paths.keys().map(|path| {
        let parts = path.split('/').map(|part| match part.starts_with('{') {
            true => "some",
            false => part,
        });
        parts.collect::<Vec<_>>().join("/")
    });
    filled.collect()
}

#[tokio::test]
async fn nothing_of_the_api_answers_without_a_token() {
    let company = company().await;
    let mut paths = paths(&company).await;
    assert!(paths.len() > 4, "{paths:?}");
    for other in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/../v1/status",
        "/api/v1/config",
        "/api/v1//status",
        "/api/v1/status?token=admin-token-of-the-tests-0123456789",
        "/api/v1/status?access_token=admin-token-of-the-tests-0123456789",
    ] {
        paths.push(other.to_owned());
    }
    for path in &paths {
        for method in METHODS {
            for token in [None, Some("wrong"), Some("usht_wrong"), Some("")] {
                let answer = Ask::new(method, path).by(token).send(&company).await;
                assert_eq!(answer.status, 401, "{method} {path} {token:?}");
                let challenge = answer.header("www-authenticate").unwrap();
                assert!(challenge.starts_with("Bearer"), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn only_one_bearer_field_is_a_token() {
    let company = company().await;
    for field in [
        format!("Basic {ADMIN_TOKEN}"),
        ADMIN_TOKEN.to_owned(),
        format!("Bearer {ADMIN_TOKEN}x"),
        format!("Bearer {}", ADMIN_TOKEN.to_uppercase()),
    ] {
        let ask = Ask::new("GET", "/api/v1/openapi.json").by(None);
        let answer = ask.with("Authorization", &field).send(&company).await;
        assert_eq!(answer.status, 401, "{field}");
    }
    let ask = Ask::new("GET", "/api/v1/openapi.json");
    let twice = ask
        .with("Authorization", "Bearer other")
        .send(&company)
        .await;
    assert_eq!(twice.status, 401);
    let cookie = Ask::new("GET", "/api/v1/openapi.json").by(None);
    let cookie = cookie.with("Cookie", &format!("token={ADMIN_TOKEN}"));
    assert_eq!(cookie.send(&company).await.status, 401);
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_even_with_the_token() {
    let company = company().await;
    for (name, value) in [
        ("Origin", "https://evil.test"),
        ("Origin", "https://wiki.test"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let ask = Ask::new(method, "/api/v1/tokens").with(name, value);
            let answer = ask.send(&company).await;
            assert_eq!(answer.status, 403, "{method} {name}: {value}");
            assert_eq!(code(&answer), "foreign_origin");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    for (name, value) in [("Origin", ADMIN_ORIGIN), ("Sec-Fetch-Site", "same-origin")] {
        let ask = Ask::new("GET", "/api/v1/tokens").with(name, value);
        assert_eq!(ask.send(&company).await.status, 200, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_name_that_somebody_else_can_point_here_is_refused() {
    let company = company().await;
    for host in ["evil.test", "127.0.0.1.nip.test", "usher.test.evil.test"] {
        let answer = Ask::new("GET", "/api/v1/tokens")
            .at(host)
            .send(&company)
            .await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (421, "unknown_host")
        );
    }
    for host in [
        "usher.test",
        "USHER.test:4181",
        "localhost:4181",
        "127.0.0.1:4181",
        "[::1]:4181",
        "usher.sso.svc:4181",
        "wiki.test",
    ] {
        let answer = Ask::new("GET", "/api/v1/tokens")
            .at(host)
            .send(&company)
            .await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_read_token_changes_nothing_and_a_revoked_one_is_none() {
    let company = company().await;
    let new = json!({ "name": "looker", "scope": "read" });
    let made = Ask::new("POST", "/api/v1/tokens")
        .json(&new)
        .send(&company)
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("usht_"));
    let get = Ask::new("GET", "/api/v1/tokens")
        .by(Some(secret))
        .send(&company)
        .await;
    assert_eq!(get.status, 200);
    assert!(!get.text().contains(secret), "a secret is shown once");
    for path in paths(&company).await {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = Ask::new(method, &path)
                .by(Some(secret))
                .send(&company)
                .await;
            assert_eq!(answer.status, 403, "{method} {path}");
            assert_eq!(code(&answer), "insufficient_scope");
        }
    }
    let id = made["token"]["id"].as_str().unwrap();
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(Ask::new("DELETE", &path).send(&company).await.status, 204);
    assert_eq!(Ask::new("DELETE", &path).send(&company).await.status, 404);
    let after = Ask::new("GET", "/api/v1/tokens")
        .by(Some(secret))
        .send(&company)
        .await;
    assert_eq!(after.status, 401);
}

#[tokio::test]
async fn a_body_is_json_and_of_a_bounded_size() {
    let company = company().await;
    let body = json!({ "name": "x", "scope": "read" }).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "text/csv",
        "",
    ] {
        let ask = Ask::new("POST", "/api/v1/tokens").body(kind, &body);
        let answer = ask.send(&company).await;
        assert_eq!(answer.status, 415, "{kind}: {}", answer.text());
    }
    let plain = Ask::new("POST", "/api/v1/reload").body("text/plain", "{}");
    assert_eq!(plain.send(&company).await.status, 415);
    for (body, what) in [
        ("{", "cut"),
        (r#"{"name":"x"}"#, "without its scope"),
        (r#"{"name":"x","scope":"all"}"#, "with an unknown scope"),
        (
            r#"{"name":"x","scope":"read","admin":true}"#,
            "with a foreign key",
        ),
        (r#"{"name":"a b","scope":"read"}"#, "with a bad name"),
        (
            r#"{"name":"x","scope":"read","expires_at":"2001-01-01T00:00:00Z"}"#,
            "that is over",
        ),
    ] {
        let ask = Ask::new("POST", "/api/v1/tokens").body("application/json", body);
        let answer = ask.send(&company).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "bad_request"),
            "{what}"
        );
    }
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    let ask = Ask::new("POST", "/api/v1/tokens").body("application/json", &large);
    assert_eq!(ask.send(&company).await.status, 413);
    assert_eq!(get(&company, "/api/v1/tokens").await["total"], 0);
}

fn has(answer: &Answer, name: &str, value: &str) {
    assert_eq!(answer.header(name).as_deref(), Some(value), "{name}");
}

#[tokio::test]
async fn every_answer_is_hardened_and_has_its_line_in_the_log() {
    let company = company().await;
    let secret = "?q=geheim";
    for (path, token) in [
        ("/api/v1/openapi.json", Some(ADMIN_TOKEN)),
        ("/api/v1/nothing", Some(ADMIN_TOKEN)),
        ("/api/v1/nothing", None),
        ("/elsewhere", None),
    ] {
        let path = format!("{path}{secret}");
        let answer = Ask::new("GET", &path).by(token).send(&company).await;
        has(&answer, "cache-control", "no-store");
        has(&answer, "x-content-type-options", "nosniff");
        has(&answer, "x-frame-options", "DENY");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        let id = answer.header("x-request-id").unwrap();
        let lines = || {
            let log = company.usher.log();
            log.lines().filter(|line| line.contains(&id)).count()
        };
        eventually(Duration::from_secs(5), "a line", || lines() == 1).await;
    }
    let log = company.usher.log();
    assert!(
        !log.contains("geheim") && !log.contains(ADMIN_TOKEN),
        "{log}"
    );
    assert!(log.contains("\"user\":\"token:config\""), "{log}");
}

#[tokio::test]
async fn a_trusted_proxy_alone_says_who_the_client_is() {
    let changes = Changes {
        top: vec!["trusted_proxies: [127.0.0.2/32]".to_owned()],
        ..Changes::default()
    };
    let company = company_with(changes).await;
    let ask = Ask::new("GET", "/api/v1/openapi.json").with("X-Forwarded-For", "192.0.2.7");
    assert_eq!(ask.send(&company).await.status, 200);
    let mut wire = Wire::connect(company.usher.admin().unwrap(), TRUSTED)
        .await
        .unwrap();
    let text = format!(
        "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.8\r\n\
         Authorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
    );
    wire.send(text.as_bytes()).await;
    assert_eq!(wire.answer(false, PATIENCE).await.unwrap().status, 200);
    let seen = |what: &str| company.usher.log().contains(what);
    eventually(Duration::from_secs(5), "the client", || seen("192.0.2.8")).await;
    assert!(!seen("192.0.2.7"));
}

#[tokio::test]
async fn what_an_untrusted_client_says_of_itself_counts_for_nothing() {
    let changes = Changes {
        top: vec!["trusted_proxies: [127.0.0.2/32]".to_owned()],
        idp: vec![format!("scim: {{ token: {TOKEN} }}")],
        ..Changes::default()
    };
    let company = company_with(changes).await;
    // Its host leads to no page, its scheme into no URL, its request id into no answer.
    let ask = Ask::new("GET", "/").with("X-Forwarded-Host", "usher.test");
    assert_eq!(ask.send(&company).await.status, 421);
    let ask = Ask::new("GET", "/scim/acme/v2/ServiceProviderConfig").by(Some(TOKEN));
    let ask = ask
        .with("X-Forwarded-Proto", "https")
        .with("X-Request-Id", "mine-0123456789");
    let answer = ask.send(&company).await;
    let location = answer.json()["meta"]["location"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        location.starts_with("http://localhost/scim/acme/v2/"),
        "{location}"
    );
    assert_ne!(
        answer.header("x-request-id").as_deref(),
        Some("mine-0123456789")
    );
    // Of a proxy that is trusted they count.
    let mut wire = Wire::connect(company.usher.admin().unwrap(), TRUSTED)
        .await
        .unwrap();
    let text = format!(
        "GET /scim/acme/v2/ServiceProviderConfig HTTP/1.1\r\nHost: inner\r\nX-Forwarded-Host: usher.test\r\n\
         X-Forwarded-Proto: https\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    wire.send(text.as_bytes()).await;
    let answer = wire.answer(false, PATIENCE).await.unwrap();
    let location = answer.json()["meta"]["location"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        location.starts_with("https://usher.test/scim/acme/v2/"),
        "{location}"
    );
}

#[tokio::test]
async fn who_has_no_token_is_refused_before_the_body_comes() {
    let changes = Changes {
        idp: vec![format!("scim: {{ token: {TOKEN} }}")],
        ..Changes::default()
    };
    let company = company_with(changes).await;
    let (admin, public) = (company.usher.admin().unwrap(), company.usher.public());
    for (to, path) in [
        (admin, "/api/v1/tokens"),
        (admin, "/scim/acme/v2/Users"),
        (public, "/_usher/scim/acme/v2/Users"),
    ] {
        let mut wire = Wire::connect(to, UNTRUSTED).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: wiki.test\r\nAuthorization: Bearer wrong\r\n\
             Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
        );
        wire.send(head.as_bytes()).await;
        let answer = wire.answer(false, PATIENCE).await;
        assert_eq!(answer.map(|answer| answer.status), Some(401), "{path}");
    }
}

#[tokio::test]
async fn names_of_tokens_and_sizes_of_pages_are_bounded() {
    let company = company().await;
    let config = json!({ "name": "config", "scope": "read" });
    let ask = Ask::new("POST", "/api/v1/tokens").json(&config);
    let answer = ask.send(&company).await;
    assert_eq!((answer.status, code(&answer).as_str()), (409, "name_taken"));
    for path in ["/api/v1/users", "/api/v1/sessions", "/api/v1/audit"] {
        for (limit, status) in [(0, 400), (1, 200), (200, 200), (201, 400)] {
            let path = format!("{path}?limit={limit}");
            let answer = Ask::new("GET", &path).send(&company).await;
            assert_eq!(answer.status, status, "{path}");
        }
    }
    let why = json!({ "why": "x".repeat(501) });
    let ask = Ask::new("POST", "/api/v1/users/usr_1/deactivate").json(&why);
    assert_eq!(ask.send(&company).await.status, 400);
}

#[tokio::test]
async fn pages_and_endpoints_are_at_the_admin_host_alone() {
    let company = company().await;
    for host in [
        "localhost",
        "127.0.0.1",
        "wiki.test",
        "evil.test",
        "usher.test:81",
    ] {
        for path in ["/", "/users", "/_usher/sign-in/acme", "/_usher/me"] {
            let answer = Ask::new("GET", path).at(host).send(&company).await;
            assert_eq!(answer.status, 421, "{host} {path}");
        }
    }
    let me = Ask::new("GET", "/_usher/me")
        .at("usher.test")
        .send(&company)
        .await;
    assert_eq!(me.status, 401, "{}", me.text());
    for (method, path) in [
        ("TRACE", "/"),
        ("TRACK", "/_usher/me"),
        ("TRACE", "/scim/acme/v2"),
    ] {
        let answer = Ask::new(method, path).at("usher.test").send(&company).await;
        assert_eq!(answer.status, 405, "{method} {path}");
    }
    let mut wire = Wire::connect(company.usher.public(), TRUSTED)
        .await
        .unwrap();
    let text = format!(
        "GET /api/v1/openapi.json HTTP/1.1\r\nHost: usher.test\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
    );
    wire.send(text.as_bytes()).await;
    assert_eq!(wire.answer(false, PATIENCE).await.unwrap().status, 421);
}

#[tokio::test]
async fn a_sign_in_at_the_admin_origin_makes_a_session_of_it_alone() {
    let company = company().await;
    let mut browser = Browser::new(company.usher.public());
    browser.find("usher.test", company.usher.admin().unwrap());
    company.idp.sign_in_as(Some("bob"));
    let start = format!("{ADMIN_ORIGIN}/_usher/sign-in?return_to=/_usher-is-not-asked");
    let is_back = |url: &url::Url| url.path() == "/_usher-is-not-asked";
    let end = browser
        .follow(&start.parse().unwrap(), is_back, 12)
        .await
        .unwrap();
    let back = end.stopped_before.unwrap();
    assert_eq!(back.host_str(), Some("usher.test"));
    let me = |origin: &str| format!("{origin}/_usher/me").parse().unwrap();
    let here = browser.open(&me(ADMIN_ORIGIN)).await.unwrap();
    assert_eq!(
        here.json()["user"]["email"],
        "bob@example.com",
        "{}",
        here.text()
    );
    let value = browser.cookie("__Host-usher-admin").unwrap();
    browser.plant("wiki.test", "__Host-usher", &value);
    let there = browser.open(&me("https://wiki.test")).await.unwrap();
    assert_eq!(there.status, 401, "{}", there.text());
}

#[tokio::test]
async fn the_api_loads_the_config_anew_and_says_why_not() {
    let company = company().await;
    let reload = || Ask::new("POST", "/api/v1/reload");
    let file = company.usher.path().join("usher.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    let before = reload().send(&company).await;
    assert_eq!(before.status, 200, "{}", before.text());
    std::fs::write(&file, format!("{good}nonsense: 1\n")).unwrap();
    let bad = reload().send(&company).await;
    assert_eq!((bad.status, code(&bad).as_str()), (422, "config_refused"));
    assert!(bad.text().contains("nonsense"), "{}", bad.text());
    std::fs::write(
        &file,
        good.replace("  listen: \"127.0.0.1:0\"", "  listen: \"127.0.0.1:1\""),
    )
    .unwrap();
    let moved = reload().send(&company).await;
    assert_eq!(moved.status, 422, "{}", moved.text());
    assert!(moved.text().contains("admin.listen"), "{}", moved.text());
    std::fs::write(
        &file,
        good.replace(ADMIN_TOKEN, "another-token-of-the-tests-0123456789"),
    )
    .unwrap();
    // Whoever watches the file may have been faster.
    let taken = reload().send(&company).await;
    assert!(matches!(taken.status, 200 | 401), "{}", taken.text());
    assert_eq!(
        reload().send(&company).await.status,
        401,
        "the former token still counts"
    );
}
