#![allow(clippy::unwrap_used)]

use super::*;

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
