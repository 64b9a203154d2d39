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

async fn write_of(directory: &Directory, idp: &str) -> Write {
    let idp = IdpId::new(idp);
    let by = By {
        actor: Actor::Scim(idp.clone()),
        ..By::system()
    };
    directory.scim_write(&idp, by, now()).await.unwrap()
}

async fn make_at(directory: &Directory, idp: &str, data: &UserData) -> Result<UserRow, WriteError> {
    let mut write = write_of(directory, idp).await;
    let row = write.create_user(data).await?;
    write.commit().await?;
    Ok(row)
}

/// Signs in with a value to match by that is not the subject, or with none.
async fn sign_in_at(
    directory: &Directory,
    idp: &str,
    value: &str,
    key: Option<&str>,
) -> Result<UserId, AdmitError> {
    let subject = Subject {
        idp: IdpId::new(idp),
        ..subject(value)
    };
    let attributes = Attributes {
        email: Some(format!("{idp}-{value}@x.example")),
        directory_key: key.map(str::to_owned),
        ..Attributes::default()
    };
    let admitted = directory.admit(&subject, &attributes, None, now()).await;
    admitted.map(|person| person.user)
}

fn group(name: &str, external_id: Option<&str>) -> GroupData {
    GroupData {
        display_name: name.to_owned(),
        external_id: external_id.map(str::to_owned),
        document: Map::new(),
    }
}

#[tokio::test]
async fn the_resources_of_a_tenant_are_nothing_to_another() {
    let directory = directory().await;
    let mut ann = data("ann", "ann@x.example", Some("1"));
    let emails = json!([{ "value": "Ann@X.example" }]);
    ann.document.insert("emails".to_owned(), emails);
    let ann = [make(&directory, &ann).await.unwrap().id];
    let mut write = write_of(&directory, "acme").await;
    let staff = group("Staff", Some("guid"));
    let staff = write.create_group(&staff, ann.to_vec()).await.unwrap();
    write.commit().await.unwrap();
    let staff = [staff.id];
    let text = str::to_owned;
    for (idp, found) in [("acme", 1), ("globex", 0)] {
        let idp = &IdpId::new(idp);
        for key in [
            UserKey::Id(ann[0].clone()),
            UserKey::UserName(text("ann")),
            UserKey::ExternalId(text("1")),
            UserKey::Email(text("ann@x.example")),
        ] {
            let rows = directory.scim_users_by(idp, &key).await.unwrap();
            assert_eq!(rows.len(), found, "{idp} {key:?}");
        }
        for key in [
            GroupKey::Id(staff[0].clone()),
            GroupKey::DisplayName(text("staff")),
            GroupKey::ExternalId(text("guid")),
            GroupKey::Member(ann[0].clone()),
        ] {
            let rows = directory.scim_groups_by(idp, &key).await.unwrap();
            assert_eq!(rows.len(), found, "{idp} {key:?}");
        }
        let counts = [
            directory.scim_user_count(idp).await.unwrap(),
            directory.scim_group_count(idp).await.unwrap(),
        ];
        assert_eq!(counts, [found as u64; 2], "{idp}");
        let start = (i64::MIN, "");
        let (users, groups) = ((UserOrder::Id, true), (GroupOrder::Id, true));
        let found_by_lists = [
            directory
                .scim_users_after(idp, start, 9)
                .await
                .unwrap()
                .len(),
            directory
                .scim_groups_after(idp, start, 9)
                .await
                .unwrap()
                .len(),
            directory
                .scim_user_page(idp, users, 0, 9)
                .await
                .unwrap()
                .len(),
            directory
                .scim_group_page(idp, groups, 0, 9)
                .await
                .unwrap()
                .len(),
            directory.scim_users_with(idp, &ann).await.unwrap().len(),
            directory.scim_groups_with(idp, &staff).await.unwrap().len(),
            directory.scim_groups_of(idp, &ann).await.unwrap().len(),
            directory.scim_members_of(idp, &staff).await.unwrap().len(),
        ];
        assert_eq!(found_by_lists, [found; 8], "{idp}");
    }
    // A group that acme manages says nothing of one of that name at globex, which manages others.
    let mut write = write_of(&directory, "globex").await;
    let other = write.create_group(&group("Other", None), Vec::new()).await;
    other.unwrap();
    write.commit().await.unwrap();
    let attributes = Attributes {
        groups: vec![text("Staff")],
        ..Attributes::default()
    };
    let elsewhere = Subject {
        idp: IdpId::new("globex"),
        ..subject("1")
    };
    let admitted = directory.admit(&elsewhere, &attributes, None, now()).await;
    assert_eq!(admitted.unwrap().attributes.groups, ["Staff"]);
}

#[tokio::test]
async fn whom_one_tenant_knows_or_deleted_is_nobody_at_another() {
    let directory = directory().await;
    let ann = make(&directory, &data("ann", "ann@x.example", Some("1")))
        .await
        .unwrap();
    let other = sign_in_at(&directory, "globex", "g1", Some("1")).await;
    assert_ne!(other.unwrap(), ann.user, "whom acme knows by that value");
    delete(&directory, &ann).await;
    let other = sign_in_at(&directory, "globex", "g2", Some("1")).await;
    assert_ne!(other.unwrap(), ann.user, "whom acme deleted");
    // The name of whom acme deleted is not globex's to give away.
    let taken = make_at(
        &directory,
        "globex",
        &data("ann", "new@x.example", Some("2")),
    )
    .await;
    assert!(matches!(taken, Err(WriteError::Taken(_))), "{taken:?}");
    let cat = make(&directory, &data("cat", "cat@x.example", Some("3")))
        .await
        .unwrap();
    delete(&directory, &cat).await;
    let by_key = sign_in_at(&directory, "acme", "5", Some("k5")).await;
    let by_subject = sign_in_at(&directory, "acme", "6", None).await;
    for (known, key) in [
        (cat.user, "3"),
        (by_key.unwrap(), "k5"),
        (by_subject.unwrap(), "6"),
    ] {
        let (name, email) = (format!("new{key}"), format!("new{key}@x.example"));
        let made = make_at(&directory, "globex", &data(&name, &email, Some(key))).await;
        assert_ne!(made.unwrap().user, known, "{key}");
    }
}

#[tokio::test]
async fn a_name_of_who_is_only_deactivated_stays_taken() {
    let directory = directory().await;
    let mut ann = data("ann", "ann@x.example", Some("1"));
    ann.active = false;
    make(&directory, &ann).await.unwrap();
    let taken = make(&directory, &data("bob", "ann@x.example", Some("2"))).await;
    assert!(matches!(taken, Err(WriteError::Taken(_))), "{taken:?}");
}

#[tokio::test]
async fn a_value_that_several_signed_in_with_is_nobodys() {
    let directory = directory().await;
    for value in ["1", "2"] {
        sign_in_at(&directory, "acme", value, Some("k"))
            .await
            .unwrap();
    }
    let refused = make(&directory, &data("ann", "ann@x.example", Some("k"))).await;
    assert!(matches!(refused, Err(WriteError::Taken(_))), "{refused:?}");
}

#[tokio::test]
async fn whoever_signed_in_is_taken_over_by_the_subject_only_where_that_is_the_key() {
    let directory = directory().await;
    let key = |value: &str| {
        let (name, email) = (format!("user{value}"), format!("user{value}@x.example"));
        data(&name, &email, Some(value))
    };
    let plain = sign_in_at(&directory, "acme", "7", None).await.unwrap();
    assert_eq!(make(&directory, &key("7")).await.unwrap().user, plain);
    // The values that are compared are those of an attribute.
    let other = sign_in_at(&directory, "acme", "8", None).await.unwrap();
    let by_attribute = UserData {
        by_subject: false,
        ..key("8")
    };
    assert_ne!(make(&directory, &by_attribute).await.unwrap().user, other);
    // The sign-in had another value to match by.
    let keyed = sign_in_at(&directory, "acme", "9", Some("k9"))
        .await
        .unwrap();
    assert_ne!(make(&directory, &key("9")).await.unwrap().user, keyed);
}

#[tokio::test]
async fn a_person_has_one_resource_though_the_value_to_match_by_changed() {
    let directory = directory().await;
    let user = sign_in_at(&directory, "acme", "1", Some("k1"))
        .await
        .unwrap();
    let row = make(&directory, &data("ann", "ann@x.example", Some("k1"))).await;
    assert_eq!(row.unwrap().user, user);
    sign_in_at(&directory, "acme", "1", Some("k2"))
        .await
        .unwrap();
    let second = make(&directory, &data("bob", "bob@x.example", Some("k2"))).await;
    assert!(matches!(second, Err(WriteError::Taken(_))), "{second:?}");
}

#[tokio::test]
async fn whom_scim_shut_out_is_out_also_with_a_subject_that_was_somebody_else() {
    let directory = directory().await;
    sign_in_at(&directory, "acme", "1", Some("k1"))
        .await
        .unwrap();
    let mut gone = data("ann", "ann@x.example", Some("k2"));
    gone.active = false;
    make(&directory, &gone).await.unwrap();
    let refused = sign_in_at(&directory, "acme", "1", Some("k2")).await;
    assert!(
        matches!(refused, Err(AdmitError::Deactivated { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn two_groups_never_have_one_name_whatever_its_case() {
    let directory = directory().await;
    let mut write = write_of(&directory, "acme").await;
    write
        .create_group(&group("Staff", None), Vec::new())
        .await
        .unwrap();
    let again = write.create_group(&group("STAFF", None), Vec::new()).await;
    assert!(matches!(again, Err(WriteError::Taken(_))), "{again:?}");
}
