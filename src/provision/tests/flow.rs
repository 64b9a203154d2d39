//! Created at the first visit, updated on changes, refused and asked again.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::json;

use super::app_double::{Call, says};
use super::*;

/// As the app verifies: any one of the signatures is enough.
fn is_signed_by(call: &Call, secret: &[u8]) -> bool {
    let signed = format!(
        "{}.{}.{}",
        call.id(),
        call.header("webhook-timestamp"),
        call.text
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    call.header("webhook-signature").split(' ').any(|one| {
        let tag = STANDARD.decode(one.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, signed.as_bytes(), &tag).is_ok()
    })
}

#[tokio::test]
async fn tells_the_app_who_visits_first_signed_with_every_secret() {
    let house = house().await;
    house.double.answer([says(201, r#"{"account":"42"}"#)]);
    house.visit().await.unwrap();
    let calls = house.double.calls();
    let [call] = calls.as_slice() else {
        panic!("{} calls", calls.len())
    };
    assert_eq!(call.header("content-type"), "application/json");
    assert!(call.id().starts_with("evt_"));
    assert!(is_signed_by(call, &NEW_SECRET) && is_signed_by(call, &OLD_SECRET));
    assert!(!is_signed_by(call, &[3; 24]));
    let sent: i64 = call.header("webhook-timestamp").parse().unwrap();
    assert!((0..3).contains(&(sent - now().as_second())), "{sent}");
    assert_eq!(
        call.body(),
        json!({
            "type": "user.created",
            "timestamp": "2027-01-15T08:00:00Z",
            "data": {
                "app": "wiki",
                "user": {
                    "id": house.person.user.as_str(),
                    "email": "ann@acme.example",
                    "email_verified": true,
                    "name": "Ann Example",
                    "given_name": null,
                    "family_name": null,
                    "username": "ann",
                    "groups": ["engineering", "staff"],
                    "roles": ["editor"],
                    "active": true,
                },
                "identity": {
                    "idp": "acme",
                    "protocol": "oidc",
                    "issuer": "https://login.acme.example",
                    "subject": "sub-1",
                },
                "previous": {},
                "account": null,
            },
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_first_visits_at_once_ask_once() {
    let house = Arc::new(house().await);
    let mut slow = says(201, r#"{"account":"42"}"#);
    slow.after = std::time::Duration::from_millis(100);
    house.double.answer([slow]);
    let visits = (0..50).map(|turn| {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            // Each with the person as it was before anybody asked.
            let occasion = if turn % 2 == 0 {
                Occasion::SignIn
            } else {
                Occasion::Visit
            };
            house
                .provisioner
                .ensure(&house.app, &house.person, occasion, now())
                .await
        })
    });
    for outcome in join_all(visits).await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(house.double.calls().len(), 1);
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("42"));
    assert_eq!(house.provisioner.turns.len(), 0, "nothing is left behind");
}

#[tokio::test]
async fn a_change_is_told_at_the_next_sign_in_with_the_old_values() {
    let house = house().await;
    house
        .double
        .answer([says(201, r#"{"account":"42"}"#), says(204, "")]);
    house.visit().await.unwrap();
    house
        .change(|ann| {
            ann.name = Some("Ann Married".to_owned());
            ann.groups = vec!["staff".to_owned(), "admins".to_owned()];
        })
        .await;
    house.visit().await.unwrap();
    assert_eq!(house.double.calls().len(), 1, "not at a visit");
    house.sign_in().await.unwrap();
    house.sign_in().await.unwrap();
    let calls = house.double.calls();
    assert_eq!(calls.len(), 2, "told once");
    let data = &calls[1].body()["data"];
    assert_eq!(calls[1].kind(), "user.updated");
    assert_ne!(calls[1].id(), calls[0].id());
    assert_eq!(data["account"], "42");
    assert_eq!(data["user"]["roles"], json!(["admin"]));
    assert_eq!(
        data["previous"],
        json!({
            "name": "Ann Example",
            "groups": ["engineering", "staff"],
            "roles": ["editor"],
        })
    );
    let account = house.account().await.unwrap();
    assert_eq!(account.id.as_deref(), Some("42"), "204 leaves it");
}

#[tokio::test]
async fn the_order_of_groups_is_no_change() {
    let house = house().await;
    house.visit().await.unwrap();
    house.change(|ann| ann.groups.reverse()).await;
    house
        .change(|ann| ann.given_name = Some("Ann".to_owned()))
        .await;
    house.sign_in().await.unwrap();
    assert_eq!(house.double.calls().len(), 1);
}

#[tokio::test]
async fn a_refusal_stands_until_the_next_sign_in() {
    let house = house().await;
    let no = says(403, r#"{"reason":"no_seat","user_message":"Ask Ann."}"#);
    house.double.answer([no.clone(), no, says(201, "")]);
    for (asked, occasion) in [
        (1, Occasion::SignIn),
        (1, Occasion::Visit),
        (2, Occasion::SignIn),
        (2, Occasion::Visit),
    ] {
        let refusal = house.ensure(occasion).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::AccountRefused);
        assert_eq!(refusal.user_message.as_deref(), Some("Ask Ann."));
        assert!(refusal.cause.contains("no_seat"));
        assert_eq!(house.double.calls().len(), asked);
    }
    house.sign_in().await.unwrap();
    house.visit().await.unwrap();
    let calls = house.double.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.kind() == "user.created"));
}

#[tokio::test]
async fn an_account_that_is_closed_later_is_closed_here_too() {
    let house = house().await;
    house
        .double
        .answer([says(201, r#"{"account":"42"}"#), says(403, "")]);
    house.visit().await.unwrap();
    house
        .change(|ann| ann.name = Some("Other".to_owned()))
        .await;
    let refusal = house.sign_in().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::AccountRefused);
    assert!(house.visit().await.is_err());
    house.double.answer([says(200, "")]);
    house.sign_in().await.unwrap();
    let last = house.double.calls().pop().unwrap();
    assert_eq!(last.kind(), "user.updated", "the app knows it");
}

#[tokio::test]
async fn without_a_callback_the_account_is_usher_s_word() {
    let house = house_with(AppDouble::start().await, wiki(None)).await;
    house.visit().await.unwrap();
    let account = house.account().await.unwrap();
    assert_eq!((account.id, account.state), (None, AccountState::Open));
}

#[tokio::test]
async fn only_who_was_invited_gets_in_where_the_mode_says_so() {
    let double = AppDouble::start().await;
    let mut app = wiki(Some(callback(&double.url)));
    app.provisioning.as_mut().unwrap().mode = ProvisioningMode::Invited;
    let house = house_with(double, app).await;
    let refusal = house.sign_in().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::NoAccount);
    assert_eq!(house.account().await, None);
    assert!(house.double.calls().is_empty());
}

#[tokio::test]
async fn nothing_is_done_where_provisioning_is_off() {
    let double = AppDouble::start().await;
    let mut app = wiki(Some(callback(&double.url)));
    app.provisioning.as_mut().unwrap().mode = ProvisioningMode::Off;
    let house = house_with(double, app).await;
    house.sign_in().await.unwrap();
    assert_eq!(house.account().await, None);
    assert!(house.double.calls().is_empty());
}

#[tokio::test]
async fn without_a_role_or_an_email_the_app_is_not_asked() {
    let double = AppDouble::start().await;
    let mut app = wiki(Some(callback(&double.url)));
    app.provisioning.as_mut().unwrap().default_role = None;
    let house = house_with(double, app).await;
    house.change(|ann| ann.email = None).await;
    let refusal = house.visit().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::EmailMissing);
    house.change(|ann| ann.groups.clear()).await;
    let refusal = house.visit().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::NoRole);
    assert!(house.double.calls().is_empty());
}
