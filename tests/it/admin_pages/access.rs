//! Who gets in, and what a change needs.

use usher::demo::idp::{Fault, TokenFault};

use super::*;
use crate::support::company::{ORIGIN, is_page};

const PAGES: [&str; 6] = [
    "/",
    "/people",
    "/people/usr_1",
    "/identity-providers",
    "/roles",
    "/nothing",
];

#[tokio::test]
async fn nobody_gets_a_page_without_a_session_at_this_origin() {
    let company = company().await;
    let (app_browser, _) = company.signed_in("bob", "/").await;
    for path in PAGES {
        let mut browser = browser(&company);
        let cookie = app_browser.cookie("__Host-usher").unwrap();
        for planted in [false, true] {
            if planted {
                browser.plant("usher.test", COOKIE, &cookie);
            }
            let answer = get(&mut browser, path).await;
            assert_eq!(answer.status, 302, "{path}");
            let to = answer.header("location").unwrap();
            assert!(
                to.starts_with(&format!("{ADMIN_ORIGIN}/_usher/sign-in?return_to=")),
                "{to}"
            );
        }
    }
    let posted = post_with(
        &mut browser(&company),
        "/identity-providers/acme/switch",
        &FROM_HERE,
        &[("on", "no")],
    )
    .await;
    assert_eq!(posted.status, 401);
}

#[tokio::test]
async fn somebody_outside_the_groups_is_told_so_and_sees_nothing() {
    let company = company().await;
    let (mut alice, end) = signed_in(&company, "alice", "/").await;
    assert!(
        is_page(&end.answer, 403, "for administrators"),
        "{}",
        end.answer.text()
    );
    for path in PAGES {
        assert_eq!(get(&mut alice, path).await.status, 403, "{path}");
    }
    let mut bob = bob(&company).await;
    let token = token_of(&mut bob).await;
    let fields = [("csrf", token.as_str()), ("on", "no")];
    let answer = post_with(
        &mut alice,
        "/identity-providers/acme/switch",
        &FROM_HERE,
        &fields,
    )
    .await;
    assert_eq!(answer.status, 403);
    assert!(
        text(&mut bob, "/identity-providers/acme")
            .await
            .contains("sign-in is on")
    );
}

#[tokio::test]
async fn every_answer_is_closed_to_other_origins_and_kept_by_nobody() {
    let company = company().await;
    let mut bob = bob(&company).await;
    for path in ["/roles", "/people", "/nothing"] {
        let answer = get(&mut bob, path).await;
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name).as_deref(), Some(value), "{path} {name}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains("script-src"),
            "{policy}"
        );
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let page = get(&mut bob, "/people").await;
    assert_eq!(
        page.header("referrer-policy").as_deref(),
        Some("no-referrer")
    );
    assert!(!page.text().contains("<script"));
}

#[tokio::test]
async fn a_change_needs_the_token_of_this_very_session_and_our_own_page() {
    let company = company().await;
    let mut bob = bob(&company).await;
    let token = token_of(&mut bob).await;
    let path = "/identity-providers/acme/switch";
    // A second session of the same admin has tokens of its own.
    let (mut other, _) = signed_in(&company, "bob", "/roles").await;
    let others = token_of(&mut other).await;
    let mut changed = token.clone().into_bytes();
    let last = changed.len() - 5;
    changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for wrong in ["", "x", &others, &changed] {
        let fields = [("csrf", wrong), ("on", "no")];
        let answer = post_with(&mut bob, path, &FROM_HERE, &fields).await;
        assert!(is_page(&answer, 403, "Nothing was changed"), "{wrong}");
    }
    assert_eq!(
        post_with(&mut bob, path, &FROM_HERE, &[("on", "no")])
            .await
            .status,
        403
    );
    let fields = [("csrf", token.as_str()), ("on", "no")];
    for headers in [
        &[][..],
        &[("Origin", "null")],
        &[("Origin", ORIGIN)],
        &[("Origin", "https://evil.test")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", ADMIN_ORIGIN)],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "null")],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", ORIGIN)],
    ] {
        let answer = post_with(&mut bob, path, headers, &fields).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    assert!(
        text(&mut bob, "/identity-providers/acme")
            .await
            .contains("sign-in is on")
    );
    let right = post_with(&mut bob, path, &[("Origin", ADMIN_ORIGIN)], &fields).await;
    assert_eq!(right.status, 303, "{}", right.text());
    assert!(
        text(&mut bob, "/identity-providers/acme")
            .await
            .contains("sign-in is off")
    );
}

#[tokio::test]
async fn a_get_changes_nothing() {
    let company = company().await;
    let mut bob = bob(&company).await;
    let token = token_of(&mut bob).await;
    for path in [
        "/identity-providers/acme/switch",
        "/people/usr_1/deactivate",
    ] {
        let answer = get(&mut bob, &format!("{path}?csrf={token}&on=no&why=x")).await;
        assert!(
            [404, 405].contains(&answer.status),
            "{path} {}",
            answer.status
        );
    }
    assert!(
        text(&mut bob, "/identity-providers/acme")
            .await
            .contains("sign-in is on")
    );
}

#[tokio::test]
async fn after_a_quarter_of_an_hour_a_change_needs_a_new_sign_in() {
    let company = company().await;
    let old = TokenFault::Time("auth_time".to_owned(), -3600);
    company.idp.always(Fault::IdToken(old));
    let mut bob = bob(&company).await;
    let page = text(&mut bob, "/identity-providers/acme").await;
    assert!(page.contains("Sign in anew"), "{page}");
    let fields = [("csrf", token(&page)), ("on", "no".to_owned())];
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = post_with(
        &mut bob,
        "/identity-providers/acme/switch",
        &FROM_HERE,
        &fields,
    )
    .await;
    assert!(is_page(&answer, 403, "Sign in anew"), "{}", answer.text());
    // The page leads to a sign-in that the IdP cannot answer from its own session.
    let anew = "/_usher/sign-in/acme?return_to=%2Fidentity-providers%2Facme&max_age=0";
    assert!(
        answer.text().contains(&anew.replace('&', "&#38;"))
            || answer.text().contains(&anew.replace('&', "&amp;")),
        "{}",
        answer.text()
    );
    let end = bob.follow(&url(anew), |_| false, 12).await.unwrap();
    assert_eq!(
        company.idp.last_authorize_param("max_age").as_deref(),
        Some("0")
    );
    assert_eq!(
        company.idp.last_authorize_param("prompt").as_deref(),
        Some("login")
    );
    assert!(
        is_page(&end.answer, 403, "did not ask you to sign in anew"),
        "{}",
        end.answer.text()
    );
    company.idp.clear_faults();
    let end = bob.follow(&url(anew), |_| false, 12).await.unwrap();
    assert_eq!(
        (end.answer.status, end.url.path()),
        (200, "/identity-providers/acme")
    );
    let answer = post(&mut bob, "/identity-providers/acme/switch", &[("on", "no")]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
}

#[tokio::test]
async fn an_idp_that_does_not_say_when_cannot_confirm_a_new_sign_in() {
    let company = company().await;
    let missing = TokenFault::RemoveClaim("auth_time".to_owned());
    company.idp.always(Fault::IdToken(missing));
    let mut bob = browser(&company);
    company.idp.sign_in_as(Some("bob"));
    let end = bob
        .follow(&url("/_usher/sign-in/acme?max_age=0"), |_| false, 12)
        .await
        .unwrap();
    assert_eq!(end.answer.status, 403, "{}", end.answer.text());
    assert_eq!(bob.cookie(COOKIE), None);
}

#[tokio::test]
async fn the_pages_are_at_their_own_host_alone() {
    let company = company().await;
    let mut bob = bob(&company).await;
    let cookie = bob.cookie(COOKIE).unwrap();
    bob.plant("wiki.test", COOKIE, &cookie);
    let answer = bob
        .open(&Url::parse(ORIGIN).unwrap().join("/people").unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status, 421, "{}", answer.text());
    // At the listener of the apps, the session of the admin pages is none.
    let mut public = company.browser();
    public.plant("wiki.test", COOKIE, &cookie);
    let me = public
        .open(&Url::parse(ORIGIN).unwrap().join("/_usher/me").unwrap())
        .await
        .unwrap();
    assert_eq!(me.status, 401);
    public.plant("usher.test", COOKIE, &cookie);
    assert_eq!(public.open(&url("/people")).await.unwrap().status, 421);
}
