//! What is told without a visit: in order, with one id until it is answered, and again after a crash.

use jiff::SignedDuration;
use serde_json::json;

use super::app_double::says;
use super::*;
use crate::audit::By;
use crate::directory::{Block, BlockSource, DeliveryState, FindDeliveries};

impl House {
    fn apps(&self) -> Vec<Arc<App>> {
        vec![Arc::clone(&self.app)]
    }

    /// What the worker does in one round at `at`: all looks, then every event that is due, once.
    async fn round(&self, at: Timestamp) {
        for changed in self.provisioner.changed(at, 100).await.unwrap() {
            self.provisioner
                .look(&self.apps(), &changed, at)
                .await
                .unwrap();
        }
        for (id, user) in self.provisioner.due(&self.app, at, 100).await.unwrap() {
            self.provisioner
                .deliver(&self.app, (&id, &user), at)
                .await
                .unwrap();
        }
    }

    async fn rounds(&self, at: Timestamp) {
        for _ in 0..4 {
            self.round(at).await;
        }
    }

    async fn block(&self, deleted: bool, at: Timestamp) {
        let block = Block {
            source: BlockSource::Admin,
            deleted,
            why: "left".to_owned(),
            at,
        };
        let user = &self.person.user;
        let blocked = self.directory.block(user, &block, &By::system()).await;
        assert!(blocked.unwrap());
    }

    async fn unblock(&self, at: Timestamp) {
        let user = &self.person.user;
        let lifted = self
            .directory
            .unblock(user, &BlockSource::Admin, &By::system(), at)
            .await;
        assert!(lifted.unwrap());
    }

    async fn give(&self, roles: &[&str]) {
        let roles: Vec<Role> = roles.iter().map(|role| Role::new(*role)).collect();
        let (user, app) = (&self.person.user, &self.app.id);
        let by = By::system();
        let set = self.directory.set_roles(user, app, &roles, &by, now());
        set.await.unwrap();
    }

    fn kinds(&self) -> Vec<String> {
        self.double
            .calls()
            .iter()
            .map(super::app_double::Call::kind)
            .collect()
    }

    async fn history(&self) -> Vec<(String, String, DeliveryState)> {
        let find = FindDeliveries {
            limit: 50,
            ..FindDeliveries::default()
        };
        let page = self.directory.deliveries(&find).await.unwrap();
        page.items
            .into_iter()
            .map(|one| (one.kind, one.outcome, one.state))
            .collect()
    }
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn who_goes_and_comes_back_is_told_with_what_was_before() {
    let house = house().await;
    house
        .double
        .answer([says(201, r#"{"account":"42"}"#), says(204, "")]);
    house.visit().await.unwrap();
    house.block(false, now()).await;
    house.rounds(now()).await;
    house.rounds(now()).await;
    assert_eq!(house.kinds(), ["user.created", "user.deactivated"]);
    let gone = house.double.calls()[1].body();
    assert_eq!(gone["data"]["account"], "42");
    assert_eq!(gone["data"]["user"]["active"], false);
    assert_eq!(gone["data"]["user"]["roles"], json!([]));
    assert_eq!(
        gone["data"]["previous"],
        json!({ "active": true, "roles": ["editor"] })
    );
    assert_eq!(gone["data"]["identity"]["subject"], "sub-1");
    house.unblock(now()).await;
    house.rounds(now()).await;
    let back = house.double.calls()[2].body();
    assert_eq!(back["type"], "user.reactivated");
    assert_eq!(back["data"]["user"]["active"], true);
    assert_eq!(back["data"]["account"], "42");
    assert_eq!(
        back["data"]["previous"],
        json!({ "active": false, "roles": [] })
    );
    house.rounds(now()).await;
    assert_eq!(house.double.calls().len(), 3);
    assert!(house.account().await.unwrap().active);
}

#[tokio::test]
async fn a_visit_brings_back_whom_the_app_was_told_is_gone() {
    let house = house().await;
    house.visit().await.unwrap();
    house.block(false, now()).await;
    house.rounds(now()).await;
    house.unblock(now()).await;
    house.visit().await.unwrap();
    let kinds = ["user.created", "user.deactivated", "user.reactivated"];
    assert_eq!(house.kinds(), kinds);
    house.rounds(now()).await;
    assert_eq!(house.kinds(), kinds, "told once");
}

#[tokio::test]
async fn a_deletion_is_told_also_after_a_deactivation_and_ends_the_account() {
    let house = house().await;
    house
        .double
        .answer([says(201, r#"{"account":"42"}"#), says(204, "")]);
    house.visit().await.unwrap();
    house.block(false, now()).await;
    house.rounds(now()).await;
    house.block(true, later(1)).await;
    house.rounds(later(1)).await;
    house.unblock(later(2)).await;
    house.rounds(later(2)).await;
    let kinds = ["user.created", "user.deactivated", "user.deleted"];
    assert_eq!(house.kinds(), kinds, "who is new comes by a visit");
    house.visit().await.unwrap();
    let new = house.double.calls()[3].body();
    assert_eq!(new["type"], "user.created");
    assert_eq!(new["data"]["account"], serde_json::Value::Null);
    assert_eq!(house.account().await.unwrap().id, None);
}

#[tokio::test]
async fn whoever_loses_the_last_group_is_deactivated_and_comes_back_with_one() {
    let double = AppDouble::start().await;
    let mut app = wiki(Some(callback(&double.url)));
    app.provisioning.as_mut().unwrap().default_role = None;
    let house = house_with(double, app).await;
    house.visit().await.unwrap();
    house
        .change(|ann| ann.groups = vec!["staff".to_owned()])
        .await;
    house.rounds(now()).await;
    house
        .change(|ann| ann.groups = vec!["admins".to_owned()])
        .await;
    house.rounds(now()).await;
    let kinds = ["user.created", "user.deactivated", "user.reactivated"];
    assert_eq!(house.kinds(), kinds);
    let back = house.double.calls()[2].body();
    assert_eq!(back["data"]["user"]["roles"], json!(["admin"]));
}

#[tokio::test]
async fn only_whom_an_admin_or_scim_puts_there_is_created_without_a_visit() {
    let house = house().await;
    house
        .change(|ann| ann.name = Some("Ann Other".to_owned()))
        .await;
    house.rounds(now()).await;
    assert!(house.double.calls().is_empty());
    house.change(|ann| ann.groups.clear()).await;
    house.give(&["admin"]).await;
    house.rounds(now()).await;
    assert_eq!(house.kinds(), ["user.created"]);
    let roles = &house.double.calls()[0].body()["data"]["user"]["roles"];
    assert_eq!(*roles, json!(["admin"]));
    house.give(&["editor"]).await;
    house.rounds(now()).await;
    assert_eq!(house.kinds(), ["user.created", "user.updated"]);
}

#[tokio::test]
async fn an_event_keeps_its_id_over_failures_and_crashes_and_the_next_one_waits_for_it() {
    let mut house = house().await;
    house.visit().await.unwrap();
    house.double.answer([says(500, "")]);
    house.block(false, now()).await;
    house.rounds(now()).await;
    assert_eq!(house.double.calls().len(), 2, "the second try is not due");
    house.restart().await;
    // What comes meanwhile waits for the answer.
    house.unblock(later(1)).await;
    house.rounds(later(6)).await;
    house.restart().await;
    house.double.answer([says(204, "")]);
    house.rounds(later(60)).await;
    let calls = house.double.calls();
    assert_eq!(calls.len(), 5);
    assert!(calls[1..4].iter().all(|call| call.id() == calls[1].id()));
    assert!(calls[1..4].iter().all(|call| call.text == calls[1].text));
    assert_eq!(calls[1].kind(), "user.deactivated");
    assert_eq!(calls[4].kind(), "user.reactivated");
    assert_ne!(calls[4].id(), calls[1].id());
}

#[tokio::test]
async fn only_the_event_that_is_due_is_delivered() {
    let house = house().await;
    house.visit().await.unwrap();
    house.block(false, now()).await;
    for changed in house.provisioner.changed(now(), 9).await.unwrap() {
        let looked = house.provisioner.look(&house.apps(), &changed, now()).await;
        looked.unwrap();
    }
    let due = house.provisioner.due(&house.app, now(), 9).await.unwrap();
    let [(id, user)] = due.as_slice() else {
        panic!("{due:?}");
    };
    // Another one than was seen to be due, and the same before its time.
    for (id, at) in [("evt_0", now()), (id.as_str(), later(-60))] {
        let delivered = house.provisioner.deliver(&house.app, (id, user), at).await;
        delivered.unwrap();
        assert_eq!(house.kinds(), ["user.created"], "{id}");
    }
    let delivered = house.provisioner.deliver(&house.app, (id, user), now());
    delivered.await.unwrap();
    assert_eq!(house.kinds(), ["user.created", "user.deactivated"]);
}

#[tokio::test]
async fn what_was_taken_back_before_anybody_was_told_is_not_told() {
    let house = house().await;
    house.visit().await.unwrap();
    house.block(false, now()).await;
    house.unblock(now()).await;
    house.rounds(now()).await;
    assert_eq!(house.kinds(), ["user.created"]);
}

#[tokio::test]
async fn retry_after_is_kept_by_the_outbox() {
    let house = house().await;
    house.visit().await.unwrap();
    let mut busy = says(429, "");
    busy.headers = vec![("retry-after", "300".to_owned())];
    house.double.answer([busy, says(204, "")]);
    house.block(false, now()).await;
    house.rounds(now()).await;
    house.rounds(later(299)).await;
    assert_eq!(house.double.calls().len(), 2);
    house.rounds(later(300)).await;
    assert_eq!(house.double.calls().len(), 3);
}

#[tokio::test]
async fn a_final_error_and_three_days_of_failures_are_the_end_until_an_admin_replays() {
    for (answer, at_last) in [(says(418, ""), now()), (says(503, ""), later(72 * 3600))] {
        let house = house().await;
        house.visit().await.unwrap();
        house.double.answer([answer]);
        house.block(false, now()).await;
        house.rounds(now()).await;
        house.rounds(at_last).await;
        house.rounds(later(100 * 3600)).await;
        let dead = house.history().await.remove(0);
        assert_eq!(dead.0, "user.deactivated");
        assert_eq!(dead.2, DeliveryState::Dead);
        house.provisioner.measure().await.unwrap();
        assert_eq!(house.metrics.outbox_dead.get(), 1);
        let tried = house.double.calls().len();
        house.rounds(later(200 * 3600)).await;
        assert_eq!(house.double.calls().len(), tried);

        house.double.answer([says(204, "")]);
        let id = house.double.calls()[1].id().to_owned();
        let at = later(200 * 3600);
        assert!(
            house
                .directory
                .replay(&id, &By::system(), at)
                .await
                .unwrap()
        );
        assert!(
            !house
                .directory
                .replay("evt_none", &By::system(), at)
                .await
                .unwrap()
        );
        house.rounds(at).await;
        assert_eq!(house.double.calls().last().unwrap().id(), id);
        let done = house.history().await.remove(0);
        assert_eq!((done.1.as_str(), done.2), ("allowed", DeliveryState::Done));
        let (user, app) = (&house.person.user, &house.app.id);
        let account = house.directory.account(user, app).await.unwrap();
        assert!(!account.unwrap().active);
    }
}

#[tokio::test]
async fn an_answered_event_is_told_anew_with_what_holds_now() {
    let house = house().await;
    house.visit().await.unwrap();
    let id = house.double.calls()[0].id().to_owned();
    assert!(
        house
            .directory
            .replay(&id, &By::system(), now())
            .await
            .unwrap()
    );
    house.rounds(now()).await;
    assert_eq!(house.kinds(), ["user.created", "user.updated"]);
}

#[tokio::test]
async fn a_dead_farewell_is_forgotten_when_its_user_comes_back() {
    let house = house().await;
    house.visit().await.unwrap();
    house.double.answer([says(418, "")]);
    house.block(false, now()).await;
    house.rounds(now()).await;
    house.unblock(now()).await;
    house.double.answer([says(204, "")]);
    house
        .change(|ann| ann.name = Some("Ann Other".to_owned()))
        .await;
    house.sign_in().await.unwrap();
    let kinds = ["user.created", "user.deactivated", "user.updated"];
    assert_eq!(house.kinds(), kinds);
    let history = house.history().await;
    assert!(history.iter().all(|one| one.2 == DeliveryState::Done));
}

#[tokio::test]
async fn an_app_that_will_not_let_go_is_an_error_and_no_refusal() {
    let house = house().await;
    house.visit().await.unwrap();
    house.double.answer([says(403, r#"{"reason":"busy"}"#)]);
    house.block(false, now()).await;
    house.rounds(now()).await;
    assert_eq!(house.history().await.remove(0).2, DeliveryState::Dead);
}

#[tokio::test]
async fn what_a_visit_could_not_deliver_is_delivered_without_another() {
    let house = house().await;
    let mut busy = says(503, "");
    busy.headers = vec![("retry-after", "30".to_owned())];
    house
        .double
        .answer([busy, says(201, r#"{"account":"42"}"#)]);
    house.visit().await.unwrap_err();
    house.rounds(later(10)).await;
    assert_eq!(house.double.calls().len(), 1);
    house.rounds(later(31)).await;
    let calls = house.double.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].id(), calls[1].id());
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("42"));
}

#[tokio::test]
async fn every_outcome_is_in_the_log() {
    let house = house().await;
    house.visit().await.unwrap();
    house.double.answer([says(418, "")]);
    house.block(false, now()).await;
    house.rounds(now()).await;
    let lines: Vec<(String, String)> = sqlx::query_as(
        "SELECT outcome, why FROM audit WHERE action = 'provisioning' ORDER BY number",
    )
    .fetch_all(&house.store.pool)
    .await
    .unwrap();
    let outcomes: Vec<_> = lines.iter().map(|line| line.0.as_str()).collect();
    assert_eq!(outcomes, ["created", "dead"]);
    assert!(lines[1].1.contains("418"), "{}", lines[1].1);
}
