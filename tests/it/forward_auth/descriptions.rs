//! What a proxy must say, and who may say it.

use super::{FRONTS, Front, Question, USHER_FIELDS, company, denies, passes_as_nobody, send};
use crate::support::wire::{Answer, TRUSTED, UNTRUSTED};

#[tokio::test]
async fn only_a_trusted_proxy_may_ask() {
    let company = company().await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let usher = company.usher.public();
    for front in FRONTS {
        for target in ["/public/x", "/", "/_usher/sign-in"] {
            let asked = Question::of(front, target).by(&alice).untrusted();
            let answer = asked.ask(usher).await;
            assert!(denies(&answer, 403), "{front:?} {target} {answer:?}");
            assert_eq!(answer.json()["error"], "untrusted_proxy");
            let said = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(
                said.contains("127.0.0.1") && said.contains("trusted_proxies"),
                "{said}"
            );
            let forged = asked
                .field("X-Forwarded-For", "127.0.0.2")
                .field("X-Real-IP", "127.0.0.2");
            assert!(denies(&forged.ask(usher).await, 403));
        }
    }
}

/// A question of one's own lines.
async fn ask(usher: std::net::SocketAddr, first: &str, lines: &[&str]) -> Answer {
    let mut text = format!("{first} HTTP/1.1\r\n");
    for line in lines {
        text.push_str(&format!("{line}\r\n"));
    }
    text.push_str("\r\n");
    let bytes: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    send(usher, TRUSTED, &bytes, false).await
}

const AUTH: &str = "GET /_usher/auth";
const FORWARD_AUTH: &str = "GET /_usher/forward-auth";
const URI: &str = "X-Original-URI: /public/x";
const URL: &str = "X-Original-URL: https://wiki.test/public/x";
const METHOD: &str = "X-Original-Method: GET";
const F_URI: &str = "X-Forwarded-Uri: /public/x";
const F_METHOD: &str = "X-Forwarded-Method: GET";
const F_HOST: &str = "X-Forwarded-Host: wiki.test";
const HOST: &str = "Host: wiki.test";
const OWN: &str = "Host: usher.internal";

#[tokio::test]
async fn whole_descriptions_are_understood() {
    let company = company().await;
    let usher = company.usher.public();
    for (first, lines) in [
        (AUTH, &[HOST, URI, METHOD][..]),
        (AUTH, &[HOST, URI, METHOD, F_HOST]),
        (AUTH, &[OWN, URI, METHOD, F_HOST]),
        (AUTH, &[OWN, URL, METHOD]),
        (AUTH, &[OWN, URL, METHOD, F_HOST]),
        (AUTH, &[OWN, URL, URI, METHOD]),
        // What the sign-in of an ingress is called at may be another app's host.
        (AUTH, &["Host: blog.test", URL, METHOD]),
        (
            AUTH,
            &[
                OWN,
                "X-Original-URL: HTTPS://WIKI.test:443/public/x?a=b//c",
                METHOD,
            ],
        ),
        (FORWARD_AUTH, &[OWN, F_URI, F_METHOD, F_HOST]),
        (
            FORWARD_AUTH,
            &[HOST, F_URI, F_METHOD, "X-Forwarded-Host: WIKI.Test"],
        ),
        (
            FORWARD_AUTH,
            &[OWN, F_URI, F_METHOD, F_HOST, "X-Forwarded-Proto: wss"],
        ),
        (
            "POST /_usher/forward-auth",
            &[OWN, F_URI, F_METHOD, F_HOST, "Content-Length: 0"],
        ),
        ("GET /_usher/ext-authz/public/x", &[HOST]),
        ("GET http://wiki.test/_usher/ext-authz/public/x", &[HOST]),
    ] {
        let answer = ask(usher, first, lines).await;
        assert!(
            passes_as_nobody(&answer, &USHER_FIELDS),
            "{first} {lines:?} {}",
            answer.text()
        );
    }
}

/// Refused, with a sentence that has these words.
async fn refuses(usher: std::net::SocketAddr, first: &str, lines: &[&str], words: &str) {
    let answer = ask(usher, first, lines).await;
    let status = if first.contains("/_usher/auth") {
        403
    } else {
        400
    };
    assert!(denies(&answer, status), "{first} {lines:?} {answer:?}");
    let said = answer.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(said.contains(words), "{first} {lines:?} {said}");
}

#[tokio::test]
async fn nothing_stands_in_for_a_field_that_is_missing() {
    let company = company().await;
    let usher = company.usher.public();
    for (first, lines, words) in [
        (AUTH, &[HOST, METHOD][..], "X-Original-URI"),
        (AUTH, &[HOST, URI], "X-Original-Method is missing"),
        (AUTH, &[HOST, URL], "X-Original-Method is missing"),
        // The other family, and what else a client may send.
        (AUTH, &[HOST, F_URI, F_METHOD, F_HOST], "X-Original-URI"),
        (AUTH, &[HOST, URI, F_METHOD], "X-Original-Method is missing"),
        (
            AUTH,
            &[HOST, METHOD, "X-Rewrite-URL: /public/x"],
            "X-Original-URI",
        ),
        (
            AUTH,
            &[HOST, METHOD, "X_Original_URI: /public/x"],
            "X-Original-URI",
        ),
        (
            FORWARD_AUTH,
            &[HOST, URI, URL, METHOD, F_HOST],
            "X-Forwarded-URI is missing",
        ),
        (
            FORWARD_AUTH,
            &[HOST, F_METHOD, F_HOST],
            "X-Forwarded-URI is missing",
        ),
        (
            FORWARD_AUTH,
            &[HOST, F_URI, F_HOST],
            "X-Forwarded-Method is missing",
        ),
        (
            FORWARD_AUTH,
            &[HOST, F_URI, F_METHOD],
            "X-Forwarded-Host is missing",
        ),
        ("GET /_usher/ext-authz", &[HOST], "ext-authz"),
        ("GET /_usher/ext-authz?/public/x", &[HOST], "ext-authz"),
    ] {
        refuses(usher, first, lines, words).await;
    }
}

#[tokio::test]
async fn of_two_fields_neither_counts() {
    let company = company().await;
    let usher = company.usher.public();
    let secret = "X-Original-URI: /page";
    for (first, lines, words) in [
        (
            AUTH,
            &[HOST, secret, URI, METHOD][..],
            "X-Original-URI is there twice",
        ),
        (
            AUTH,
            &[HOST, URI, URI, METHOD],
            "X-Original-URI is there twice",
        ),
        (
            AUTH,
            &[HOST, URL, URL, METHOD],
            "X-Original-URL is there twice",
        ),
        (
            AUTH,
            &[HOST, URI, METHOD, METHOD],
            "X-Original-Method is there twice",
        ),
        (AUTH, &[HOST, URI, METHOD, F_HOST, F_HOST], ""),
        (AUTH, &[HOST, URL, secret, METHOD], "disagree"),
        (
            AUTH,
            &[OWN, URL, METHOD, "X-Forwarded-Host: blog.test"],
            "disagree",
        ),
        (
            AUTH,
            &[HOST, URI, METHOD, "X-Forwarded-Host: blog.test"],
            "different apps",
        ),
        (
            FORWARD_AUTH,
            &[OWN, F_URI, F_URI, F_METHOD, F_HOST],
            "X-Forwarded-URI is there twice",
        ),
        (
            FORWARD_AUTH,
            &[OWN, F_URI, F_METHOD, "X-Forwarded-Method: PUT", F_HOST],
            "X-Forwarded-Method is there twice",
        ),
        (
            FORWARD_AUTH,
            &[OWN, F_URI, F_METHOD, F_HOST, "X-Forwarded-Host: blog.test"],
            "X-Forwarded-Host is there twice",
        ),
        (
            FORWARD_AUTH,
            &[
                OWN,
                F_URI,
                F_METHOD,
                F_HOST,
                "X-Forwarded-Proto: http",
                "X-Forwarded-Proto: https",
            ],
            "twice",
        ),
    ] {
        refuses(usher, first, lines, words).await;
    }
    // Two Host fields, as anywhere.
    let answer = ask(usher, "GET /_usher/ext-authz/public/x", &[HOST, HOST]).await;
    assert!(denies(&answer, 400));
}

#[tokio::test]
async fn what_is_malformed_is_refused() {
    let company = company().await;
    let usher = company.usher.public();
    for target in [
        "",
        "public/x",
        "*",
        "?/public/x",
        "/public/x#",
        "/page#/public/x",
        "/page /public/x",
        "/public/\u{e9}",
        "/public/x?\u{ff}",
        "/public/%",
        "/public/%zz",
        "/public/%00",
        "/public/%ff",
        "https://wiki.test/public/x",
        "//wiki.test:80:80/%",
    ] {
        refuses(
            usher,
            AUTH,
            &[HOST, METHOD, &format!("X-Original-URI: {target}")],
            "",
        )
        .await;
        let forwarded = format!("X-Forwarded-Uri: {target}");
        refuses(
            usher,
            FORWARD_AUTH,
            &[OWN, F_METHOD, F_HOST, &forwarded],
            "",
        )
        .await;
    }
    for url in [
        "",
        "/public/x",
        "//wiki.test/public/x",
        "wiki.test/public/x",
        "https:/wiki.test/public/x",
        "https:///public/x",
        "https://wiki.test",
        "https://wiki.test?/public/x",
        "https://wiki.test\\public/x",
        "https://blog.test@wiki.test/public/x",
        "https://wiki.test#@blog.test/public/x",
        "https://wiki.test:x/public/x",
        "https://[::1/public/x",
        "https://wiki.te\u{e9}st/public/x",
        "ftp://wiki.test/public/x",
        "javascript://wiki.test/public/x",
        "https://wiki.test/public/x#",
        "https://wiki.test, wiki.test/public/x",
    ] {
        refuses(
            usher,
            AUTH,
            &[OWN, METHOD, &format!("X-Original-URL: {url}")],
            "",
        )
        .await;
    }
    for method in ["", "G T", "GET,", "G\u{e9}T"] {
        refuses(
            usher,
            AUTH,
            &[HOST, URI, &format!("X-Original-Method: {method}")],
            "",
        )
        .await;
        let forwarded = format!("X-Forwarded-Method: {method}");
        refuses(usher, FORWARD_AUTH, &[OWN, F_URI, F_HOST, &forwarded], "").await;
    }
    for line in [
        "X-Forwarded-Host: wiki.test, blog.test",
        "X-Forwarded-Host: wiki.test/x",
        "X-Forwarded-Host: ",
        "X-Forwarded-Host: wiki.t\u{e9}st",
    ] {
        refuses(usher, FORWARD_AUTH, &[OWN, F_URI, F_METHOD, line], "").await;
        refuses(usher, AUTH, &[OWN, URI, METHOD, line], "").await;
    }
    refuses(
        usher,
        FORWARD_AUTH,
        &[
            OWN,
            F_URI,
            F_METHOD,
            F_HOST,
            "X-Forwarded-Proto: javascript",
        ],
        "scheme",
    )
    .await;
}

#[tokio::test]
async fn a_field_that_would_reach_the_app_beside_ours_is_refused() {
    let company = company().await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let usher = company.usher.public();
    for front in FRONTS {
        for (name, value) in [
            ("X_Forwarded_User", "root"),
            ("x-forwarded_user", "root"),
            ("X.Forwarded.User", "root"),
            ("HTTP_X_FORWARDED_USER", "root"),
            ("Http-X-Forwarded-Email", "root@example.com"),
            ("X_Usher_Jwt", "eyJ"),
            ("X_Forwarded_For", "127.0.0.1"),
            ("X_Original_URI", "/public/x"),
            // Identity that this app is not told by, so that the proxy leaves it alone.
            ("Remote-User", "root"),
            ("X-WEBAUTH-USER", "root"),
            ("X-Rewrite-URL", "/admin"),
        ] {
            for target in ["/public/x", "/"] {
                let asked = Question::of(front, target).by(&alice).field(name, value);
                let answer = asked.ask(usher).await;
                assert!(
                    denies(&answer, front.malformed()),
                    "{front:?} {name} {answer:?}"
                );
                let said = answer.json()["message"].as_str().unwrap().to_owned();
                assert!(said.contains(&name.to_ascii_lowercase()), "{said}");
            }
        }
        // The exact names are overwritten by the proxy.
        let mut asked = Question::of(front, "/").by(&alice);
        for name in USHER_FIELDS {
            asked = asked.field(name, "root");
        }
        let answer = asked.ask(usher).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            answer.fields.iter().all(|(_, value)| value != b"root"),
            "{answer:?}"
        );
        // Where rules name methods, the app must not act on another.
        let overridden =
            |target| Question::of(front, target).field("X-HTTP-Method-Override", "DELETE");
        let answer = overridden("/tasks/open/1").ask(usher).await;
        assert!(denies(&answer, front.malformed()), "{front:?} {answer:?}");
        assert_eq!(overridden("/public/x").ask(usher).await.status, 200);
    }
    for front in [Front::Traefik, Front::Envoy] {
        for name in ["X-Original-URL", "X-Original-URI"] {
            let asked = Question::of(front, "/public/x").field(name, "/admin");
            assert!(denies(&asked.ask(usher).await, 400), "{front:?} {name}");
        }
    }
}

#[tokio::test]
async fn only_the_path_itself_is_asked_about_not_what_it_resembles() {
    let company = company().await;
    let usher = company.usher.public();
    for target in [
        "/public/../page",
        "/public/..%2fpage",
        "/public/%2e%2e/page",
        "/public/%252e%252e/page",
        "/public/..;/page",
        "/public\\..\\page",
        "/public/..%5cpage",
        "/page%23/public/x",
        "/page?/public/x",
        "/page%3f/public/x",
        "//page",
        "/PUBLIC/../page",
        "/public/%EF%BC%8E%EF%BC%8E/page",
    ] {
        for front in FRONTS {
            let answer = Question::of(front, target).ask(usher).await;
            assert!(
                denies(&answer, 401) || denies(&answer, front.malformed()),
                "{front:?} {target} {answer:?}"
            );
        }
    }
    // Nothing but the very path is an endpoint.
    for path in [
        "/_usher/auth/",
        "/_usher//auth",
        "/_usher/Forward-Auth",
        "/_usher/ext-authzx",
    ] {
        let lines = [HOST, URI, METHOD, F_URI, F_METHOD, F_HOST];
        let answer = ask(usher, &format!("GET {path}"), &lines).await;
        assert!(
            denies(&answer, 404) || denies(&answer, 400),
            "{path} {answer:?}"
        );
    }
    let unknown = send(
        usher,
        UNTRUSTED,
        b"GET /_usher/auth HTTP/1.1\r\nHost: nowhere\r\n\r\n",
        false,
    );
    assert!(denies(&unknown.await, 403));
}
