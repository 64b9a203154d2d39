//! What is explained is what happens.

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::client::{Ask, code, company, get};
use super::people::user;
use crate::support::browser::Browser;
use crate::support::company::{Company, ORIGIN};
use crate::support::wire::{PATIENCE, UNTRUSTED, Wire};

/// Paths that one may read in several ways among them.
const PATHS: [&str; 14] = [
    "/",
    "/x",
    "/public/x",
    "/public",
    "/PUBLIC/x",
    "/public/../x",
    "/public/..%2fadmin/x",
    "/admin",
    "/admin/users",
    "/Admin/users",
    "/administrator",
    "/x/..;/admin/",
    "/%ff",
    "/a%00b",
];

async fn explained(company: &Company, user: Option<&str>, method: &str, path: &str) -> Value {
    let path: String = byte_serialize(path.as_bytes()).collect();
    let user = user.map(|user| format!("&user={user}")).unwrap_or_default();
    let path = format!("/api/v1/explain?app=wiki&method={method}&path={path}{user}");
    get(company, &path).await
}

/// What the proxy does: the status, and whether the app got it with an identity.
async fn done(
    company: &Company,
    browser: &Browser,
    method: &str,
    path: &str,
) -> (u16, Option<bool>) {
    let before = company.app.seen().len();
    let cookies = browser
        .cookie_header(&ORIGIN.parse().unwrap())
        .unwrap_or_default();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: wiki.test\r\nAccept: application/json\r\nCookie: {cookies}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let mut wire = Wire::connect(company.usher.public(), UNTRUSTED)
        .await
        .unwrap();
    wire.send(text.as_bytes()).await;
    let answer = wire.answer(false, PATIENCE).await.unwrap();
    let seen = company.app.seen();
    let reached = (seen.len() > before).then(|| {
        let last = seen.last().unwrap();
        last.header("x-forwarded-user").is_some()
    });
    (answer.status, reached)
}

#[tokio::test]
async fn what_is_explained_is_what_the_proxy_does() {
    let company = company().await;
    let mut visitors = vec![(None, company.browser())];
    for name in ["alice", "bob", "nora"] {
        let (browser, _) = company.signed_in(name, "/").await;
        visitors.push((Some(user(&company, name).await), browser));
    }
    let mut words = std::collections::BTreeSet::new();
    for (id, browser) in &visitors {
        for method in ["GET", "POST"] {
            for path in PATHS {
                let says = explained(&company, id.as_deref(), method, path).await;
                let (status, reached) = done(&company, browser, method, path).await;
                let expected = match says["decision"].as_str().unwrap() {
                    "admitted" => (200, Some(true)),
                    "public" => (200, Some(false)),
                    "needs_sign_in" => (401, None),
                    "refused" => {
                        let status = says["refusal"]["status"].as_u64().unwrap();
                        (u16::try_from(status).unwrap(), None)
                    }
                    other => panic!("{other}"),
                };
                assert_eq!(
                    (status, reached),
                    expected,
                    "{id:?} {method} {path}: {says}"
                );
                words.insert(says["decision"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(words.len(), 4, "{words:?}");
}

#[tokio::test]
async fn the_headers_that_are_named_are_those_that_are_sent() {
    let company = company().await;
    company.signed_in("bob", "/").await;
    let says = explained(&company, Some("bob%40example.com"), "GET", "/admin/x").await;
    assert_eq!(says["rule"]["place"], 1);
    assert_eq!(says["rule"]["allow"], "roles");
    assert_eq!(says["roles"][1]["sources"][0]["group"], "admins");
    let seen = company.last_seen();
    let named: Vec<_> = says["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for name in &named {
        assert!(seen.header(name).is_some(), "{name} is not sent");
    }
    assert!(
        named.contains(&"x-usher-jwt") && named.contains(&"x-forwarded-roles"),
        "{named:?}"
    );
    assert!(!says.to_string().contains("eyJ"), "a token is shown");
}

#[tokio::test]
async fn what_cannot_be_explained_is_said() {
    let company = company().await;
    for (query, expected) in [
        ("app=no&path=/", (404, "not_found")),
        ("app=wiki&path=/&user=usr_no", (404, "not_found")),
        ("app=wiki&path=/&user=no@example.com", (404, "not_found")),
        ("app=wiki&path=/_usher/me", (409, "other_app")),
        ("app=wiki&path=/&method=G%20T", (400, "bad_request")),
        ("app=wiki", (400, "bad_request")),
    ] {
        let answer = Ask::new("GET", &format!("/api/v1/explain?{query}"))
            .send(&company)
            .await;
        assert_eq!((answer.status, code(&answer).as_str()), expected, "{query}");
    }
    let ambiguous = explained(&company, None, "GET", "/x/..%2f_usher/me").await;
    assert_eq!(ambiguous["refusal"]["code"], "bad_request", "{ambiguous}");
}
