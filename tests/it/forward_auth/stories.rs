//! People who come through a proxy that asks usher.

use std::time::Duration;

use super::{FRONTS, Front, Question, USHER_FIELDS, company, denies, passes_as_nobody};
use crate::support::company::{Company, eventually, page};
use crate::support::process::fetch;

#[tokio::test]
async fn a_navigation_is_sent_to_the_sign_in_and_comes_back_to_its_page() {
    let company = company().await;
    let usher = company.usher.public();
    for front in FRONTS {
        let asked = Question::of(front, "/deep/page?a=1&b=%2F").navigation();
        let answer = asked.ask(usher).await;
        assert!(
            denies(&answer, front.needs_sign_in()),
            "{front:?} {answer:?}"
        );
        let location = answer.header("location").unwrap();
        assert_eq!(
            location,
            "https://wiki.test/_usher/sign-in?return_to=%2Fdeep%2Fpage%3Fa%3D1%26b%3D%252F"
        );
        let sign_in = url::Url::parse(&location).unwrap();
        company.idp.sign_in_as(Some("alice"));
        let mut browser = company.browser();
        let is_page = |url: &url::Url| url.path() == "/deep/page";
        let end = browser.follow(&sign_in, is_page, 12).await.unwrap();
        let back = end.stopped_before.unwrap();
        assert_eq!(back.as_str(), "https://wiki.test/deep/page?a=1&b=%2F");
        let answer = asked.by(&browser).ask(usher).await;
        assert_eq!(answer.status, 200, "{front:?} {}", answer.text());
        assert_eq!(
            answer.header("x-forwarded-email").unwrap(),
            "alice@example.com"
        );
    }
    assert!(
        company.app.seen().is_empty(),
        "usher forwards nothing itself"
    );
}

#[tokio::test]
async fn a_script_gets_json_and_no_redirect() {
    let company = company().await;
    for front in FRONTS {
        let answer = Question::of(front, "/api")
            .ask(company.usher.public())
            .await;
        assert!(denies(&answer, 401), "{front:?} {answer:?}");
        assert_eq!(answer.header("location"), None);
        assert_eq!(answer.json()["error"], "sign_in_required");
        let url = &answer.json()["sign_in_url"];
        assert_eq!(url, "https://wiki.test/_usher/sign-in?return_to=%2F");
    }
    // What looks like a navigation and is none.
    for (name, value) in [
        ("X-Requested-With", "XMLHttpRequest"),
        ("Sec-Fetch-Mode", "cors"),
    ] {
        let asked = Question::of(Front::Traefik, "/api")
            .field("Accept", "text/html")
            .field(name, value);
        assert_eq!(asked.ask(company.usher.public()).await.status, 401);
    }
    let posted = Question::of(Front::Traefik, "/form")
        .navigation()
        .method("POST");
    assert_eq!(posted.ask(company.usher.public()).await.status, 401);
}

#[tokio::test]
async fn the_answer_has_every_field_of_the_preset_with_its_value_or_empty() {
    let company = company().await;
    let (browser, _) = company.signed_in("alice", "/").await;
    for front in FRONTS {
        let answer = Question::of(front, "/page")
            .by(&browser)
            .ask(company.usher.public())
            .await;
        assert_eq!(answer.status, 200, "{front:?} {}", answer.text());
        let seen = company.last_seen();
        for name in USHER_FIELDS {
            let told = answer.all(name);
            assert_eq!(told.len(), 1, "{front:?} {name} {answer:?}");
            if name != "x-usher-jwt" {
                assert_eq!(told[0], seen.header(name).unwrap_or_default(), "{name}");
            }
        }
        assert_eq!(
            answer.header("x-forwarded-roles").as_deref(),
            Some("editor")
        );
        assert_eq!(answer.header("x-usher-groups-overage").as_deref(), Some(""));
        assert!(answer.header("x-usher-jwt").unwrap().starts_with("eyJ"));
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(answer.header("set-cookie"), None);
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_role_that_is_not_given_opens_nothing() {
    let company = company().await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let (bob, _) = company.signed_in("bob", "/").await;
    let (nora, _) = company.signed_in("nora", "/").await;
    let usher = company.usher.public();
    for front in FRONTS {
        let admin = Question::of(front, "/admin/users");
        let answer = admin.clone().by(&alice).ask(usher).await;
        assert!(denies(&answer, 403), "{front:?} {answer:?}");
        assert_eq!(answer.json()["error"], "forbidden");
        let page = admin.clone().by(&alice).navigation().ask(usher).await;
        assert!(page.status == 403 && page.is_html());
        assert_eq!(admin.by(&bob).ask(usher).await.status, 200);
        let answer = Question::of(front, "/").by(&nora).ask(usher).await;
        assert!(denies(&answer, 403), "{front:?} {answer:?}");
        assert_eq!(answer.json()["error"], "no_role");
    }
}

fn created(company: &Company, app: &str) -> usize {
    let calls = company.callback.calls();
    let of_app = |call: &&crate::support::callback::Call| {
        call.kind() == "user.created" && call.json["data"]["app"] == app
    };
    calls.iter().filter(of_app).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_visits_at_once_make_one_account() {
    let company = company().await;
    let (browser, _) = company.signed_in("alice", "/").await;
    assert_eq!(created(&company, "tasks"), 0);
    let usher = company.usher.public();
    let asks: Vec<_> = (0..40)
        .map(|n| {
            let asked = Question::of(FRONTS[n % 4], "/tasks/1").by(&browser);
            tokio::spawn(async move { asked.ask(usher).await })
        })
        .collect();
    for one in asks {
        let answer = one.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(
            answer.header("remote-user").as_deref(),
            Some("alice@example.com")
        );
    }
    assert_eq!(created(&company, "tasks"), 1);
}

#[tokio::test]
async fn the_end_of_a_session_is_the_end_for_the_next_request() {
    let company = company().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let kept = browser.clone();
    let usher = company.usher.public();
    for front in FRONTS {
        assert_eq!(
            Question::of(front, "/").by(&kept).ask(usher).await.status,
            200
        );
    }
    let own = [("Sec-Fetch-Site", "same-origin")];
    let out = page("/_usher/sign-out");
    browser.send(&out, "GET", &own, None).await.unwrap();
    for front in FRONTS {
        let answer = Question::of(front, "/").by(&kept).ask(usher).await;
        assert!(denies(&answer, 401), "{front:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_no_visitor_whom_nobody_knows() {
    use sqlx::{ConnectOptions, Connection};
    let mut company = company().await;
    let (browser, _) = company.signed_in("alice", "/").await;
    company.usher.kill_and_restart().await.unwrap();
    let mut store = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(company.usher.path().join("usher.db"))
        .connect()
        .await
        .unwrap();
    sqlx::query("ALTER TABLE sessions RENAME TO gone")
        .execute(&mut store)
        .await
        .unwrap();
    store.close().await.unwrap();
    let usher = company.usher.public();
    for front in FRONTS {
        let answer = Question::of(front, "/").by(&browser).ask(usher).await;
        assert!(denies(&answer, 503), "{front:?} {answer:?}");
        let narrowed = Question::of(front, "/public/x").by(&browser);
        assert!(passes_as_nobody(&narrowed.ask(usher).await, &USHER_FIELDS));
        if front != Front::Envoy {
            let narrowed = narrowed.query("allowed_roles=editor");
            assert!(denies(&narrowed.ask(usher).await, 503));
        }
    }
}

#[tokio::test]
async fn what_was_asked_about_is_logged_and_counted() {
    let company = company().await;
    let (browser, _) = company.signed_in("alice", "/").await;
    let usher = company.usher.public();
    for front in FRONTS {
        let asked = Question::of(front, "/page?token=s3cret").method("DELETE");
        asked.by(&browser).ask(usher).await;
    }
    let lines = || -> Vec<serde_json::Value> {
        let log = company.usher.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let described = |line: &serde_json::Value| line["forward_auth"].is_string();
        lines.filter(described).collect()
    };
    eventually(Duration::from_secs(10), "the lines are written", || {
        lines().len() == 4
    })
    .await;
    let lines = lines();
    let mut endpoints: Vec<_> = lines
        .iter()
        .filter_map(|line| line["forward_auth"].as_str())
        .collect();
    endpoints.sort_unstable();
    assert_eq!(endpoints, ["auth", "auth", "ext-authz", "forward-auth"]);
    for line in &lines {
        assert_eq!(line["method"], "DELETE");
        assert_eq!(line["host"], "wiki.test");
        assert_eq!(line["path"], "/page");
        assert_eq!(line["app"], "wiki");
        assert_eq!(line["outcome"], "admitted");
        assert_eq!(line["status"], 200);
        assert!(line["user"].as_str().unwrap().starts_with("usr_"));
    }
    assert!(!company.usher.log().contains("s3cret"));
    let metrics = company.usher.metrics().unwrap();
    let metrics = fetch(metrics, "/metrics", Duration::from_secs(5))
        .await
        .unwrap();
    let wanted = "usher_forward_auth_requests_total{app=\"wiki\",outcome=\"admitted\"} 4";
    assert!(metrics.text().contains(wanted), "{}", metrics.text());
}
