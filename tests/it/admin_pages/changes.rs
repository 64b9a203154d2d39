//! What admins do to people.

use std::time::Duration;

use usher::demo::idp::TestUser;

use super::*;
use crate::support::company::{eventually, is_page, page};

#[tokio::test]
async fn hostile_names_are_text_everywhere() {
    let company = company().await;
    let name = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    let mut eve = TestUser::new("eve", name, &["engineering", "<b>group</b>"]);
    eve.username = "eve\"><script>alert(3)</script>".to_owned();
    company.idp.put_user(TestUser {
        username: "eve".to_owned(),
        ..eve.clone()
    });
    company.signed_in("eve", "/").await;
    let mut bob = bob(&company).await;
    let id = id_of(&mut bob, "alert").await;
    for path in [
        "/people?q=%22%3E%3Cscript%3Ealert(4)%3C/script%3E".to_owned(),
        "/people".to_owned(),
        format!("/people/{id}"),
        "/roles?idp=acme&groups=%3C%2Ftextarea%3E%3Cscript%3Ealert(5)%3C/script%3E".to_owned(),
        format!("/people/{id}?done=%3Cscript%3E"),
    ] {
        let page = text(&mut bob, &path).await;
        for tag in ["<script", "<img", "<b>group"] {
            assert!(!page.contains(tag), "{path}: {tag}");
        }
    }
}

#[tokio::test]
async fn a_role_that_a_group_gives_is_not_edited_even_by_a_forged_form() {
    let company = company().await;
    let (_, _) = company.signed_in("alice", "/").await;
    let mut bob = bob(&company).await;
    let alice = id_of(&mut bob, "alice").await;
    let page = text(&mut bob, &format!("/people/{alice}")).await;
    assert!(page.contains("Managed by the identity provider"), "{page}");
    assert!(!page.contains("value=\"admin\""), "{page}");
    let path = format!("/people/{alice}/roles");
    let fields = [("app", "wiki"), ("role", "admin")];
    let answer = post(&mut bob, &path, &fields).await;
    assert!(
        is_page(&answer, 409, "managed by the identity provider"),
        "{}",
        answer.text()
    );
    let again = text(&mut bob, &format!("/people/{alice}")).await;
    assert!(!again.contains(">admin<"), "{again}");
}

#[tokio::test]
async fn a_role_that_an_admin_gives_opens_the_app() {
    let company = company().await;
    let (mut nora, end) = company.signed_in("nora", "/").await;
    assert!(is_page(&end.answer, 403, "do not have a role"));
    let mut bob = bob(&company).await;
    let id = id_of(&mut bob, "nora").await;
    let path = format!("/people/{id}/roles");
    for wrong in [
        &[("app", "wiki"), ("role", "owner")][..],
        &[("app", "nothing"), ("role", "viewer")],
        &[("role", "viewer")],
    ] {
        assert_eq!(post(&mut bob, &path, wrong).await.status, 400, "{wrong:?}");
    }
    let answer = post(&mut bob, &path, &[("app", "wiki"), ("role", "viewer")]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let shown = text(&mut bob, &answer.header("location").unwrap()).await;
    assert!(
        shown.contains("by an admin") && shown.contains("The roles are saved"),
        "{shown}"
    );
    assert_eq!(nora.open(&page("/")).await.unwrap().status, 200);
    let answer = post(&mut bob, &path, &[("app", "wiki")]).await;
    assert_eq!(answer.status, 303);
    // No app is left that would let her in, so her session is over.
    assert_eq!(nora.open(&page("/")).await.unwrap().status, 302);
}

#[tokio::test]
async fn whoever_is_deactivated_is_out_and_may_come_back_when_reactivated() {
    let company = company().await;
    let (mut alice, _) = company.signed_in("alice", "/").await;
    let mut bob = bob(&company).await;
    let id = id_of(&mut bob, "alice").await;
    assert_eq!(
        post(
            &mut bob,
            &format!("/people/{id}/deactivate"),
            &[("why", "  ")]
        )
        .await
        .status,
        400
    );
    assert_eq!(alice.open(&page("/")).await.unwrap().status, 200);
    let answer = post(
        &mut bob,
        &format!("/people/{id}/deactivate"),
        &[("why", "left the company")],
    )
    .await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(alice.open(&page("/")).await.unwrap().status, 302);
    let shown = text(&mut bob, &format!("/people/{id}")).await;
    assert!(
        shown.contains("left the company") && shown.contains("Reactivate"),
        "{shown}"
    );
    let end = company.sign_in(&mut alice, "alice", "/").await;
    assert!(
        is_page(&end.answer, 403, "Your access has ended"),
        "{}",
        end.answer.text()
    );
    let answer = post(&mut bob, &format!("/people/{id}/reactivate"), &[]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let end = company.sign_in(&mut alice, "alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
}

#[tokio::test]
async fn one_session_ends_or_all_and_only_those_of_that_person() {
    let company = company().await;
    let (mut alice, _) = company.signed_in("alice", "/").await;
    let (mut phone, _) = company.signed_in("alice", "/").await;
    let (mut nora, _) = company.signed_in("nora", "/").await;
    let mut bob = bob(&company).await;
    let (alice_id, nora_id) = (
        id_of(&mut bob, "alice").await,
        id_of(&mut bob, "nora").await,
    );
    let shown = text(&mut bob, &format!("/people/{alice_id}")).await;
    let sids: Vec<String> = shown
        .split("name=\"sid\" value=\"ses_")
        .skip(1)
        .map(|rest| format!("ses_{}", rest.split('"').next().unwrap()))
        .collect();
    assert_eq!(sids.len(), 2, "{shown}");
    // A session of somebody else is not ended under a wrong name.
    post(
        &mut bob,
        &format!("/people/{nora_id}/sessions"),
        &[("sid", &sids[0])],
    )
    .await;
    assert_eq!(alice.open(&page("/")).await.unwrap().status, 200);
    assert_eq!(phone.open(&page("/")).await.unwrap().status, 200);
    post(
        &mut bob,
        &format!("/people/{alice_id}/sessions"),
        &[("sid", &sids[0])],
    )
    .await;
    let statuses = [
        alice.open(&page("/")).await.unwrap().status,
        phone.open(&page("/")).await.unwrap().status,
    ];
    assert!(
        statuses == [200, 302] || statuses == [302, 200],
        "{statuses:?}"
    );
    post(
        &mut bob,
        &format!("/people/{alice_id}/sessions"),
        &[("sid", "all")],
    )
    .await;
    assert_eq!(alice.open(&page("/")).await.unwrap().status, 302);
    assert_eq!(phone.open(&page("/")).await.unwrap().status, 302);
    assert_eq!(nora.open(&page("/")).await.unwrap().status, 403);
    eventually(Duration::from_secs(2), "the log says who did it", || {
        company.usher.log().contains("\"why\":\"admin\"")
    })
    .await;
}
