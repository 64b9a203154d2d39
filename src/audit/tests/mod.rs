#![allow(clippy::unwrap_used, clippy::panic)]
mod chain;
mod file;
mod list;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::config::StoreConfig;
use crate::store::Store;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

async fn memory() -> Audit {
    Audit::new(Store::open(&StoreConfig::Memory).await.unwrap())
}

fn by(actor: Actor) -> By {
    By {
        actor,
        client: Some("192.0.2.7".parse().unwrap()),
        request_id: Some("req-1".to_owned()),
    }
}

/// A line with something in every field.
fn full(number: i64) -> Entry {
    Entry::new(
        Action::Roles,
        &by(Actor::Token("ci".to_owned())),
        format!("change {number}"),
    )
    .about(&UserId::new(format!("usr_{}", number % 3)))
    .in_app(&AppId::new("wiki"))
    .at_idp(&IdpId::new("acme"))
    .with(json!({ "before": [], "after": ["editor"], "n": number }))
}

/// A log with lines 1 to `count`, a second apart.
async fn log(count: i64) -> Audit {
    let audit = memory().await;
    for number in 1..=count {
        audit.record(&full(number), at(number)).await.unwrap();
    }
    audit
}

async fn run(audit: &Audit, sql: &str) {
    let statement = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(statement)
        .execute(audit.store.writer())
        .await
        .unwrap();
}
