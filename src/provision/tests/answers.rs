//! Each answer of the table.

use super::app_double::{Script, says};
use super::*;

/// What one answer makes of a first visit.
async fn first_visit(script: Script) -> (Result<(), Refusal>, House) {
    let house = house().await;
    house.double.answer([script]);
    let outcome = house.visit().await;
    (outcome, house)
}

#[tokio::test]
async fn lets_in_by_every_answer_that_says_so() {
    for (status, body, id) in [
        (200, r#"{"account":"42"}"#, Some("42")),
        (201, r#"{"account":42}"#, Some("42")),
        (200, "", None),
        (200, " \n", None),
        (201, "{}", None),
        (200, r#"{"allow":true,"account":null}"#, None),
        (204, "", None),
        (409, "", None),
        (409, "<h1>Conflict</h1>", None),
        (409, r#"{"account":"42"}"#, Some("42")),
    ] {
        let (outcome, house) = first_visit(says(status, body)).await;
        outcome.unwrap();
        let account = house.account().await.unwrap();
        assert_eq!(account.state, AccountState::Open, "{status} {body}");
        assert_eq!(account.id.as_deref(), id, "{status} {body}");
        house.visit().await.unwrap();
        assert_eq!(house.double.calls().len(), 1, "{status} {body}");
    }
}

#[tokio::test]
async fn refuses_by_403_whatever_its_body_and_by_allow_false() {
    let told = r#"{"reason":"no_seat","user_message":"Ask Ann for a\u0000 seat."}"#;
    for (status, body, message) in [
        (403, told, Some("Ask Ann for a seat.")),
        (403, "", None),
        (403, "<h1>Forbidden</h1>", None),
        (403, r#"{"allow":true,"account":"42"}"#, None),
        (403, r#"[1]"#, None),
        (200, r#"{"allow":false}"#, None),
        (
            200,
            r#"{"allow":false,"account":"1","user_message":"No."}"#,
            Some("No."),
        ),
        (409, r#"{"allow":false}"#, None),
    ] {
        let (outcome, house) = first_visit(says(status, body)).await;
        let refusal = outcome.unwrap_err();
        assert_eq!(refusal.reason, Reason::AccountRefused, "{status} {body}");
        assert_eq!(refusal.user_message.as_deref(), message, "{status} {body}");
        let account = house.account().await.unwrap();
        assert_ne!(account.state, AccountState::Open, "{status} {body}");
        assert_eq!(account.id, None);
    }
}

#[tokio::test]
async fn a_long_message_is_cut() {
    let body = format!(r#"{{"user_message":"{}"}}"#, "é".repeat(2000));
    let (outcome, _) = first_visit(says(403, &body)).await;
    let message = outcome.unwrap_err().user_message.unwrap();
    assert_eq!(message.chars().count(), 500);
}

#[tokio::test]
async fn anything_else_is_a_final_error_and_the_next_visit_makes_a_new_event() {
    let long = format!(r#"{{"account":"{}"}}"#, "x".repeat(257));
    let huge = format!("\"{}\"", "x".repeat(64 * 1024));
    for (status, body) in [
        (200, "hello"),
        (200, "[]"),
        (200, "{"),
        (200, r#"{"allow":"no"}"#),
        (200, r#"{"account":{"id":1}}"#),
        (200, r#"{"account":"a\r\nX-Role: admin"}"#),
        (200, &long),
        (200, &huge),
        (202, ""),
        (206, "{}"),
        (302, ""),
        (307, ""),
        (400, ""),
        (401, ""),
        (404, ""),
        (410, ""),
        (422, r#"{"account":"42"}"#),
    ] {
        let mut script = says(status, body);
        if status / 100 == 3 {
            script.headers = vec![("location", "/elsewhere".to_owned())];
        }
        let (outcome, house) = first_visit(script).await;
        let refusal = outcome.unwrap_err();
        assert_eq!(
            refusal.reason,
            Reason::CallbackFailed,
            "{status} {body:.40}"
        );
        assert_eq!(house.account().await, None, "{status} {body:.40}");
        assert_eq!(house.double.calls().len(), 1, "tried once: {status}");
        house.double.answer([says(204, "")]);
        house.visit().await.unwrap();
        let calls = house.double.calls();
        assert_ne!(calls[0].id(), calls[1].id(), "{status} {body:.40}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_event() {
    for status in [408, 429, 500, 502, 503, 504] {
        let house = house().await;
        house
            .double
            .answer([says(status, "no"), says(201, r#"{"account":"42"}"#)]);
        house.visit().await.unwrap();
        let calls = house.double.calls();
        assert_eq!(calls.len(), 2, "{status}");
        assert_eq!(calls[0].id(), calls[1].id());
        assert_eq!(calls[0].text, calls[1].text);
        assert_eq!(house.counted("try_again"), 1);
        assert_eq!(house.counted("allowed"), 1);
    }
}

#[tokio::test]
async fn roles_count_only_where_the_config_says_so_and_lists_them() {
    let answer =
        r#"{"account":"1","roles":["root","admin","viewer"],"is_admin":true,"groups":["admins"]}"#;
    let (outcome, house) = first_visit(says(201, answer)).await;
    outcome.unwrap();
    assert!(house.account().await.unwrap().roles.is_empty());

    let double = AppDouble::start().await;
    double.answer([says(201, answer)]);
    let counted = Callback {
        roles: true,
        ..callback(&double.url)
    };
    let house = house_with(double, wiki(Some(counted))).await;
    house.visit().await.unwrap();
    let roles = house.account().await.unwrap().roles;
    assert_eq!(roles, ["viewer", "admin"].map(Role::new));
    house.sign_in().await.unwrap();
    assert_eq!(
        house.double.calls().len(),
        1,
        "the app's own roles are no change to tell it"
    );
}
