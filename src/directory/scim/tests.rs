#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::Timestamp;
use serde_json::{Map, json};

use super::*;
use crate::audit::{Actor, By};
use crate::config::StoreConfig;
use crate::directory::{Block, BlockSource, Directory};
use crate::identity::{IdpId, Protocol};
use crate::store::Store;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn acme() -> IdpId {
    IdpId::new("acme")
}

async fn directory() -> Directory {
    Directory::over(Store::open(&StoreConfig::Memory).await.unwrap())
}

async fn write(directory: &Directory) -> Write {
    let by = By {
        actor: Actor::Scim(acme()),
        ..By::system()
    };
    directory.scim_write(&acme(), by, now()).await.unwrap()
}

/// A user with that name and address, matched by `key`.
fn data(name: &str, email: &str, key: Option<&str>) -> UserData {
    let mut document = Map::new();
    document.insert("userName".to_owned(), name.into());
    UserData {
        user_name: name.to_owned(),
        external_id: key.map(str::to_owned),
        match_value: key.map(str::to_owned),
        by_subject: true,
        active: true,
        attributes: Attributes {
            email: Some(email.to_owned()),
            username: Some(name.to_owned()),
            ..Attributes::default()
        },
        document,
    }
}

async fn make(directory: &Directory, data: &UserData) -> Result<UserRow, WriteError> {
    let mut write = write(directory).await;
    let row = write.create_user(data).await?;
    assert_eq!(write.commit().await?, std::slice::from_ref(&row.user));
    Ok(row)
}

async fn delete(directory: &Directory, row: &UserRow) {
    let mut write = write(directory).await;
    write.delete_user(row).await.unwrap();
    write.commit().await.unwrap();
}

fn subject(value: &str) -> Subject {
    Subject {
        idp: acme(),
        protocol: Protocol::Oidc,
        issuer: "https://acme.example".to_owned(),
        format: String::new(),
        value: value.to_owned(),
    }
}

async fn sign_in(
    directory: &Directory,
    value: &str,
    email: &str,
    groups: &[&str],
) -> Result<(UserId, Vec<String>), AdmitError> {
    let attributes = Attributes {
        email: Some(email.to_owned()),
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        directory_key: Some(value.to_owned()),
        ..Attributes::default()
    };
    let person = directory
        .admit(&subject(value), &attributes, None, now())
        .await?;
    Ok((person.user, person.attributes.groups))
}

#[tokio::test]
async fn the_name_of_who_was_deleted_may_go_to_somebody_else() {
    let directory = directory().await;
    let first = make(&directory, &data("ann", "ann@x.example", Some("1")))
        .await
        .unwrap();
    delete(&directory, &first).await;
    let other = make(&directory, &data("ann", "ann@x.example", Some("2")))
        .await
        .unwrap();
    assert_ne!(
        other.user, first.user,
        "another value to match by is another person"
    );
    delete(&directory, &other).await;
    let back = make(&directory, &data("anna", "anna@x.example", Some("2")))
        .await
        .unwrap();
    assert_eq!(back.user, other.user);
    let refused = sign_in(&directory, "1", "ann@x.example", &[]).await;
    assert!(
        matches!(refused, Err(AdmitError::Deactivated { .. })),
        "{refused:?}"
    );
    assert_eq!(
        sign_in(&directory, "2", "anna@x.example", &[])
            .await
            .unwrap()
            .0,
        other.user
    );
}

#[tokio::test]
async fn who_has_no_value_to_match_by_comes_back_by_name() {
    let directory = directory().await;
    let first = make(&directory, &data("ann", "ann@x.example", None))
        .await
        .unwrap();
    delete(&directory, &first).await;
    let back = make(&directory, &data("ANN", "ann@x.example", Some("1")))
        .await
        .unwrap();
    assert_eq!(back.user, first.user);
}

#[tokio::test]
async fn scim_lifts_its_own_word_alone() {
    let directory = directory().await;
    let ann = make(&directory, &data("ann", "ann@x.example", Some("1")))
        .await
        .unwrap();
    let block = Block {
        source: BlockSource::Admin,
        deleted: false,
        why: "left".to_owned(),
        at: now(),
    };
    assert!(
        directory
            .block(&ann.user, &block, &By::system())
            .await
            .unwrap()
    );
    for active in [false, true] {
        let mut changed = data("ann", "ann@x.example", Some("1"));
        changed.active = active;
        changed.document.insert("active".to_owned(), active.into());
        let former = directory
            .scim_user(&acme(), &ann.id)
            .await
            .unwrap()
            .unwrap();
        let mut write = write(&directory).await;
        write.update_user(&former, &changed).await.unwrap();
        write.commit().await.unwrap();
        assert!(!directory.is_active(&ann.user).await.unwrap());
    }
    directory
        .unblock(&ann.user, &BlockSource::Admin, &By::system(), now())
        .await
        .unwrap();
    assert!(directory.is_active(&ann.user).await.unwrap());
}

#[tokio::test]
async fn groups_that_scim_manages_count_by_membership() {
    let directory = directory().await;
    let ann = make(&directory, &data("ann", "ann@x.example", Some("1")))
        .await
        .unwrap();
    let mut write = write(&directory).await;
    for (name, external_id, members) in [
        ("Staff", None, vec![ann.id.clone()]),
        ("Admins", Some("guid-1"), Vec::new()),
        ("Sales", Some("guid-2"), vec![ann.id.clone()]),
    ] {
        let group = GroupData {
            display_name: name.to_owned(),
            external_id: external_id.map(str::to_owned),
            document: Map::new(),
        };
        write.create_group(&group, members).await.unwrap();
    }
    write.commit().await.unwrap();
    let said = ["admins", "guid-1", "guid-2", "Staff", "elsewhere"];
    let (user, groups) = sign_in(&directory, "1", "ann@x.example", &said)
        .await
        .unwrap();
    assert_eq!(user, ann.user);
    assert_eq!(groups, ["guid-2", "Staff", "elsewhere", "Sales"]);
    // Somebody whom SCIM does not know is in none of its groups.
    let (_, groups) = sign_in(&directory, "9", "bob@x.example", &said)
        .await
        .unwrap();
    assert_eq!(groups, ["elsewhere"]);
}

#[tokio::test]
async fn two_resources_are_never_one_person() {
    let directory = directory().await;
    make(&directory, &data("ann", "ann@x.example", Some("1")))
        .await
        .unwrap();
    for (name, email, key) in [
        ("ANN", "other@x.example", Some("2")),
        ("other", "ANN@x.example", Some("2")),
        ("other", "other@x.example", Some("1")),
        ("ann@x.example", "other@x.example", Some("2")),
    ] {
        let refused = make(&directory, &data(name, email, key)).await;
        assert!(
            matches!(refused, Err(WriteError::Taken(_))),
            "{name} {email} {key:?}"
        );
    }
    assert_eq!(directory.scim_user_count(&acme()).await.unwrap(), 1);
    assert_eq!(
        directory
            .scim_user_count(&IdpId::new("globex"))
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn every_write_leaves_its_line_and_its_mark() {
    let directory = directory().await;
    let ann = make(&directory, &data("ann", "ann@x.example", Some("1")))
        .await
        .unwrap();
    delete(&directory, &ann).await;
    let mut on = directory.store.pool.acquire().await.unwrap();
    let lines: Vec<(String, String)> =
        sqlx::query_as("SELECT actor, details FROM audit WHERE action = 'scim' ORDER BY number")
            .fetch_all(&mut *on)
            .await
            .unwrap();
    let ops: Vec<_> = lines
        .iter()
        .map(|(actor, details)| {
            assert_eq!(actor, "scim:acme");
            let details: serde_json::Value = serde_json::from_str(details).unwrap();
            details["op"].clone()
        })
        .collect();
    assert_eq!(ops, [json!("made"), json!("deleted")]);
    let marked: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM changes WHERE user_id = $1")
        .bind(ann.user.as_str())
        .fetch_one(&mut *on)
        .await
        .unwrap();
    assert_eq!(marked, 1);
}
