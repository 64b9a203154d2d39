#![allow(clippy::unwrap_used, clippy::panic)]
use jiff::Timestamp;

use super::*;
use crate::audit::By;
use crate::config::StoreConfig;
use crate::identity::{Account, AccountState, AppId, Attributes, Protocol, Role, Subject};

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn subject(idp: &str, value: &str) -> Subject {
    Subject {
        idp: IdpId::new(idp),
        protocol: Protocol::Oidc,
        issuer: format!("https://{idp}.example"),
        format: String::new(),
        value: value.to_owned(),
    }
}

fn mail(address: &str) -> Attributes {
    Attributes {
        email: Some(address.to_owned()),
        ..Attributes::default()
    }
}

fn named(username: &str) -> Attributes {
    Attributes {
        username: Some(username.to_owned()),
        ..Attributes::default()
    }
}

fn rule() -> JoinRule {
    JoinRule {
        with: vec![IdpId::new("acme")],
        domains: vec!["acme.example".to_owned()],
        ..JoinRule::default()
    }
}

async fn memory() -> Directory {
    Directory::over(Store::open(&StoreConfig::Memory).await.unwrap())
}

async fn users(directory: &Directory) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM users")
        .fetch_one(&directory.store.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_first_sign_ins_at_once_make_one_user() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let directories = [
        Directory::over(Store::open(&config).await.unwrap()),
        Directory::over(Store::open(&config).await.unwrap()),
    ];
    let tasks: Vec<_> = (0..50)
        .map(|turn| {
            let directory = directories[turn % 2].clone();
            tokio::spawn(async move {
                directory
                    .admit(
                        &subject("acme", "1"),
                        &mail("ann@acme.example"),
                        None,
                        now(),
                    )
                    .await
                    .unwrap()
                    .user
            })
        })
        .collect();
    let mut found = Vec::new();
    for task in tasks {
        found.push(task.await.unwrap());
    }
    found.dedup();
    assert_eq!(found.len(), 1);
    assert_eq!(users(&directories[0]).await, 1);
}

#[tokio::test]
async fn refuses_an_email_that_another_user_holds_whatever_its_case() {
    let directory = memory().await;
    let ann = directory
        .admit(
            &subject("acme", "1"),
            &mail("Ann@Acme.example"),
            None,
            now(),
        )
        .await
        .unwrap();
    let refused = directory
        .admit(
            &subject("globex", "9"),
            &mail(" ann@ACME.example"),
            None,
            now(),
        )
        .await;
    assert!(matches!(refused, Err(AdmitError::EmailTaken(user)) if user == ann.user));
    assert_eq!(users(&directory).await, 1, "nothing was written");
    assert_eq!(
        directory.person(&subject("globex", "9")).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn refuses_a_username_that_another_user_holds_also_as_email() {
    let directory = memory().await;
    directory
        .admit(&subject("acme", "1"), &named("Ärne"), None, now())
        .await
        .unwrap();
    let refused = directory
        .admit(&subject("globex", "1"), &named("äRNE"), None, now())
        .await;
    assert!(matches!(refused, Err(AdmitError::UsernameTaken(_))));
    directory
        .admit(
            &subject("acme", "2"),
            &mail("bob@acme.example"),
            None,
            now(),
        )
        .await
        .unwrap();
    let refused = directory
        .admit(
            &subject("globex", "2"),
            &named("bob@acme.example"),
            None,
            now(),
        )
        .await;
    assert!(matches!(refused, Err(AdmitError::UsernameTaken(_))));
}

#[tokio::test]
async fn an_email_that_was_given_up_is_free_again() {
    let directory = memory().await;
    let ann = subject("acme", "1");
    for address in ["ann@acme.example", "ann.b@acme.example"] {
        directory
            .admit(&ann, &mail(address), None, now())
            .await
            .unwrap();
    }
    directory
        .admit(
            &subject("acme", "2"),
            &mail("ann@acme.example"),
            None,
            now(),
        )
        .await
        .unwrap();
    let back = directory
        .admit(&ann, &mail("ann@acme.example"), None, now())
        .await;
    assert!(matches!(back, Err(AdmitError::EmailTaken(_))));
    let kept = directory.person(&ann).await.unwrap().unwrap();
    assert_eq!(kept.attributes, mail("ann.b@acme.example"));
}

#[tokio::test]
async fn a_new_subject_joins_only_by_the_rule() {
    let directory = memory().await;
    let address = mail("ann@acme.example");
    let ann = directory
        .admit(&subject("acme", "1"), &address, None, now())
        .await
        .unwrap();
    let globex = subject("globex", "7");
    let unverified = Attributes {
        email_verified: Some(false),
        ..address.clone()
    };
    let elsewhere = JoinRule {
        domains: vec!["other.example".to_owned()],
        ..rule()
    };
    let stranger = JoinRule {
        with: vec![IdpId::new("initech")],
        ..rule()
    };
    for (attributes, join) in [
        (&address, None),
        (&unverified, Some(&rule())),
        (&address, Some(&elsewhere)),
        (&address, Some(&stranger)),
    ] {
        let refused = directory.admit(&globex, attributes, join, now()).await;
        assert!(
            matches!(refused, Err(AdmitError::EmailTaken(_))),
            "{join:?}"
        );
    }
    let joined = directory
        .admit(&globex, &address, Some(&rule()), now())
        .await
        .unwrap();
    assert_eq!(joined.user, ann.user);
    assert_eq!(joined.subject, globex);
    let second = directory
        .admit(&subject("globex", "8"), &address, Some(&rule()), now())
        .await;
    assert!(
        matches!(second, Err(AdmitError::EmailTaken(_))),
        "the address moved to somebody else at globex"
    );
}

#[tokio::test]
async fn a_joined_user_holds_the_names_of_both_subjects() {
    let directory = memory().await;
    let acme = subject("acme", "1");
    directory
        .admit(&acme, &mail("ann@acme.example"), None, now())
        .await
        .unwrap();
    let globex = subject("globex", "7");
    directory
        .admit(&globex, &mail("ann@acme.example"), Some(&rule()), now())
        .await
        .unwrap();
    directory
        .admit(&globex, &mail("ann@globex.example"), None, now())
        .await
        .unwrap();
    for taken in ["ann@acme.example", "ann@globex.example"] {
        let other = directory
            .admit(&subject("initech", "3"), &mail(taken), None, now())
            .await;
        assert!(matches!(other, Err(AdmitError::EmailTaken(_))), "{taken}");
    }
    let seen = directory.person(&acme).await.unwrap().unwrap();
    assert_eq!(seen.attributes, mail("ann@acme.example"));
}

#[tokio::test]
async fn refuses_a_deactivated_user() {
    let directory = memory().await;
    let ann = subject("acme", "1");
    directory
        .admit(&ann, &mail("ann@acme.example"), None, now())
        .await
        .unwrap();
    sqlx::query("UPDATE users SET active = 0")
        .execute(&directory.store.pool)
        .await
        .unwrap();
    let refused = directory
        .admit(&ann, &mail("ann@acme.example"), None, now())
        .await;
    assert!(matches!(refused, Err(AdmitError::Deactivated { .. })));
    assert_eq!(directory.person(&ann).await.unwrap(), None);
}

#[tokio::test]
async fn an_event_waits_until_it_is_answered_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let directory = Directory::over(Store::open(&config).await.unwrap());
    let ann = subject("acme", "1");
    let user = directory
        .admit(&ann, &mail("ann@acme.example"), None, now())
        .await
        .unwrap()
        .user;
    let app = AppId::new("wiki");
    let event = Event {
        id: "evt_1".to_owned(),
        user: user.clone(),
        app: app.clone(),
        kind: EventKind::Created,
        body: "{}".to_owned(),
        told: "print".to_owned(),
        tries: 0,
        dead: false,
        begun_at: now(),
        next_at: now(),
    };
    directory.put_event(&event, None).await.unwrap();
    let late = Event {
        id: "evt_2".to_owned(),
        ..event.clone()
    };
    directory.put_event(&late, None).await.unwrap();

    let again = Directory::over(Store::open(&config).await.unwrap());
    let waiting = again.waiting_event(&user, &app).await.unwrap();
    assert_eq!(waiting.as_ref(), Some(&event));
    let account = Account {
        app: app.clone(),
        active: true,
        id: Some("42".to_owned()),
        roles: vec![Role::new("editor")],
        state: AccountState::Open,
        told: event.told.clone(),
    };
    let answered = Answered {
        event: &event,
        account: &account,
        outcome: "allowed",
        reason: None,
        look_again: false,
    };
    again.put_answer(&answered, now()).await.unwrap();
    assert_eq!(directory.waiting_event(&user, &app).await.unwrap(), None);
    let person = directory.person(&ann).await.unwrap().unwrap();
    assert_eq!(person.accounts, std::slice::from_ref(&account));
    assert_eq!(
        directory.told_body(&user, &app).await.unwrap().as_deref(),
        Some("{}")
    );
    let refused = Account {
        state: AccountState::Refused {
            message: Some("Ask Ann.".to_owned()),
            reason: None,
        },
        ..account
    };
    let put = directory.put_account(&user, &refused, now());
    put.await.unwrap();
    let person = directory.person(&ann).await.unwrap().unwrap();
    assert_eq!(person.accounts, [refused]);
}

#[tokio::test]
async fn a_failing_store_is_an_error_and_not_an_unknown_person() {
    let directory = memory().await;
    directory.store.close().await;
    assert!(directory.person(&subject("acme", "1")).await.is_err());
    let admitted = directory
        .admit(&subject("acme", "1"), &mail("a@b"), None, now())
        .await;
    assert!(matches!(admitted, Err(AdmitError::Store(_))));
}

#[tokio::test]
async fn one_name_id_value_under_two_formats_is_two_subjects() {
    let directory = memory().await;
    let of = |format: &str| Subject {
        protocol: Protocol::Saml,
        format: format.to_owned(),
        ..subject("globex", "1")
    };
    let (persistent, email) = (of("urn:persistent"), of("urn:email"));
    let nothing = Attributes::default();
    let mut users = Vec::new();
    for subject in [&persistent, &email, &persistent] {
        let person = directory
            .admit(subject, &nothing, None, now())
            .await
            .unwrap();
        users.push(person.user);
    }
    assert_ne!(users[0], users[1]);
    assert_eq!(users[0], users[2]);
    let found = directory.person(&email).await.unwrap().unwrap();
    assert_eq!(found.user, users[1]);
    assert_eq!(directory.person(&of("")).await.unwrap(), None);
}

#[tokio::test]
async fn a_new_subject_joins_only_to_a_verified_and_the_very_same_address() {
    for (known, verified) in [
        ("ann@acme.example", Some(false)),
        // Folded, it is the same name, which stays taken; it is another address.
        ("\u{ff41}nn@acme.example", Some(true)),
    ] {
        let directory = memory().await;
        let said = Attributes {
            email_verified: verified,
            ..mail(known)
        };
        directory
            .admit(&subject("acme", "1"), &said, None, now())
            .await
            .unwrap();
        let new = mail("ann@acme.example");
        let refused = directory
            .admit(&subject("globex", "7"), &new, Some(&rule()), now())
            .await;
        assert!(
            matches!(refused, Err(AdmitError::EmailTaken(_))),
            "{known} {verified:?}"
        );
    }
}

#[tokio::test]
async fn a_new_subject_does_not_join_who_is_deactivated() {
    let directory = memory().await;
    let address = mail("ann@acme.example");
    let ann = directory
        .admit(&subject("acme", "1"), &address, None, now())
        .await
        .unwrap();
    let block = Block {
        source: BlockSource::Admin,
        deleted: false,
        why: "left".to_owned(),
        at: now(),
    };
    let blocked = directory.block(&ann.user, &block, &By::system()).await;
    assert!(blocked.unwrap());
    let refused = directory
        .admit(&subject("globex", "7"), &address, Some(&rule()), now())
        .await;
    assert!(
        matches!(refused, Err(AdmitError::Deactivated { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn who_changed_while_the_apps_were_looked_at_is_looked_at_again() {
    let directory = memory().await;
    let ann = directory
        .admit(
            &subject("acme", "1"),
            &mail("ann@acme.example"),
            None,
            now(),
        )
        .await
        .unwrap()
        .user;
    let change = async |why: &str| {
        let block = Block {
            source: BlockSource::Admin,
            deleted: why == "deleted",
            why: why.to_owned(),
            at: now(),
        };
        let changed = directory.block(&ann, &block, &By::system()).await;
        assert!(changed.unwrap(), "{why}");
    };
    change("left").await;
    let seen = directory.changed_users(now(), 9).await.unwrap();
    change("deleted").await;
    directory.looked_at(&seen[0]).await.unwrap();
    let left = directory.changed_users(now(), 9).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    directory.looked_at(&left[0]).await.unwrap();
    assert_eq!(directory.changed_users(now(), 9).await.unwrap(), []);
}
