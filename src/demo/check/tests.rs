#![allow(clippy::unwrap_used)]

use super::stand_in::{self, Wrong};
use super::*;

async fn failed_steps(wrong: Wrong, user: &str) -> Vec<String> {
    let (url, usher) = stand_in::start(wrong).await;
    let report = check(&url, user).await.unwrap();
    usher.abort();
    assert!(report.steps.len() > 12, "{report:?}");
    let failed = report.steps.into_iter().filter(|step| !step.passed);
    failed.map(|step| step.to_string()).collect()
}

#[tokio::test]
async fn passes_for_both_people_where_all_is_well() {
    for user in ["alice", "bob"] {
        assert_eq!(
            failed_steps(Wrong::Nothing, user).await,
            Vec::<String>::new()
        );
    }
}

#[tokio::test]
async fn fails_where_a_second_account_is_asked_for() {
    let failed = failed_steps(Wrong::CreatesTwice, "alice").await;
    let expected = "✗ The callback made the account, exactly once (2, where 1 should be)";
    assert_eq!(failed, [expected]);
}

#[tokio::test]
async fn fails_where_everybody_is_admin() {
    let failed = failed_steps(Wrong::LetsEverybodyAdminister, "alice").await;
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("became the role"), "{failed:?}");
    assert!(failed[1].contains("/admin is refused"), "{failed:?}");
}

#[tokio::test]
async fn fails_where_signing_out_ends_nothing() {
    let failed = failed_steps(Wrong::ForgetsToSignOut, "bob").await;
    assert!(
        failed
            .iter()
            .any(|step| step.contains("The session is over")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn without_usher_the_report_says_what_does_not_answer() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let nobody = Url::parse("http://127.0.0.1:9/").unwrap();
    let report = check(&nobody, "alice").await.unwrap();
    assert!(!report.passed());
    let line = report.steps.last().unwrap().to_string();
    assert!(
        line.starts_with("✗ The check could go on (http://127.0.0.1:9/public/: "),
        "{line}"
    );
    assert!(check(&nobody, "mallory").await.is_err());
}
