#![allow(clippy::unwrap_used)]
use super::*;
use crate::audit::{Actor, By};
use crate::config::StoreConfig;
use crate::directory::{AdmitError, BlockSource};
use crate::identity::{AppId, GrantSource, Role};
use crate::store::Store;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
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

fn named(name: &str, email: &str) -> Attributes {
    Attributes {
        name: Some(name.to_owned()),
        email: Some(email.to_owned()),
        ..Attributes::default()
    }
}

fn admin() -> By {
    By::system().as_actor(Actor::Token("ci".to_owned()))
}

fn block(source: BlockSource, deleted: bool) -> Block {
    Block {
        source,
        deleted,
        why: "left the company".to_owned(),
        at: at(1),
    }
}

fn scim() -> BlockSource {
    BlockSource::Scim(IdpId::new("acme"))
}

async fn memory() -> Directory {
    Directory::over(Store::open(&StoreConfig::Memory).await.unwrap())
}

/// Signs somebody in whose subject is the name.
async fn sign_in(directory: &Directory, name: &str, email: &str) -> UserId {
    let (subject, attributes) = (subject("acme", name), named(name, email));
    let person = directory.admit(&subject, &attributes, None, at(0)).await;
    person.unwrap().user
}

async fn staff(names: &[&str]) -> Directory {
    let directory = memory().await;
    for name in names {
        let email = format!("{}@acme.example", name.to_lowercase().replace(' ', "."));
        sign_in(&directory, name, &email).await;
    }
    directory
}

async fn lines(directory: &Directory) -> Vec<(String, String)> {
    sqlx::query_as("SELECT action, details FROM audit ORDER BY number")
        .fetch_all(&directory.store.pool)
        .await
        .unwrap()
}

async fn marks(directory: &Directory) -> i64 {
    sqlx::query_scalar("SELECT COALESCE(SUM(number), 0) FROM changes")
        .fetch_one(&directory.store.pool)
        .await
        .unwrap()
}

async fn found(directory: &Directory, text: &str) -> Vec<String> {
    let find = Find {
        text: Some(text),
        limit: 10,
        ..Find::default()
    };
    let page = directory.people(&find).await.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.into_iter().filter_map(|one| one.name).collect()
}

#[tokio::test]
async fn pages_go_through_everybody_once_in_the_order_of_names() {
    let names = ["Dan Dee", "ann Aye", "Cem Cee", "Bob Bee", "Eve Eff"];
    let directory = staff(&names).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let find = Find {
            after: after.as_deref(),
            limit: 2,
            ..Find::default()
        };
        let page = directory.people(&find).await.unwrap();
        assert_eq!(page.total, 5);
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().filter_map(|one| one.name));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let order = ["ann Aye", "Bob Bee", "Cem Cee", "Dan Dee", "Eve Eff"];
    assert_eq!(seen, order);
}

#[tokio::test]
async fn finds_any_part_in_any_case_and_takes_wildcards_as_letters() {
    let directory = staff(&["Ann 100% Aye", "Bob_Bee", "Bob Bee", r"Cem\Cee", "Ärne Öst"]).await;
    assert_eq!(found(&directory, " BOB ").await, ["Bob Bee", "Bob_Bee"]);
    assert_eq!(found(&directory, "b_b").await, ["Bob_Bee"]);
    assert_eq!(found(&directory, "%").await, ["Ann 100% Aye"]);
    assert_eq!(found(&directory, r"\").await, [r"Cem\Cee"]);
    assert_eq!(found(&directory, "ÄRNE").await, ["Ärne Öst"]);
    assert_eq!(found(&directory, "bee@acme").await, ["Bob Bee", "Bob_Bee"]);
    assert!(found(&directory, "zoe").await.is_empty());
}

#[tokio::test]
async fn lists_and_counts_by_status() {
    let directory = staff(&["Ann", "Bob", "Cem", "Dan"]).await;
    sqlx::query("UPDATE users SET invited = 1 WHERE name IN ('Ann', 'Bob')")
        .execute(directory.store.writer())
        .await
        .unwrap();
    let all = Find {
        limit: 9,
        ..Find::default()
    };
    let people = directory.people(&all).await.unwrap().items;
    for invited_or_not in [&people[1], &people[2]] {
        let block = block(BlockSource::Admin, false);
        let user = &invited_or_not.user;
        assert!(directory.block(user, &block, &admin()).await.unwrap());
    }
    for (status, expected) in [
        (Status::Invited, &["Ann"][..]),
        (Status::Active, &["Dan"]),
        (Status::Deactivated, &["Bob", "Cem"]),
    ] {
        let find = Find {
            status: Some(status),
            ..all
        };
        let page = directory.people(&find).await.unwrap();
        let names: Vec<_> = page
            .items
            .iter()
            .filter_map(|one| one.name.as_deref())
            .collect();
        assert_eq!(names, expected);
        assert_eq!(page.total, expected.len() as u64);
        assert!(page.items.iter().all(|one| one.status == status));
    }
    let counts = Counts {
        users: 4,
        invited: 1,
        deactivated: 2,
    };
    assert_eq!(directory.counts().await.unwrap(), counts);
}

#[tokio::test]
async fn what_is_said_last_is_shown_and_what_is_left_out_stays() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann Aye", "ann@acme.example").await;
    let later = Attributes {
        given_name: Some("Anna".to_owned()),
        family_name: Some("Aye".to_owned()),
        username: Some("anna".to_owned()),
        ..Attributes::default()
    };
    let subject = subject("acme", "Ann Aye");
    directory
        .admit(&subject, &later, None, at(5))
        .await
        .unwrap();
    let profile = directory.profile(&user).await.unwrap().unwrap();
    assert_eq!(profile.summary.name.as_deref(), Some("Anna Aye"));
    assert_eq!(profile.summary.email.as_deref(), Some("ann@acme.example"));
    assert_eq!(profile.summary.username.as_deref(), Some("anna"));
    assert_eq!(profile.summary.signed_in_at, Some(at(5)));
    assert_eq!(profile.subjects[0].attributes, later);
    assert_eq!(
        found(&directory, "anna aye ann@acme.example anna").await,
        ["Anna Aye"]
    );
}

#[tokio::test]
async fn a_sign_in_ends_the_invitation() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann", "ann@acme.example").await;
    sqlx::query("UPDATE users SET invited = 1, signed_in_at = 0")
        .execute(directory.store.writer())
        .await
        .unwrap();
    let profile = directory.profile(&user).await.unwrap().unwrap();
    assert_eq!(profile.summary.status, Status::Invited);
    assert_eq!(profile.summary.signed_in_at, None);
    sign_in(&directory, "Ann", "ann@acme.example").await;
    let profile = directory.profile(&user).await.unwrap().unwrap();
    assert_eq!(profile.summary.status, Status::Active);
}

#[tokio::test]
async fn the_latest_person_is_seen_through_the_subject_used_last_also_when_deactivated() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann", "ann@acme.example").await;
    sqlx::query(
        "INSERT INTO subjects (idp, issuer, format, value, protocol, user_id, attributes, created_at, \
         signed_in_at) VALUES ('globex', '', '', '7', 'saml', $1, '{\"groups\":[\"staff\"]}', 1, $2)",
    )
    .bind(user.as_str())
    .bind(at(9).as_second())
    .execute(directory.store.writer())
    .await
    .unwrap();
    let (person, active) = directory.latest_person(&user).await.unwrap().unwrap();
    assert_eq!(person.subject.idp.as_str(), "globex");
    assert_eq!(person.attributes.groups, ["staff"]);
    assert!(active);
    directory
        .block(&user, &block(BlockSource::Admin, false), &admin())
        .await
        .unwrap();
    let (_, active) = directory.latest_person(&user).await.unwrap().unwrap();
    assert!(!active);
    let nobody = UserId::new("usr_nobody");
    assert!(directory.latest_person(&nobody).await.unwrap().is_none());
    assert!(directory.profile(&nobody).await.unwrap().is_none());
}

#[tokio::test]
async fn a_block_lifts_only_its_own_source() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann", "ann@acme.example").await;
    for source in [BlockSource::Admin, scim()] {
        let block = block(source, false);
        assert!(directory.block(&user, &block, &admin()).await.unwrap());
        assert!(!directory.block(&user, &block, &admin()).await.unwrap());
    }
    let other = BlockSource::Scim(IdpId::new("globex"));
    let unblock = async |source: &BlockSource| {
        let done = directory.unblock(&user, source, &admin(), at(2)).await;
        let (_, active) = directory.latest_person(&user).await.unwrap().unwrap();
        (done.unwrap(), active)
    };
    assert_eq!(unblock(&other).await, (false, false));
    assert_eq!(unblock(&BlockSource::Admin).await, (true, false));
    assert_eq!(unblock(&BlockSource::Admin).await, (false, false));
    assert_eq!(unblock(&scim()).await, (true, true));
    assert_eq!(lines(&directory).await.len(), 4, "one line for each change");
    assert_eq!(marks(&directory).await, 4, "and one mark");
}

#[tokio::test]
async fn a_deactivated_user_is_refused_with_the_source_scim_before_an_admin() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann", "ann@acme.example").await;
    let refused_by = async || {
        let (subject, attributes) = (subject("acme", "Ann"), Attributes::default());
        match directory.admit(&subject, &attributes, None, at(3)).await {
            Err(AdmitError::Deactivated { by, .. }) => by,
            other => unreachable!("{other:?}"),
        }
    };
    directory
        .block(&user, &block(BlockSource::Admin, false), &admin())
        .await
        .unwrap();
    assert_eq!(refused_by().await, Some(BlockSource::Admin));
    directory
        .block(&user, &block(scim(), true), &admin())
        .await
        .unwrap();
    assert_eq!(refused_by().await, Some(scim()));
    let profile = directory.profile(&user).await.unwrap().unwrap();
    assert_eq!(profile.blocks.len(), 2);
    assert_eq!(profile.summary.status, Status::Deactivated);
}

#[tokio::test]
async fn switched_off_and_then_deleted_is_a_change() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann", "ann@acme.example").await;
    for deleted in [false, true] {
        let block = block(scim(), deleted);
        assert!(directory.block(&user, &block, &admin()).await.unwrap());
    }
    let profile = directory.profile(&user).await.unwrap().unwrap();
    assert_eq!(profile.blocks, [block(scim(), true)]);
    let nobody = UserId::new("usr_nobody");
    let (block, by) = (block(scim(), false), admin());
    assert!(!directory.block(&nobody, &block, &by).await.unwrap());
}

#[tokio::test]
async fn roles_of_an_admin_are_replaced_in_one_app_and_those_of_the_invitation_stay() {
    let directory = memory().await;
    let user = sign_in(&directory, "Ann", "ann@acme.example").await;
    sqlx::query(
        "INSERT INTO grants (user_id, app, role, source, given_by, given_at) \
         VALUES ($1, 'wiki', 'viewer', 'invitation', 'system', 0)",
    )
    .bind(user.as_str())
    .execute(directory.store.writer())
    .await
    .unwrap();
    let (wiki, crm) = (AppId::new("wiki"), AppId::new("crm"));
    let set = async |app: &AppId, roles: &[&str]| {
        let roles: Vec<Role> = roles.iter().map(|role| Role::new(*role)).collect();
        let set = directory
            .set_roles(&user, app, &roles, &admin(), at(2))
            .await;
        set.unwrap();
        let grants = directory.profile(&user).await.unwrap().unwrap().grants;
        let shown = grants.into_iter().map(|grant| {
            let role = grant.role.map(|role| role.to_string()).unwrap_or_default();
            format!("{} {role} {}", grant.app, grant.source.as_str())
        });
        shown.collect::<Vec<_>>()
    };
    set(&crm, &["admin"]).await;
    set(&wiki, &["editor", "admin", "editor"]).await;
    let after = set(&wiki, &["editor"]).await;
    let expected = [
        "crm admin admin",
        "wiki editor admin",
        "wiki viewer invitation",
    ];
    assert_eq!(after, expected);
    set(&wiki, &["editor"]).await;
    let after = set(&wiki, &[]).await;
    assert_eq!(after, ["crm admin admin", "wiki viewer invitation"]);
    let lines = lines(&directory).await;
    assert_eq!(lines.len(), 4, "what changes nothing is no line");
    assert_eq!(lines[2].0, "roles");
    let details: serde_json::Value = serde_json::from_str(&lines[2].1).unwrap();
    assert_eq!(details["before"], serde_json::json!(["admin", "editor"]));
    assert_eq!(details["after"], serde_json::json!(["editor"]));
    assert_eq!(marks(&directory).await, 4);
    assert_eq!(GrantSource::from_text("admin"), Some(GrantSource::Admin));
}
