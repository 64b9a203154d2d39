//! The main story from the outside: a person signs in, the app gets the account, then the request.

use std::time::Duration;

use usher::demo::idp::{Endpoint, EndpointFault, Fault as IdpFault};

use crate::support::browser::Browser;
use crate::support::callback::{Fault, Rule};
use crate::support::company::{Changes, Company, eventually, is_page, page};

fn answer(status: u16, body: &str) -> Rule {
    Rule::always(Fault::Answer {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    })
}

#[tokio::test]
async fn the_app_has_the_account_before_the_first_request() {
    let company = Company::open().await;
    let (_, end) = company.signed_in("alice", "/start?page=1").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    let seen = company.last_seen();
    assert_eq!(seen.target, "/start?page=1");
    assert_eq!(
        seen.header("x-forwarded-email").as_deref(),
        Some("alice@example.com")
    );
    assert_eq!(
        seen.header("x-forwarded-name").as_deref(),
        Some("Alice Adams")
    );
    assert_eq!(seen.header("x-forwarded-roles").as_deref(), Some("editor"));
    let user = seen.header("x-forwarded-user").unwrap();
    assert!(user.starts_with("usr_"), "{user}");
    assert_eq!(
        seen.header("x-forwarded-account"),
        company.callback.account(&user)
    );
    assert_eq!(company.callback.calls().len(), 1);
    assert_eq!(company.callback.calls()[0].kind(), "user.created");
}

#[tokio::test]
async fn a_changed_group_changes_the_role_at_the_next_sign_in() {
    let company = Company::open().await;
    let (_, _) = company.signed_in("alice", "/").await;
    company
        .idp
        .change_user("alice", |alice| alice.groups = vec!["admins".to_owned()]);
    let (mut browser, _) = company.signed_in("alice", "/").await;
    assert_eq!(
        company.last_seen().header("x-forwarded-roles").as_deref(),
        Some("admin")
    );
    assert_eq!(
        browser.open(&page("/admin/users")).await.unwrap().status,
        200
    );
    let calls = company.callback.calls();
    let kinds: Vec<String> = calls.iter().map(|call| call.kind()).collect();
    assert_eq!(kinds, ["user.created", "user.updated"]);
}

#[tokio::test]
async fn a_role_that_is_not_given_opens_nothing() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let refused = browser.open(&page("/admin/users")).await.unwrap();
    assert!(
        is_page(&refused, 403, "do not have access"),
        "{} {}",
        refused.status,
        refused.text()
    );
    assert_eq!(company.app.seen().len(), 1);
}

#[tokio::test]
async fn without_a_mapped_group_and_a_default_role_nobody_gets_in() {
    let company = Company::open().await;
    let (_, end) = company.signed_in("nora", "/").await;
    assert!(
        is_page(&end.answer, 403, "do not have a role"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    assert!(company.callback.calls().is_empty());
    assert!(company.app.seen().is_empty());
}

#[tokio::test]
async fn an_unverified_address_is_refused_unless_the_idp_is_allowed_to() {
    let company = Company::open().await;
    let (browser, end) = company.signed_in("una", "/").await;
    assert!(
        is_page(&end.answer, 403, "not verified"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    assert_eq!(browser.cookie("__Host-usher"), None);
    let changes = Changes {
        oidc: vec!["allow_unverified_email: true".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let (_, end) = company.signed_in("una", "/").await;
    assert_eq!(end.answer.status, 200);
}

#[tokio::test]
async fn an_idp_asserts_no_domain_but_its_own() {
    let changes = Changes {
        idp: vec!["email_domains: [other.example]".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let (browser, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 403, "not accepted here"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    assert_eq!(browser.cookie("__Host-usher"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_first_sign_ins_of_one_person_make_one_account_and_fifty_sessions() {
    let company = Company::open().await;
    company.idp.sign_in_as(Some("alice"));
    let usher = company.usher.public();
    let sign_ins: Vec<_> = (0..50)
        .map(|_| {
            tokio::spawn(async move {
                let mut browser = Browser::new(usher);
                let end = browser.follow(&page("/"), |_| false, 12).await.unwrap();
                (browser, end)
            })
        })
        .collect();
    let mut accounts = Vec::new();
    for sign_in in sign_ins {
        let (mut browser, end) = sign_in.await.unwrap();
        assert_eq!(end.answer.status, 200, "{}", company.usher.log());
        assert_eq!(browser.open(&page("/again")).await.unwrap().status, 200);
    }
    for seen in company.app.seen() {
        accounts.push(seen.header("x-forwarded-account").unwrap());
    }
    accounts.dedup();
    assert_eq!(accounts.len(), 1);
    assert_eq!(company.callback.created("alice"), 1);
    let created = company
        .callback
        .calls()
        .iter()
        .filter(|call| call.kind() == "user.created")
        .count();
    assert_eq!(created, 1);
    assert_eq!(company.app.seen().len(), 100);
}

#[tokio::test]
async fn two_tabs_that_begin_at_once_both_come_back_to_their_page() {
    let company = Company::open().await;
    let mut browser = company.browser();
    let first = company.up_to_callback(&mut browser, "alice", "/one").await;
    let second = company.up_to_callback(&mut browser, "alice", "/two").await;
    let end = browser.follow(&second, |_| false, 5).await.unwrap();
    assert_eq!((end.answer.status, end.url.path()), (200, "/two"));
    let end = browser.follow(&first, |_| false, 5).await.unwrap();
    assert_eq!((end.answer.status, end.url.path()), (200, "/one"));
}

#[tokio::test]
async fn a_callback_is_used_once_and_goes_on_where_a_session_is() {
    let company = Company::open().await;
    let mut browser = company.browser();
    let callback = company.up_to_callback(&mut browser, "alice", "/one").await;
    let before = browser.clone();
    assert_eq!(browser.open(&callback).await.unwrap().status, 302);
    let calls = company.idp.counts().token_calls;
    let mut thief = before;
    let refused = thief.open(&callback).await.unwrap();
    assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
    assert_eq!(thief.cookie("__Host-usher"), None);
    let again = browser.open(&callback).await.unwrap();
    assert_eq!(again.status, 302);
    assert!(again.all("set-cookie").is_empty());
    assert_eq!(company.idp.counts().token_calls, calls);
}

#[tokio::test]
async fn a_sign_in_of_another_browser_is_refused() {
    let company = Company::open().await;
    let callback = company
        .up_to_callback(&mut company.browser(), "alice", "/")
        .await;
    let calls = company.idp.counts().token_calls;
    let refused = company.browser().open(&callback).await.unwrap();
    assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
    assert_eq!(company.idp.counts().token_calls, calls);
}

#[tokio::test]
async fn the_app_may_refuse_with_a_sentence_and_is_asked_again_at_the_next_sign_in() {
    let company = Company::open().await;
    company.callback.behave(Some(answer(
        403,
        r#"{"reason":"no_seat","user_message":"Ask <Ann> for a seat."}"#,
    )));
    let (mut browser, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 403, "Ask &#60;Ann&#62; for a seat.")
            || is_page(&end.answer, 403, "Ask &lt;Ann&gt; for a seat."),
        "{}",
        end.answer.text()
    );
    let calls = company.callback.calls().len();
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 403);
    assert_eq!(
        company.callback.calls().len(),
        calls,
        "a visit does not ask again"
    );
    company.callback.behave(None);
    let (_, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
}

#[tokio::test]
async fn an_account_that_exists_already_is_a_success() {
    let company = Company::open().await;
    company
        .callback
        .behave(Some(answer(409, r#"{"account":"old-7"}"#)));
    let (_, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(
        company.last_seen().header("x-forwarded-account").as_deref(),
        Some("old-7")
    );
}

#[tokio::test]
async fn a_callback_that_is_down_or_nonsense_shows_its_page_and_loses_nothing() {
    let company = Company::open().await;
    company.callback.behave(Some(Rule::always(Fault::Close)));
    let (mut browser, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 503, "could not be set up yet"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    company.callback.behave(Some(answer(200, "<html>")));
    eventually_open(&mut browser, 502).await;
    company.callback.behave(None);
    eventually_open(&mut browser, 200).await;
    assert_eq!(company.callback.created("alice"), 1);
}

/// The circuit may hold calls back for a while after failures.
async fn eventually_open(browser: &mut Browser, status: u16) {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let now = browser.open(&page("/")).await.unwrap();
        if now.status == status {
            return;
        }
        assert!(
            tokio::time::Instant::now() < until,
            "still {}: {}",
            now.status,
            now.text()
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn a_script_gets_json_and_begins_nothing() {
    let company = Company::open().await;
    let mut browser = company.browser();
    let answer = browser
        .send(
            &page("/api"),
            "GET",
            &[("X-Requested-With", "XMLHttpRequest")],
            None,
        )
        .await
        .unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"], "sign_in_required");
    assert!(
        answer.json()["sign_in_url"]
            .as_str()
            .unwrap()
            .starts_with("https://wiki.test/_usher/sign-in")
    );
    assert!(answer.all("set-cookie").is_empty());
}

#[tokio::test]
async fn me_tells_who_is_signed_in() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("bob", "/").await;
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    assert_eq!(me.status, 200);
    let me = me.json();
    assert_eq!(me["user"]["email"], "bob@example.com");
    assert_eq!(me["roles"], serde_json::json!(["editor", "admin"]));
    assert_eq!((&me["app"], &me["idp"]), (&"wiki".into(), &"acme".into()));
    assert_eq!(
        company
            .browser()
            .open(&page("/_usher/me"))
            .await
            .unwrap()
            .status,
        401
    );
}

#[tokio::test]
async fn sessions_survive_kill_9_and_an_idp_that_is_gone() {
    let mut company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    company.idp.stop();
    company.usher.kill_and_restart().await.unwrap();
    browser.move_to(company.usher.public());
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
    let began = std::time::Instant::now();
    let end = company
        .browser()
        .follow(&page("/"), |_| false, 5)
        .await
        .unwrap();
    assert!(
        is_page(&end.answer, 503, "cannot be reached"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    company.idp.restart().await.unwrap();
    eventually_signed_in(&company).await;
}

async fn eventually_signed_in(company: &Company) {
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while company.signed_in("alice", "/").await.1.answer.status != 200 {
        assert!(
            tokio::time::Instant::now() < until,
            "no sign-in after the IdP came back"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_here_and_at_the_idp() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let captured = browser.clone();
    let own = [("Sec-Fetch-Site", "same-origin")];
    let answer = browser
        .send(&page("/_usher/sign-out?return_to=/bye"), "GET", &own, None)
        .await
        .unwrap();
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert!(
        answer
            .header("location")
            .unwrap()
            .starts_with(company.idp.issuer())
    );
    assert_eq!(browser.cookie("__Host-usher"), None);
    let mut captured = captured;
    assert_eq!(captured.open(&page("/")).await.unwrap().status, 302);
    let idp = url::Url::parse(&answer.header("location").unwrap()).unwrap();
    let end = browser.follow(&idp, |_| false, 5).await.unwrap();
    assert!(
        end.answer.text().contains("signed out"),
        "{}",
        end.answer.text()
    );
    assert!(end.answer.text().contains("/bye"));
}

#[tokio::test]
async fn another_site_cannot_sign_somebody_out() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let cross = [("Sec-Fetch-Site", "cross-site")];
    let asked = browser
        .send(&page("/_usher/sign-out"), "GET", &cross, None)
        .await
        .unwrap();
    assert_eq!(asked.status, 200);
    assert!(asked.text().contains("<form"));
    let posted = browser
        .send(
            &page("/_usher/sign-out"),
            "POST",
            &cross,
            Some("return_to=/"),
        )
        .await
        .unwrap();
    assert_eq!(posted.status, 200);
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn roles_follow_the_idp_within_a_session_and_a_refusal_ends_it() {
    let changes = Changes {
        oidc: vec!["refresh_every: 1s".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    company
        .idp
        .change_user("alice", |alice| alice.groups = vec!["admins".to_owned()]);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(browser.open(&page("/admin")).await.unwrap().status, 200);
    company
        .idp
        .change_user("alice", |alice| alice.enabled = false);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 302);
    assert!(company.idp.counts().refresh_calls >= 2);
}

#[tokio::test]
async fn a_renewal_that_cannot_be_made_lets_the_session_go_on() {
    let changes = Changes {
        oidc: vec!["refresh_every: 1s".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    company.idp.always(IdpFault::Endpoint(
        Endpoint::Token,
        EndpointFault::Status(500, String::new()),
    ));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn going_round_in_circles_ends_with_a_page_that_says_why() {
    let company = Company::open().await;
    let mut browser = company.browser();
    for _ in 0..4 {
        assert_eq!(
            company
                .sign_in(&mut browser, "alice", "/")
                .await
                .answer
                .status,
            200
        );
        browser
            .cookies
            .retain(|cookie| cookie.name != "__Host-usher");
    }
    let end = company.sign_in(&mut browser, "alice", "/").await;
    assert!(
        is_page(&end.answer, 400, "round in circles"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
}

#[tokio::test]
async fn a_changed_file_is_reloaded_and_a_bad_one_refused() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    assert_eq!(browser.open(&page("/admin")).await.unwrap().status, 403);
    company.usher.reload_with("listen: [");
    eventually(Duration::from_secs(10), "the refusal is logged", || {
        company.usher.log().contains("the new config is refused")
    })
    .await;
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
    company.usher.reload_with(
        &company
            .config()
            .replace("roles: [admin]", "roles: [editor]"),
    );
    eventually(Duration::from_secs(10), "the reload is logged", || {
        company.usher.log().contains("config reloaded")
    })
    .await;
    assert_eq!(browser.open(&page("/admin")).await.unwrap().status, 200);
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    let company = Company::open().await;
    let mut browser = company.browser();
    let callback = company.up_to_callback(&mut browser, "alice", "/").await;
    browser.follow(&callback, |_| false, 5).await.unwrap();
    let session = browser.cookie("__Host-usher").unwrap();
    let code = callback
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = company.usher.log();
    assert!(log.contains("signed in"), "{log}");
    for secret in [
        session.as_str(),
        &code,
        "eyJ",
        "test-only-client-secret",
        "whsec_",
    ] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
}

#[tokio::test]
async fn a_slow_callback_shows_its_page_in_time_and_the_account_comes_later() {
    let company = Company::open().await;
    company
        .callback
        .behave(Some(Rule::always(Fault::Late(Duration::from_secs(30)))));
    let began = std::time::Instant::now();
    let (mut browser, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 503, "could not be set up yet"),
        "{}",
        end.answer.text()
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    company.callback.behave(None);
    eventually_open(&mut browser, 200).await;
    assert_eq!(company.callback.created("alice"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_survives_kill_9_under_load() {
    let mut company = Company::open().await;
    let mut browsers = Vec::new();
    for turn in 0..20 {
        let name = if turn % 2 == 0 { "alice" } else { "bob" };
        browsers.push(company.signed_in(name, "/").await.0);
    }
    let load: Vec<_> = browsers
        .iter()
        .cloned()
        .map(|mut browser| {
            tokio::spawn(async move {
                let mut served = 0_u32;
                // Until usher is gone.
                while let Some(answer) = browser.open(&page("/load")).await {
                    served += u32::from(answer.status == 200);
                }
                served
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    company.usher.kill_and_restart().await.unwrap();
    for one in load {
        assert!(one.await.unwrap() > 0, "there was no load");
    }
    for browser in &mut browsers {
        browser.move_to(company.usher.public());
        assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
    }
}
