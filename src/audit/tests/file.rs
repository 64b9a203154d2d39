use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::audit::{VerifyError, verify_lines};
use crate::directory::{Block, BlockSource, Directory};

fn settings(path: &Path, required: bool) -> AuditConfig {
    AuditConfig {
        file: Some(path.to_owned()),
        required,
        keep_for: std::time::Duration::from_secs(86_400),
    }
}

async fn with_file(required: bool) -> (tempfile::TempDir, PathBuf, Audit) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = memory().await;
    audit.configure(&settings(&path, required)).unwrap();
    (folder, path, audit)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The first line that is wrong; none: all are right.
fn first_bad(text: &str) -> Option<i64> {
    match verify_lines(text.lines()) {
        Ok(_) => None,
        Err(VerifyError::Broken { number, .. }) => Some(number),
        Err(VerifyError::Store(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn each_line_is_one_of_json_for_the_owner_alone_and_verifies_without_the_table() {
    let (_folder, path, audit) = with_file(false).await;
    for number in 1..=4 {
        audit.record(&full(number), at(number)).await.unwrap();
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = text(&path);
    let lines: Vec<Value> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["time"], at(1).to_string());
    assert_eq!(lines[0]["actor"], "token:ci");
    assert_eq!(lines[0]["user"], "usr_1");
    assert_eq!(lines[0]["details"]["after"][0], "editor");
    assert_eq!(lines[1]["previous"], lines[0]["hash"]);
    let verified = verify_lines(written.lines()).unwrap();
    assert_eq!(verified, audit.verify().await.unwrap());
    let from_third: Vec<&str> = written.lines().skip(2).collect();
    assert_eq!(verify_lines(from_third.iter()).unwrap().lines, 2);
}

#[tokio::test]
async fn a_file_that_was_changed_anywhere_is_found() {
    let (_folder, path, audit) = with_file(false).await;
    for number in 1..=4 {
        audit.record(&full(number), at(number)).await.unwrap();
    }
    let whole = text(&path);
    let lines: Vec<&str> = whole.lines().collect();
    let join = |lines: &[&str]| lines.join("\n");
    for (changed, number) in [
        (whole.replace("change 2", "change 9"), 2),
        (whole.replace("\"n\":3", "\"n\":9"), 3),
        (join(&[lines[0], lines[2], lines[3]]), 3),
        (join(&[lines[0], lines[2], lines[1], lines[3]]), 3),
        (join(&[lines[0], "{}", lines[1]]), 2),
    ] {
        assert_eq!(first_bad(&changed), Some(number), "{changed}");
    }
}

#[tokio::test]
async fn a_line_of_a_change_that_was_rolled_back_gives_way_to_the_next() {
    let (_folder, path, audit) = with_file(false).await;
    audit.record(&full(1), at(1)).await.unwrap();
    let mut transaction = audit.store.begin().await.unwrap();
    for number in [2, 3] {
        audit
            .append(&mut transaction, &full(number), at(number))
            .await
            .unwrap();
    }
    drop(transaction);
    for number in [4, 5, 6] {
        audit.record(&full(number), at(number)).await.unwrap();
    }
    let written = text(&path);
    assert_eq!(written.lines().count(), 6);
    let verified = verify_lines(written.lines()).unwrap();
    assert_eq!((verified.lines, verified.last), (4, 4));
    assert_eq!(verified, audit.verify().await.unwrap());
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_opened_anew() {
    let (folder, path, audit) = with_file(true).await;
    audit.record(&full(1), at(1)).await.unwrap();
    let old = folder.path().join("audit.jsonl.1");
    std::fs::rename(&path, &old).unwrap();
    audit.record(&full(2), at(2)).await.unwrap();
    assert_eq!(
        (text(&old).lines().count(), text(&path).lines().count()),
        (1, 1)
    );
    let both = text(&old) + &text(&path);
    assert_eq!(verify_lines(both.lines()).unwrap().lines, 2);
}

#[tokio::test]
async fn a_required_file_that_cannot_be_written_refuses_the_change() {
    let (folder, path, audit) = with_file(true).await;
    let directory = Directory::new(audit.store.clone(), audit.clone());
    run(
        &audit,
        "INSERT INTO users (id, active, created_at, signed_in_at) VALUES ('usr_1', 1, 0, 0)",
    )
    .await;
    let block = Block {
        source: BlockSource::Admin,
        deleted: false,
        why: "left".to_owned(),
        at: at(0),
    };
    let user = UserId::new("usr_1");
    // A folder of that name: nothing can be appended to it, whoever asks.
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(directory.block(&user, &block, &By::system()).await.is_err());
    let profile = directory.profile(&user).await.unwrap().unwrap();
    assert!(profile.blocks.is_empty());
    assert_eq!(audit.verify().await.unwrap().lines, 0);
    assert_eq!(audit.shared.file_failures.get(), 1);
    std::fs::remove_dir(&path).unwrap();
    assert!(directory.block(&user, &block, &By::system()).await.unwrap());
    assert_eq!(text(&path).lines().count(), 1);
}

#[tokio::test]
async fn one_that_is_not_required_is_counted_and_the_table_goes_on() {
    let (folder, path, audit) = with_file(false).await;
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    std::fs::create_dir(&path).unwrap();
    for number in 1..=3 {
        audit.record(&full(number), at(number)).await.unwrap();
    }
    assert_eq!(audit.shared.file_failures.get(), 3);
    assert_eq!(audit.verify().await.unwrap().lines, 3);
}

#[tokio::test]
async fn a_required_file_that_cannot_be_opened_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let audit = memory().await;
    let missing = folder.path().join("none/audit.jsonl");
    assert!(audit.configure(&settings(&missing, true)).is_err());
    audit.configure(&settings(&missing, false)).unwrap();
    audit.record(&full(1), at(1)).await.unwrap();
}
