//! The audit log from the outside: what the stories leave in it, and its commands.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};
use usher::audit::{Audit, Filter, Line};
use usher::config::StoreConfig;
use usher::store::Store;

use crate::support::callback::{Fault, Rule};
use crate::support::company::{Changes, Company, eventually, is_page, page};
use crate::support::process::binary;

/// The lines with that action, the oldest first.
async fn lines(company: &Company, action: &str) -> Vec<Line> {
    let file = company.usher.path().join("usher.db");
    let store = Store::open(&StoreConfig::Sqlite(file)).await.unwrap();
    let filter = Filter {
        action: Some(action.to_owned()),
        ..Filter::default()
    };
    let page = Audit::new(store).page(&filter, None, 500).await.unwrap();
    page.lines.into_iter().rev().collect()
}

pub(crate) async fn run_sql(company: &Company, sql: &str) {
    let mut store = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(company.usher.path().join("usher.db"))
        .connect()
        .await
        .unwrap();
    let statement = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(statement).execute(&mut store).await.unwrap();
    store.close().await.unwrap();
}

fn audit(folder: &Path, arguments: &[&str]) -> Output {
    let config = folder.join("usher.yaml");
    let mut command = Command::new(binary());
    let command = command.arg("audit").args(arguments);
    command.arg("--config").arg(config).output().unwrap()
}

fn with_file(file: &Path, required: bool) -> Changes {
    let file = file.display();
    Changes {
        top: vec![format!(
            "audit: {{ file: \"{file}\", required: {required} }}"
        )],
        ..Changes::default()
    }
}

fn outcomes(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.outcome.as_str()).collect()
}

#[tokio::test]
async fn a_sign_in_and_its_end_are_in_the_log_with_who_from_where_and_which_request() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let user = company.last_seen().header("x-forwarded-user").unwrap();
    let signed_in = lines(&company, "sign_in").await;
    let [line] = signed_in.as_slice() else {
        panic!("{signed_in:?}")
    };
    assert_eq!(line.outcome, "ok");
    assert_eq!(line.actor, "idp:acme");
    assert_eq!(line.user.as_ref().unwrap().as_str(), user);
    assert_eq!(line.idp.as_ref().unwrap().as_str(), "acme");
    assert_eq!(line.client.as_deref(), Some("127.0.0.1"));
    assert_eq!(line.request_id.as_deref().map(str::len), Some(32));
    assert_eq!(line.details["email"], "alice@example.com");

    company
        .sign_in(&mut browser, "alice", "/_usher/sign-in/acme?return_to=/")
        .await;
    browser.open(&page("/_usher/sign-out")).await.unwrap();
    let ended = lines(&company, "sessions_ended").await;
    let whys = ended.iter().map(|line| line.details["why"].clone());
    assert_eq!(whys.collect::<Vec<_>>(), ["replaced", "signed_out"]);
    for line in &ended {
        assert_eq!(line.actor, format!("user:{user}"));
        assert_eq!(line.client.as_deref(), Some("127.0.0.1"));
        assert_eq!(line.details["sessions"], 1);
    }
}

#[tokio::test]
async fn who_is_verified_and_refused_is_in_the_log_and_noise_is_not() {
    let changes = Changes {
        idp: vec!["email_domains: [acme.example]".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let mut browser = company.browser();
    for junk in ["", "?code=1&state=2", "?error=access_denied&state=x"] {
        let callback = page(&format!("/_usher/oidc/acme/callback{junk}"));
        browser.open(&callback).await.unwrap();
    }
    assert!(lines(&company, "sign_in").await.is_empty());
    let (_, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 403);
    let refused = lines(&company, "sign_in").await;
    assert_eq!(outcomes(&refused), ["email_domain"]);
    assert_eq!(refused[0].user, None);
    assert_eq!(refused[0].details["email"], "alice@example.com");

    // The person says no at the identity provider, and the answer comes again and again.
    let mut browser = company.browser();
    let callback = company.up_to_callback(&mut browser, "alice", "/").await;
    let mut no = callback.clone();
    let kept = callback.query_pairs().filter(|(name, _)| name != "code");
    no.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair("error", "access_denied");
    for _ in 0..3 {
        browser.open(&no).await.unwrap();
    }
    let refused = lines(&company, "sign_in").await;
    assert_eq!(outcomes(&refused), ["email_domain", "idp_refused"]);
}

#[tokio::test]
async fn a_block_that_comes_during_the_sign_in_leaves_no_session() {
    let company = Company::open().await;
    run_sql(
        &company,
        // The sign-in has looked by then whether the user is active.
        "CREATE TRIGGER block AFTER UPDATE OF search ON users BEGIN \
         INSERT INTO user_blocks (user_id, source, deleted, why, at) \
         VALUES (NEW.id, 'scim:acme', 1, 'left', 0); \
         UPDATE users SET active = 0 WHERE id = NEW.id; END",
    )
    .await;
    let (mut browser, end) = company.signed_in("alice", "/").await;
    let refused = is_page(&end.answer, 403, "access has ended");
    assert!(refused, "{} {}", end.answer.status, end.answer.text());
    assert!(company.app.seen().is_empty());
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    assert_eq!(me.status, 401);
    let refused = lines(&company, "sign_in").await;
    assert_eq!(outcomes(&refused), ["login_denied_deprovisioned"]);
    assert!(refused[0].user.is_some());
}

#[tokio::test]
async fn an_app_that_refuses_is_in_the_log() {
    let company = Company::open().await;
    company.callback.behave(Some(Rule::always(Fault::Answer {
        status: 403,
        headers: Vec::new(),
        body: br#"{"reason":"no_seat"}"#.to_vec(),
    })));
    company.signed_in("alice", "/").await;
    let refused = lines(&company, "provisioning").await;
    assert_eq!(outcomes(&refused), ["jit_denied"]);
    assert!(refused[0].why.contains("no_seat"), "{}", refused[0].why);
    assert_eq!(refused[0].app.as_ref().unwrap().as_str(), "wiki");
}

#[tokio::test]
async fn with_a_required_file_nobody_signs_in_unrecorded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log/audit.jsonl");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let company = Company::open_with(with_file(&file, true)).await;
    company.signed_in("alice", "/").await;
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("\"sign_in\""), "{written}");

    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    let (mut browser, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 503, "{}", end.answer.text());
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    assert_eq!(me.status, 401);
    assert_eq!(outcomes(&lines(&company, "sign_in").await), ["ok"]);
}

#[tokio::test]
async fn the_log_is_verified_and_exported_while_usher_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let company = Company::open_with(with_file(&file, false)).await;
    company.signed_in("alice", "/").await;
    let folder = company.usher.path();
    for arguments in [&["verify"][..], &["verify", "--file"]] {
        let whole = audit(folder, arguments);
        assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    }
    let csv = audit(folder, &["export", "--action", "sign_in"]);
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.starts_with("number,time,action,") && csv.contains("alice@example.com"));
    let json = audit(
        folder,
        &["export", "--format", "jsonl", "--text", "STARTED"],
    );
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["action"], "system");

    let written = std::fs::read_to_string(&file).unwrap();
    let changed = written.replace("alice@example.com", "mallory@example.com");
    std::fs::write(&file, changed).unwrap();
    run_sql(
        &company,
        "UPDATE audit SET outcome = 'no' WHERE action = 'sign_in'",
    )
    .await;
    for arguments in [&["verify"][..], &["verify", "--file"]] {
        let changed = audit(folder, arguments);
        assert_eq!(changed.status.code(), Some(1), "{changed:?}");
        let said = String::from_utf8(changed.stdout).unwrap();
        assert!(said.contains("line 2"), "{said}");
    }
    let missing = audit(folder, &["verify", "--file", "/nonexistent/audit.jsonl"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[tokio::test]
async fn reloads_starts_and_stops_are_in_the_log() {
    let mut company = Company::open().await;
    let long = Duration::from_secs(20);
    company.usher.signal("HUP");
    let log = || company.usher.log();
    eventually(long, "a reload", || log().contains("config reloaded")).await;
    company.usher.reload_with("nonsense: true");
    // The line comes after the word in usher's own log.
    while lines(&company, "system").await.len() < 3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    company.usher.signal("INT");
    company.usher.exit_code(long).await;
    let lines = lines(&company, "system").await;
    let whys = lines.iter().map(|line| line.why.split(',').next().unwrap());
    let anew = "the config was loaded anew";
    let expected = ["usher started", anew, anew, "usher stopped"];
    assert_eq!(whys.collect::<Vec<_>>(), expected);
    assert_eq!(outcomes(&lines), ["ok", "ok", "config_refused", "ok"]);
}
