//! Identity providers: the switch, and test sign-ins.

use std::time::Duration;

use usher::demo::idp::{Fault, TokenFault};

use super::*;
use crate::support::company::{is_page, page};

/// The way out of the page that leads to the IdP.
fn way_out(page: &str) -> Url {
    let (_, rest) = page
        .split_once("content=\"0;url=")
        .unwrap_or_else(|| panic!("{page}"));
    let text = rest.split('"').next().unwrap();
    Url::parse(&text.replace("&#38;", "&").replace("&amp;", "&")).unwrap()
}

/// Begins a test and comes back from the IdP; gives where that ends.
async fn test_sign_in(company: &Company, admin: &mut Browser, username: &str) -> Followed {
    let begun = post(admin, "/identity-providers/acme/test", &[]).await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    company.idp.sign_in_as(Some(username));
    let to = way_out(&begun.text());
    admin.follow(&to, |_| false, 8).await.unwrap()
}

async fn switch(admin: &mut Browser, on: &str) {
    let answer = post(admin, "/identity-providers/acme/switch", &[("on", on)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

#[tokio::test]
async fn a_switch_holds_over_a_restart_until_the_file_says_something_new() {
    let mut company = company().await;
    let mut bob = bob(&company).await;
    let (mut alice, _) = company.signed_in("alice", "/").await;
    switch(&mut bob, "no").await;
    assert_eq!(alice.open(&page("/")).await.unwrap().status, 200);
    let (nobody, end) = company.signed_in("alice", "/").await;
    assert!(
        end.answer
            .text()
            .contains("Nobody can sign in here right now")
    );
    assert!(nobody.cookies.is_empty());
    let refused = company
        .browser()
        .open(&page("/_usher/sign-in/acme"))
        .await
        .unwrap();
    assert_eq!(refused.status, 404);
    company.usher.kill_and_restart().await.unwrap();
    bob.move_to(company.usher.admin().unwrap());
    let refused = company
        .browser()
        .open(&page("/_usher/sign-in/acme"))
        .await
        .unwrap();
    assert_eq!(refused.status, 404);
    let changed = company.config().replace("label: Acme", "label: Acme Inc");
    company.usher.restart_with(&changed, &[]).await.unwrap();
    let begun = company
        .browser()
        .open(&page("/_usher/sign-in/acme"))
        .await
        .unwrap();
    assert_eq!(begun.status, 302, "{}", begun.text());
}

#[tokio::test]
async fn a_switch_counts_at_once_and_over_a_reload() {
    let company = company().await;
    let mut bob = bob(&company).await;
    switch(&mut bob, "no").await;
    company
        .usher
        .reload_with(&format!("{}limits: {{ headers: 99 }}\n", company.config()));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let refused = company
        .browser()
        .open(&page("/_usher/sign-in/acme"))
        .await
        .unwrap();
    assert_eq!(refused.status, 404);
    switch(&mut bob, "yes").await;
    let begun = company
        .browser()
        .open(&page("/_usher/sign-in/acme"))
        .await
        .unwrap();
    assert_eq!(begun.status, 302);
}

#[tokio::test]
async fn a_test_shows_what_came_and_the_roles_and_makes_nothing() {
    let company = company().await;
    let mut bob = bob(&company).await;
    switch(&mut bob, "no").await;
    let cookie = bob.cookie(COOKIE);
    let end = test_sign_in(&company, &mut bob, "alice").await;
    assert_eq!(end.url.path(), "/identity-providers/acme/test");
    let shown = end.answer.text();
    for part in [
        "Every check passed",
        "sub-alice",
        "alice@example.com",
        "preferred_username",
        "engineering",
        "editor",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("eyJ"), "a token is shown: {shown}");
    assert_eq!(bob.cookie(COOKIE), cookie);
    assert!(
        text(&mut bob, "/people?q=alice")
            .await
            .contains("Nobody found")
    );
    assert!(company.callback.calls().is_empty());
    assert!(text(&mut bob, "/roles").await.contains("Bob"));
}

#[tokio::test]
async fn a_test_names_the_check_that_failed_with_both_sides() {
    let company = company().await;
    let mut bob = bob(&company).await;
    company.idp.next(Fault::IdToken(TokenFault::Claim(
        "aud".to_owned(),
        "somebody-else".into(),
    )));
    let end = test_sign_in(&company, &mut bob, "alice").await;
    let shown = end.answer.text();
    for part in ["failed", "aud", "somebody-else", "usher"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("eyJ"));
}

#[tokio::test]
async fn a_result_is_for_the_session_that_began_it_alone() {
    let company = company().await;
    let mut bob = bob(&company).await;
    let (mut other, _) = signed_in(&company, "bob", "/roles").await;
    let begun = post(&mut bob, "/identity-providers/acme/test", &[]).await;
    company.idp.sign_in_as(Some("alice"));
    let is_callback = |url: &Url| url.path().ends_with("/callback");
    let to = way_out(&begun.text());
    let callback = bob
        .follow(&to, is_callback, 8)
        .await
        .unwrap()
        .stopped_before
        .unwrap();
    // Without the session, or with another one of the same person, the answer is of no use.
    let session = bob.cookie(COOKIE).unwrap();
    for cookie in ["", &other.cookie(COOKIE).unwrap()] {
        let mut thief = bob.clone();
        thief.plant("usher.test", COOKIE, cookie);
        let refused = thief.open(&callback).await.unwrap();
        assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
    }
    bob.plant("usher.test", COOKIE, &session);
    let end = bob.follow(&callback, |_| false, 4).await.unwrap();
    assert!(
        end.answer.text().contains("sub-alice"),
        "{}",
        end.answer.text()
    );
    let nothing = text(&mut other, "/identity-providers/acme/test").await;
    assert!(nothing.contains("No result") && !nothing.contains("sub-alice"));
    // Used up.
    let again = bob.open(&callback).await.unwrap();
    assert_ne!(again.status, 200);
}
