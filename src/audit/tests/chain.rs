use super::*;
use crate::audit::{Verified, VerifyError};
use crate::directory::{Block, BlockSource, Directory};

/// The first line that is wrong; none: it is whole.
async fn first_bad(audit: &Audit) -> Option<i64> {
    match audit.verify().await {
        Ok(_) => None,
        Err(VerifyError::Broken { number, .. }) => Some(number),
        Err(VerifyError::Store(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_whole() {
    assert_eq!(first_bad(&memory().await).await, None);
    let audit = log(5).await;
    let Verified { lines, last, hash } = audit.verify().await.unwrap();
    assert_eq!((lines, last), (5, 5));
    assert_eq!(audit.hash_of(5).await.unwrap(), Some(hash));
}

#[tokio::test]
async fn any_line_that_was_changed_is_found() {
    for change in [
        "at = at + 1",
        "action = 'user'",
        "actor = 'system'",
        "user_id = 'usr_9'",
        "user_id = NULL",
        "app = 'crm'",
        "idp = 'globex'",
        "app = 'acme', idp = 'wiki'",
        "app = NULL",
        "outcome = 'refused'",
        "why = why || ' '",
        "client = '192.0.2.8'",
        "client = NULL",
        "request_id = 'req-2'",
        "request_id = ''",
        "details = details || ' '",
        "hash = 'x'",
    ] {
        for line in [1, 3, 5] {
            let audit = log(5).await;
            run(
                &audit,
                &format!("UPDATE audit SET {change} WHERE number = {line}"),
            )
            .await;
            assert_eq!(first_bad(&audit).await, Some(line), "{change}");
        }
    }
}

#[tokio::test]
async fn any_line_that_was_removed_added_or_moved_is_found() {
    for (sql, line) in [
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 5", 5),
        ("DELETE FROM audit", 1),
        // Swapped.
        (
            "UPDATE audit SET number = -1 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 4; \
             UPDATE audit SET number = 4 WHERE number = -1",
            2,
        ),
        // Removed, and the others moved up.
        (
            "DELETE FROM audit WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 3; \
             UPDATE audit SET number = 3 WHERE number = 4; UPDATE audit SET number = 4 WHERE number = 5",
            2,
        ),
        // Cut off at the end, with the head left as it is, or made to fit badly.
        (
            "DELETE FROM audit WHERE number = 5; UPDATE audit_ends SET number = 4 WHERE name = 'head'",
            4,
        ),
        ("UPDATE audit_ends SET number = 4 WHERE name = 'head'", 5),
        ("UPDATE audit_ends SET number = 2 WHERE name = 'anchor'", 1),
        (
            "DELETE FROM audit WHERE number < 3; UPDATE audit_ends SET number = 2 WHERE name = 'anchor'",
            3,
        ),
        (
            "INSERT INTO audit SELECT 6, at, action, actor, user_id, app, idp, outcome, why, client, request_id, \
             details, 'x' FROM audit WHERE number = 5",
            6,
        ),
        (
            "INSERT INTO audit SELECT 0, at, action, actor, user_id, app, idp, outcome, why, client, request_id, \
             details, 'x' FROM audit WHERE number = 5",
            0,
        ),
    ] {
        let audit = log(5).await;
        run(&audit, sql).await;
        assert_eq!(first_bad(&audit).await, Some(line), "{sql}");
    }
}

#[tokio::test]
async fn a_chain_without_its_ends_takes_no_line_and_is_an_error() {
    let audit = log(2).await;
    run(&audit, "DELETE FROM audit_ends").await;
    assert!(audit.verify().await.is_err());
    assert!(audit.record(&full(3), at(3)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_changes_at_once_make_one_unbroken_chain() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let mut directories = Vec::new();
    for _ in 0..2 {
        let store = Store::open(&config).await.unwrap();
        directories.push(Directory::new(store.clone(), Audit::new(store)));
    }
    run(
        directories[0].audit(),
        "INSERT INTO users (id, active, created_at, signed_in_at) VALUES ('usr_1', 1, 0, 0)",
    )
    .await;
    let tasks: Vec<_> = (0..50)
        .map(|turn| {
            let directory = directories[turn % 2].clone();
            tokio::spawn(async move {
                let block = Block {
                    source: BlockSource::Scim(IdpId::new(format!("idp{turn}"))),
                    deleted: false,
                    why: "left".to_owned(),
                    at: at(0),
                };
                let user = UserId::new("usr_1");
                directory.block(&user, &block, &By::system()).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    let verified = directories[0].audit().verify().await.unwrap();
    assert_eq!((verified.lines, verified.last), (50, 50));
}

#[tokio::test]
async fn old_lines_are_taken_away_and_the_chain_goes_on_from_the_anchor() {
    let audit = log(5).await;
    let keep = |seconds| AuditConfig {
        file: None,
        required: false,
        keep_for: std::time::Duration::from_secs(seconds),
    };
    audit.configure(&keep(10)).unwrap();
    // Lines 1 and 2 are older than ten seconds then.
    audit.tend(at(13)).await.unwrap();
    let verified = audit.verify().await.unwrap();
    assert_eq!((verified.lines, verified.last), (3, 5));
    audit.tend(at(13 + 3599)).await.unwrap();
    assert_eq!(audit.verify().await.unwrap().lines, 3, "once an hour");
    audit.tend(at(13 + 3600)).await.unwrap();
    assert_eq!(audit.verify().await.unwrap().lines, 0);
    audit.record(&full(6), at(9000)).await.unwrap();
    let verified = audit.verify().await.unwrap();
    assert_eq!((verified.lines, verified.last), (1, 6), "numbers go on");
    run(&audit, "UPDATE audit SET why = 'x'").await;
    assert_eq!(first_bad(&audit).await, Some(6));
}

#[tokio::test]
async fn a_line_that_is_kept_keeps_all_that_come_after_it() {
    let audit = memory().await;
    // The clock went back for a while.
    for (number, second) in [(1, 1), (2, 50), (3, 3), (4, 60)] {
        audit.record(&full(number), at(second)).await.unwrap();
    }
    audit
        .configure(&AuditConfig {
            file: None,
            required: false,
            keep_for: std::time::Duration::from_secs(10),
        })
        .unwrap();
    audit.tend(at(20)).await.unwrap();
    assert_eq!(audit.verify().await.unwrap().lines, 3);
}
