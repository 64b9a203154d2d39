//! The callback is slow, down or broken, or usher stops in the middle.

use std::time::Duration;

use futures_util::future::join_all;

use super::app_double::says;
use super::*;

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

async fn house_at(url: &str) -> House {
    house_with(AppDouble::start().await, wiki(Some(callback(url)))).await
}

/// A server that takes connections and never answers.
async fn silence() -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    (url, task)
}

#[tokio::test]
async fn a_new_user_waits_eight_seconds_at_most_and_is_not_let_in() {
    let (silent, task) = silence().await;
    let nobody = nobody().await;
    let erring = house().await;
    erring.double.answer([says(503, "")]);
    let houses = [house_at(&silent).await, house_at(&nobody).await, erring];
    let began = std::time::Instant::now();
    let outcomes = join_all(houses.iter().map(House::visit)).await;
    // Some patience with a busy machine; without a limit, a silent app is waited for without end.
    assert!(began.elapsed() < Duration::from_secs(12));
    for (house, outcome) in houses.iter().zip(outcomes) {
        let refusal = outcome.unwrap_err();
        assert_eq!(refusal.reason, Reason::CallbackDown);
        assert!(refusal.retry_after.is_some());
        assert_eq!(house.account().await, None);
    }
    assert!(houses[0].counted("try_again") >= 2);
    assert!(houses[2].counted("try_again") >= 4);
    task.abort();
}

#[tokio::test]
async fn a_known_user_goes_on_and_the_change_is_told_later_with_the_same_id() {
    let house = house().await;
    let later = || {
        let mut script = says(503, "");
        script.headers = vec![("retry-after", "30".to_owned())];
        script
    };
    house
        .double
        .answer([says(201, r#"{"account":"42"}"#), later()]);
    house.visit().await.unwrap();
    house
        .change(|ann| ann.name = Some("Ann Married".to_owned()))
        .await;
    house.sign_in().await.unwrap();
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("42"));
    assert_eq!(
        house.double.calls().len(),
        2,
        "asked to wait beyond the time"
    );
    // Taken back meanwhile; the app may have seen the event all the same.
    house
        .change(|ann| ann.name = Some("Ann Example".to_owned()))
        .await;
    house.double.answer([says(204, "")]);
    house.sign_in().await.unwrap();
    let calls = house.double.calls();
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[1].id(), calls[2].id());
    assert_eq!(calls[1].text, calls[2].text);
    let last = calls[3].body();
    assert_eq!(last["data"]["user"]["name"], "Ann Example");
    assert_eq!(last["data"]["previous"]["name"], "Ann Married");
    house.sign_in().await.unwrap();
    assert_eq!(house.double.calls().len(), 4);
}

#[tokio::test]
async fn retry_after_is_kept() {
    let house = house().await;
    let mut later = says(429, "");
    later.headers = vec![("retry-after", "2".to_owned())];
    house.double.answer([later, says(204, "")]);
    let began = std::time::Instant::now();
    house.visit().await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(2));
    let calls = house.double.calls();
    let times: Vec<i64> = calls
        .iter()
        .map(|call| call.header("webhook-timestamp").parse().unwrap())
        .collect();
    assert!(times[1] - times[0] >= 2, "each try has its own time");
    assert_ne!(
        calls[0].header("webhook-signature"),
        calls[1].header("webhook-signature")
    );
}

#[tokio::test]
async fn who_waits_shares_the_failure_of_who_tried() {
    let house = house().await;
    let mut later = says(503, "");
    later.headers = vec![("retry-after", "60".to_owned())];
    later.after = Duration::from_millis(200);
    house.double.answer([later]);
    let outcomes = join_all((0..20).map(|_| house.visit())).await;
    for outcome in outcomes {
        let refusal = outcome.unwrap_err();
        assert_eq!(refusal.reason, Reason::CallbackDown);
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(60)));
    }
    assert_eq!(house.double.calls().len(), 1);
    assert!(house.visit().await.is_err());
    assert_eq!(house.double.calls().len(), 2, "who comes later tries anew");
}

#[tokio::test]
async fn a_visit_that_is_cut_off_leaves_an_event_that_is_used_again() {
    let mut house = house().await;
    let mut slow = says(201, r#"{"account":"41"}"#);
    slow.after = Duration::from_secs(2);
    house
        .double
        .answer([slow.clone(), slow, says(201, r#"{"account":"42"}"#)]);
    for times in [1, 2] {
        tokio::select! {
            _ = house.visit() => panic!("not cut off"),
            () = house.double.called(times) => {}
        }
        assert_eq!(house.provisioner.turns.len(), 0);
    }
    house.restart().await;
    house.visit().await.unwrap();
    let calls = house.double.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.id() == calls[0].id()));
    assert!(calls.iter().all(|call| call.text == calls[0].text));
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("42"));
}

#[tokio::test]
async fn an_old_event_is_followed_by_what_changed_since() {
    let mut house = house().await;
    let mut slow = says(201, "");
    slow.after = Duration::from_secs(2);
    house
        .double
        .answer([slow, says(201, r#"{"account":"42"}"#)]);
    tokio::select! {
        _ = house.visit() => panic!("not cut off"),
        () = house.double.called(1) => {}
    }
    house.restart().await;
    house
        .change(|ann| ann.groups = vec!["admins".to_owned()])
        .await;
    house.sign_in().await.unwrap();
    let calls = house.double.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[1].text, calls[0].text);
    assert_eq!(calls[2].kind(), "user.updated");
    assert_eq!(calls[2].body()["data"]["previous"]["roles"][0], "editor");
    assert_eq!(calls[2].body()["data"]["account"], "42");
}

#[tokio::test]
async fn a_callback_that_fails_too_often_is_left_alone() {
    let house = house().await;
    house.double.answer([says(503, "")]);
    house.visit().await.unwrap_err();
    let asked = house.double.calls().len();
    assert!(asked >= 5, "{asked}");
    let refusal = house.visit().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::CallbackDown);
    assert!(refusal.retry_after.unwrap() <= Duration::from_secs(10));
    assert_eq!(house.double.calls().len(), asked, "not asked");
    assert_eq!(house.counted("not_asked"), 1);
    house.double.answer([says(204, "")]);
    tokio::time::sleep(refusal.retry_after.unwrap()).await;
    house.visit().await.unwrap();
    let calls = house.double.calls();
    assert_eq!(calls[asked].id(), calls[0].id());
}

#[tokio::test]
async fn a_failing_store_is_said_as_such() {
    let house = house().await;
    house.store.close().await;
    let refusal = house
        .provisioner
        .ensure(&house.app, &house.person, Occasion::Visit, now())
        .await
        .unwrap_err();
    assert_eq!(refusal.reason, Reason::StoreDown);
    assert!(house.double.calls().is_empty());
}
