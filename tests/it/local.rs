//! Invitations and local accounts, from the outside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::support::browser::Browser;
use crate::support::company::{Changes, Company, eventually, is_page, page};
use crate::support::local::{
    PASSWORD, code, enrol, field, form, invite, link, offered, set_up, sign_in,
};
use crate::support::process::{binary, fetch};

fn local(require_sso: bool) -> Changes {
    Changes {
        top: vec![format!(
            "local_accounts: {{ enabled: true, require_sso: {require_sso} }}"
        )],
        ..Changes::default()
    }
}

/// A company that lets in only who was invited.
async fn by_invitation(changes: Changes) -> Company {
    let company = Company::open_with(changes).await;
    let config = company.config().replace("mode: jit", "mode: invited");
    reload(&company, &config).await;
    company
}

async fn reload(company: &Company, config: &str) {
    let count = |log: &str| log.matches("config reloaded").count();
    let before = count(&company.usher.log());
    company.usher.reload_with(config);
    eventually(Duration::from_secs(10), "the config is reloaded", || {
        count(&company.usher.log()) > before
    })
    .await;
}

/// Runs a query on usher's store; the first column of each row as text.
async fn store(company: &Company, query: &'static str) -> Vec<String> {
    let path = company.usher.path().join("usher.db");
    let options = SqliteConnectOptions::new().filename(path);
    let mut store = options.connect().await.unwrap();
    let rows = sqlx::query(query).fetch_all(&mut store).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

async fn status(browser: &mut Browser, path: &str) -> u16 {
    browser.open(&page(path)).await.unwrap().status
}

/// Signs in through the IdP: where passwords are too, the app's own page asks first.
async fn through_idp(company: &Company, username: &str) -> Browser {
    company.idp.sign_in_as(Some(username));
    let mut browser = company.browser();
    let start = page("/_usher/sign-in/acme?return_to=/home");
    let end = browser.follow(&start, |_| false, 12).await.unwrap();
    assert_eq!(
        (end.answer.status, end.url.path()),
        (200, "/home"),
        "{}",
        end.answer.text()
    );
    browser
}

fn user(company: &Company) -> String {
    company.last_seen().header("x-forwarded-user").unwrap()
}

#[tokio::test]
async fn an_invited_person_signs_in_and_has_the_role_of_the_invitation() {
    let company = by_invitation(Changes::default()).await;
    let (_, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 403, "only lets in people who were invited"),
        "{}",
        end.answer.text()
    );
    let words = [
        "--email",
        "Nora@example.com",
        "--name",
        "Nora",
        "--app",
        "wiki:viewer",
    ];
    let link = link(company.usher.path(), &words).await;
    let mut browser = company.browser();
    let shown = browser.open(&link).await.unwrap();
    assert_eq!(shown.status, 200);
    let text = shown.text();
    for words in [
        "Hello Nora",
        "Nora@example.com",
        "Continue with Acme",
        "wiki.test",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("password"), "{text}");
    let end = company.sign_in(&mut browser, "nora", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(
        company.last_seen().header("x-forwarded-roles").as_deref(),
        Some("viewer")
    );
    let used = company.browser().open(&link).await.unwrap();
    assert!(is_page(&used, 410, "already accepted"), "{}", used.text());
    assert!(
        !company
            .usher
            .log()
            .contains(link.path_segments().unwrap().next_back().unwrap())
    );
}

#[tokio::test]
async fn somebody_with_a_password_is_the_same_user_through_single_sign_on() {
    let company = by_invitation(local(false)).await;
    let words = [
        "--email",
        "alice@example.com",
        "--password",
        "--app",
        "wiki:admin",
    ];
    let link = link(company.usher.path(), &words).await;
    let mut browser = company.browser();
    let (answer, totp) = set_up(&mut browser, &link).await;
    assert_eq!(
        (answer.status, answer.header("location").as_deref()),
        (303, Some("/")),
        "{}",
        answer.text()
    );
    assert_eq!(status(&mut browser, "/").await, 200);
    let by_link = user(&company);
    let seen = company.last_seen();
    assert_eq!(seen.header("x-forwarded-roles").as_deref(), Some("admin"));
    assert_eq!(
        seen.header("x-forwarded-email").as_deref(),
        Some("alice@example.com")
    );
    let mut other = company.browser();
    let spelled = " ALICE@example.com";
    let answer = sign_in(&mut other, &page("/"), spelled, PASSWORD, &code(&totp, 1)).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(status(&mut other, "/").await, 200);
    assert_eq!(user(&company), by_link);
    // Through the IdP no code is asked for, and the group's role wins.
    through_idp(&company, "alice").await;
    assert_eq!(user(&company), by_link);
    assert_eq!(
        company.last_seen().header("x-forwarded-roles").as_deref(),
        Some("editor")
    );
    assert_eq!(store(&company, "SELECT id FROM users").await.len(), 1);
    let actions = store(&company, "SELECT action FROM audit ORDER BY number").await;
    for action in ["invitation", "credential", "local_sign_in"] {
        assert!(
            actions.iter().any(|one| one == action),
            "{action}: {actions:?}"
        );
    }
}

#[tokio::test]
async fn a_person_of_single_sign_on_has_no_password() {
    let company = Company::open_with(local(false)).await;
    through_idp(&company, "alice").await;
    let mut browser = company.browser();
    let choice = browser.open(&page("/_usher/sign-in")).await.unwrap().text();
    for words in ["Continue with Acme", "Sign in with a password"] {
        assert!(choice.contains(words), "{words}: {choice}");
    }
    let answer = sign_in(&mut browser, &page("/"), "alice@example.com", "", "").await;
    assert!(
        is_page(&answer, 422, "That did not work"),
        "{}",
        answer.text()
    );
    let said = invite(
        company.usher.path(),
        &["--email", "alice@example.com", "--app", "wiki"],
    )
    .await;
    assert!(
        !said.ok && said.errors.contains("has that e-mail address already"),
        "{said:?}"
    );
    let plain = link(
        company.usher.path(),
        &["--email", "zoe@example.com", "--app", "wiki:viewer"],
    )
    .await;
    let shown = browser.open(&plain).await.unwrap().text();
    assert!(!shown.contains("name=\"password\""), "{shown}");
    let token = {
        let form = browser
            .open(&page("/_usher/sign-in/local"))
            .await
            .unwrap()
            .text();
        field(&form, "form")
    };
    let body = form(&[
        ("password", PASSWORD),
        ("again", PASSWORD),
        ("totp", "123456"),
        ("form", &token),
    ]);
    assert_eq!(browser.submit(&plain, &body).await.unwrap().status, 404);
    assert!(
        store(&company, "SELECT user_id FROM local_credentials")
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_form_that_is_not_right_is_shown_again_with_the_same_second_factor() {
    let company = Company::open_with(local(false)).await;
    let link = link(
        company.usher.path(),
        &[
            "--email",
            "zoe@example.com",
            "--password",
            "--app",
            "wiki:viewer",
        ],
    )
    .await;
    let mut browser = company.browser();
    let shown = browser.open(&link).await.unwrap().text();
    let totp = offered(&shown);
    let now = code(&totp, 0);
    for (passwords, code, why) in [
        (("short", "short"), now.as_str(), "shorter than 12"),
        (("password1234", "password1234"), &now, "tried first"),
        ((PASSWORD, "kaffee um halb fünf"), &now, "not the same"),
        ((PASSWORD, PASSWORD), "000000x", "code is not right"),
    ] {
        let answer = enrol(&mut browser, &link, &shown, passwords, code).await;
        assert!(
            is_page(&answer, 422, why),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(offered(&answer.text()), totp);
        let typed = format!("value=\"{}\"", passwords.0);
        assert!(
            !answer.text().contains(&typed),
            "the password is on the page"
        );
    }
    assert!(
        store(&company, "SELECT user_id FROM local_credentials")
            .await
            .is_empty()
    );
    // The key of another invitation, or of nobody, does not do.
    let fake = shown.replace(&field(&shown, "sealed"), "AAAA");
    let answer = enrol(&mut browser, &link, &fake, (PASSWORD, PASSWORD), &now).await;
    assert_eq!(answer.status, 422);
    let answer = enrol(&mut browser, &link, &shown, (PASSWORD, PASSWORD), &now).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let again = enrol(&mut browser, &link, &shown, (PASSWORD, PASSWORD), &now).await;
    assert!(is_page(&again, 410, "already accepted"), "{}", again.text());
}

#[tokio::test]
async fn a_code_works_once_and_wrong_ones_lock_the_account() {
    let company = Company::open_with(local(false)).await;
    let link = link(
        company.usher.path(),
        &[
            "--email",
            "zoe@example.com",
            "--password",
            "--app",
            "wiki:viewer",
        ],
    )
    .await;
    let (answer, totp) = set_up(&mut company.browser(), &link).await;
    assert_eq!(answer.status, 303);
    let mut browser = company.browser();
    let used = code(&totp, 0);
    let next = code(&totp, 1);
    for (password, code) in [
        (PASSWORD, used.as_str()),
        ("kaffee um halb zwei", &next),
        (PASSWORD, "000000x"),
    ] {
        let answer = sign_in(&mut browser, &page("/"), "zoe@example.com", password, code).await;
        assert!(
            is_page(&answer, 422, "That did not work"),
            "{}",
            answer.text()
        );
        assert_eq!(browser.cookie("__Host-usher"), None);
    }
    let answer = sign_in(&mut browser, &page("/"), "zoe@example.com", PASSWORD, &next).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let mut thief = company.browser();
    let answer = sign_in(&mut thief, &page("/"), "zoe@example.com", PASSWORD, &next).await;
    assert_eq!(answer.status, 422, "a code was taken twice");
    // Five from this address by now, of which one was right.
    let answer = sign_in(&mut thief, &page("/"), "nobody@example.com", "x", "1").await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let answer = sign_in(&mut thief, &page("/"), "nobody@example.com", "x", "1").await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(
        answer
            .header("retry-after")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 600
    );
    // The lines of failures come a moment after their answers; names that nobody has leave none.
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    let query = "SELECT outcome FROM audit WHERE action = 'local_sign_in' AND outcome = 'wrong'";
    while store(&company, query).await.len() < 4 {
        assert!(
            tokio::time::Instant::now() < until,
            "failures are missing in the log"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn with_single_sign_on_required_only_break_glass_accounts_get_in_and_every_use_is_loud() {
    let company = Company::open_with(local(false)).await;
    let directory = company.usher.path();
    let plain = link(
        directory,
        &[
            "--email",
            "zoe@example.com",
            "--password",
            "--app",
            "wiki:viewer",
        ],
    )
    .await;
    let (_, zoe) = set_up(&mut company.browser(), &plain).await;
    let strict = company
        .config()
        .replace("require_sso: false", "require_sso: true");
    reload(&company, &strict).await;
    let said = invite(
        directory,
        &["--email", "yan@example.com", "--password", "--app", "wiki"],
    )
    .await;
    assert!(!said.ok && said.errors.contains("require_sso"), "{said:?}");
    let mut browser = company.browser();
    let answer = sign_in(
        &mut browser,
        &page("/"),
        "zoe@example.com",
        PASSWORD,
        &code(&zoe, 1),
    )
    .await;
    assert!(
        is_page(&answer, 403, "emergencies only"),
        "{}",
        answer.text()
    );
    assert_eq!(browser.cookie("__Host-usher"), None);
    let words = [
        "--email",
        "root@example.com",
        "--break-glass",
        "--app",
        "wiki:admin",
    ];
    let emergency = link(directory, &words).await;
    let (answer, totp) = set_up(&mut browser, &emergency).await;
    assert!(
        is_page(&answer, 200, "emergency account is ready"),
        "{}",
        answer.text()
    );
    assert_eq!(browser.cookie("__Host-usher"), None);
    let answer = sign_in(
        &mut browser,
        &page("/"),
        "root@example.com",
        "wrong wrong wrong",
        "1",
    )
    .await;
    assert_eq!(answer.status, 422);
    let answer = sign_in(
        &mut browser,
        &page("/"),
        "root@example.com",
        PASSWORD,
        &code(&totp, 1),
    )
    .await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let me = browser.open(&page("/_usher/me")).await.unwrap().json();
    let ends: jiff::Timestamp = me["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(
        ends.as_second() - jiff::Timestamp::now().as_second() <= 3600,
        "{me}"
    );
    assert_eq!(
        (&me["idp"], &me["roles"][0]),
        (&"local".into(), &"admin".into())
    );
    let lines = store(
        &company,
        "SELECT outcome FROM audit WHERE action = 'break_glass' ORDER BY number",
    )
    .await;
    assert_eq!(lines, ["wrong", "ok"]);
    let log = company.usher.log();
    let loud = log
        .lines()
        .filter(|line| line.contains("\"WARN\"") && line.contains("break_glass"));
    assert_eq!(loud.count(), 2, "{log}");
    let metrics = fetch(
        company.usher.metrics().unwrap(),
        "/metrics",
        Duration::from_secs(5),
    )
    .await;
    let metrics = metrics.unwrap().text();
    for line in [
        "usher_sign_ins_total{of=\"break-glass\",outcome=\"ok\"} 1",
        "usher_sign_ins_total{of=\"break-glass\",outcome=\"wrong\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn links_that_are_over_say_so_each_in_its_words() {
    let company = Company::open_with(local(false)).await;
    let directory = company.usher.path();
    let words = [
        "--email",
        "zoe@example.com",
        "--password",
        "--app",
        "wiki:viewer",
    ];
    let (first, second) = (link(directory, &words).await, link(directory, &words).await);
    let mut browser = company.browser();
    let withdrawn = browser.open(&first).await.unwrap();
    assert!(
        is_page(&withdrawn, 410, "was withdrawn"),
        "{}",
        withdrawn.text()
    );
    let unknown = browser.open(&page("/_usher/invitation/abc")).await.unwrap();
    assert!(is_page(&unknown, 404, "not valid"), "{}", unknown.text());
    // A scanner that opens the link, however often, changes nothing.
    for _ in 0..3 {
        assert_eq!(browser.open(&second).await.unwrap().status, 200);
        assert_eq!(
            browser
                .send(&second, "HEAD", &[], None)
                .await
                .unwrap()
                .status,
            200
        );
    }
    let shown = browser.open(&second).await.unwrap().text();
    store(
        &company,
        "UPDATE invitations SET expires_at = 1 WHERE withdrawn_at IS NULL RETURNING id",
    )
    .await;
    let expired = browser.open(&second).await.unwrap();
    assert!(is_page(&expired, 410, "has expired"), "{}", expired.text());
    let now = code(&offered(&shown), 0);
    let answer = enrol(&mut browser, &second, &shown, (PASSWORD, PASSWORD), &now).await;
    assert!(is_page(&answer, 410, "has expired"), "{}", answer.text());
}

#[tokio::test]
async fn a_new_link_resets_password_and_second_factor_and_ends_sessions() {
    let company = Company::open_with(local(false)).await;
    let directory = company.usher.path();
    let words = [
        "--email",
        "zoe@example.com",
        "--password",
        "--app",
        "wiki:viewer",
    ];
    let first = link(directory, &words).await;
    let mut browser = company.browser();
    let (_, old) = set_up(&mut browser, &first).await;
    assert_eq!(status(&mut browser, "/").await, 200);
    let reset = link(directory, &["--email", "zoe@example.com", "--password"]).await;
    assert_eq!(
        status(&mut browser, "/").await,
        200,
        "a link alone changes nothing"
    );
    let shown = company.browser().open(&reset).await.unwrap().text();
    assert!(
        shown.contains("Set your password") && !shown.contains("Continue with"),
        "{shown}"
    );
    let mut anew = company.browser();
    let (answer, _) = set_up(&mut anew, &reset).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(status(&mut anew, "/").await, 200);
    assert_eq!(
        status(&mut browser, "/").await,
        302,
        "the former session goes on"
    );
    let answer = sign_in(
        &mut browser,
        &page("/"),
        "zoe@example.com",
        PASSWORD,
        &code(&old, 1),
    )
    .await;
    assert_eq!(answer.status, 422, "the former second factor works");
    assert_eq!(store(&company, "SELECT id FROM users").await.len(), 1);
}

#[tokio::test]
async fn without_local_accounts_there_is_no_form() {
    let company = Company::open().await;
    let mut browser = company.browser();
    let answer = browser.open(&page("/_usher/sign-in/local")).await.unwrap();
    assert!(
        is_page(&answer, 404, "nothing here") && !answer.text().contains("<form"),
        "{}",
        answer.text()
    );
    let posted = browser
        .submit(&page("/_usher/sign-in/local"), "user=a&password=b")
        .await
        .unwrap();
    assert_eq!(posted.status, 404);
    let said = invite(
        company.usher.path(),
        &["--email", "zoe@example.com", "--password"],
    )
    .await;
    assert!(
        !said.ok && said.errors.contains("local_accounts.enabled"),
        "{said:?}"
    );
    let said = invite(
        company.usher.path(),
        &["--email", "zoe@example.com", "--app", "wiki:boss"],
    )
    .await;
    assert!(
        !said.ok && said.errors.contains("no role `boss`"),
        "{said:?}"
    );
}

#[tokio::test]
async fn what_is_too_long_is_not_looked_at_and_a_new_sign_in_ends_the_former_session() {
    let company = Company::open_with(local(false)).await;
    let words = [
        "--email",
        "zoe@example.com",
        "--password",
        "--app",
        "wiki:viewer",
    ];
    let link = link(company.usher.path(), &words).await;
    let mut browser = company.browser();
    let (_, totp) = set_up(&mut browser, &link).await;
    let former = browser.cookie("__Host-usher").unwrap();
    let long = "x".repeat(1025);
    let now = code(&totp, 1);
    for (user, password, totp) in [
        (long.as_str(), PASSWORD, now.as_str()),
        ("zoe@example.com", &long, &now),
        ("zoe@example.com", PASSWORD, &long),
    ] {
        let answer = sign_in(&mut company.browser(), &page("/"), user, password, totp).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let answer = sign_in(&mut browser, &page("/"), "zoe@example.com", PASSWORD, &now).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(status(&mut browser, "/").await, 200);
    let mut thief = company.browser();
    thief.plant("wiki.test", "__Host-usher", &former);
    assert_eq!(
        status(&mut thief, "/").await,
        302,
        "the former session goes on"
    );
}

#[tokio::test]
async fn with_a_required_file_nobody_signs_in_by_password_unrecorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log/audit.jsonl");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let mut changes = local(false);
    changes.top.push(format!(
        "audit: {{ file: \"{}\", required: true }}",
        file.display()
    ));
    let company = Company::open_with(changes).await;
    let words = [
        "--email",
        "zoe@example.com",
        "--password",
        "--app",
        "wiki:viewer",
    ];
    let link = link(company.usher.path(), &words).await;
    let (answer, totp) = set_up(&mut company.browser(), &link).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    let mut browser = company.browser();
    let answer = sign_in(
        &mut browser,
        &page("/"),
        "zoe@example.com",
        PASSWORD,
        &code(&totp, 1),
    )
    .await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(browser.cookie("__Host-usher"), None);
}

#[tokio::test]
async fn another_site_or_browser_cannot_post_the_form() {
    let company = Company::open_with(local(false)).await;
    let link = link(
        company.usher.path(),
        &[
            "--email",
            "zoe@example.com",
            "--password",
            "--app",
            "wiki:viewer",
        ],
    )
    .await;
    let (_, totp) = set_up(&mut company.browser(), &link).await;
    let at = page("/_usher/sign-in/local");
    let mut browser = company.browser();
    let token = field(&browser.open(&at).await.unwrap().text(), "form");
    let filled = |token: &str| {
        form(&[
            ("user", "zoe@example.com"),
            ("password", PASSWORD),
            ("totp", &code(&totp, 1)),
            ("form", token),
        ])
    };
    for headers in [
        &[("Origin", "https://evil.test")][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "https://wiki.test"),
        ],
        &[("Origin", "null")],
    ] {
        let answer = browser
            .send(&at, "POST", headers, Some(&filled(&token)))
            .await
            .unwrap();
        assert!(
            is_page(&answer, 403, "cannot be used any more"),
            "{headers:?} {}",
            answer.text()
        );
    }
    for (mut other, token) in [
        (company.browser(), token.as_str()),
        (browser.clone(), ""),
        (browser.clone(), "AAAA"),
    ] {
        let answer = other.submit(&at, &filled(token)).await.unwrap();
        assert!(
            is_page(&answer, 403, "cannot be used any more"),
            "{}",
            answer.text()
        );
    }
    // With the cookie of another attempt.
    let mut other = company.browser();
    other.open(&at).await.unwrap();
    assert_eq!(
        other.submit(&at, &filled(&token)).await.unwrap().status,
        403
    );
    let own = [
        ("Sec-Fetch-Site", "same-origin"),
        ("Origin", "https://wiki.test"),
    ];
    let answer = browser
        .send(&at, "POST", &own, Some(&filled(&token)))
        .await
        .unwrap();
    assert_eq!(answer.status, 303, "{}", answer.text());
}

/// A mail server that takes everything, and what it took.
async fn mail_server() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&into)));
        }
    });
    (port, taken)
}

async fn converse(stream: tokio::net::TcpStream, taken: Arc<Mutex<String>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut in_data = false;
    write.write_all(b"220 double\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        taken.lock().unwrap().push_str(&format!("{line}\n"));
        let answer = match line.as_str() {
            "." if in_data => {
                in_data = false;
                "250 taken\r\n"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 double\r\n",
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn the_link_is_sent_by_mail_and_check_tries_the_server() {
    let (port, taken) = mail_server().await;
    let company = Company::open_with(Changes {
        top: vec![format!("mail: smtp://127.0.0.1:{port}")],
        ..Changes::default()
    })
    .await;
    let words = [
        "--email",
        "nora@example.com",
        "--name",
        "Nora <b>",
        "--app",
        "wiki:viewer",
    ];
    let link = link(company.usher.path(), &words).await;
    let letter = taken.lock().unwrap().clone();
    for line in [
        "MAIL FROM:<usher@wiki.test>",
        "RCPT TO:<nora@example.com>",
        "Subject: Your invitation to wiki.test",
    ] {
        assert!(letter.contains(line), "{line}: {letter}");
    }
    // Quoted-printable breaks lines with an equals sign.
    let text = letter.replace("=\n", "");
    assert!(text.contains(link.as_str()), "{letter}");
    assert!(
        text.contains("Hello Nora <b>") && text.contains("Nora &lt;b&gt;"),
        "{letter}"
    );
    let outcomes = store(
        &company,
        "SELECT outcome FROM audit WHERE why LIKE '%mail%'",
    )
    .await;
    assert_eq!(outcomes, ["ok"]);
    let file = company.usher.path().join("usher.yaml");
    let mut check = std::process::Command::new(binary());
    check.args(["check", "--config"]).arg(file);
    let check = tokio::task::spawn_blocking(move || check.output().unwrap());
    let check = check.await.unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(said.contains("✓ mail: "), "{said}");
    assert_eq!(
        taken.lock().unwrap().matches("MAIL FROM").count(),
        1,
        "check sends nothing"
    );
}
