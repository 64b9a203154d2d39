//! Rows that must fail: a runner that lets everything pass proves nothing.

use serde_json::{Value, json};

use super::{case::Row, runner::fails};

fn row(steps: Value, assert: &str) -> Row {
    serde_json::from_value(json!({
        "id": format!("NEG {assert}"),
        "class": "control",
        "mode": "proxy",
        "steps": steps,
        "expectation": {"assert": [assert]},
    }))
    .unwrap()
}

fn get(target: &str, who: Value) -> Value {
    json!({"request": {"proto": "h1", "from": "untrusted", "method": "GET", "target": target,
                       "headers": [["Host", "app.test"]], "cookies": who}})
}

/// What is claimed, and is not so.
fn wrong() -> Vec<Row> {
    let login = || json!([{"login": "alice"}]);
    let newuser = || json!([{"login": "newuser"}]);
    let public = || json!([get("/public/x", Value::Null)]);
    let secret = || json!([get("/secret", "alice".into())]);
    let on_h2 = json!([{"request": {"proto": "h2raw", "pseudo": [[":method", "GET"],
        [":scheme", "https"], [":authority", "app.test"], [":path", "/public/x"]], "headers": []}}]);
    vec![
        row(secret(), "invariant.norm_target_in_public"),
        row(secret(), "invariant.norm_target_not_under(/secret)"),
        described_as_public(),
        row(secret(), "upstream.header({{h_user}})=absent"),
        row(secret(), "upstream.header({{h_user}})=mallory"),
        row(secret(), "upstream.header({{h_user}}).count=2"),
        row(secret(), "upstream.jwt.aud=other.test"),
        row(secret(), "upstream.jwt.sub=mallory"),
        row(secret(), "upstream.jwt.has(iss,nosuch)"),
        row(secret(), "upstream.role(user)=absent"),
        row(secret(), "upstream.target=/other"),
        row(secret(), "session(alice)=invalid"),
        row(secret(), "resp.header(Cache-Control)~no-store"),
        row(
            json!([get("/public/x?smuggled", Value::Null)]),
            "smuggled.hits=0",
        ),
        row(public(), "status=302|401"),
        row(public(), "status!=2xx"),
        row(public(), "upstream.hits=0"),
        row(public(), "conn=closed"),
        row(public(), "body!~/public/x"),
        row(public(), "within_ms<=-1"),
        row(on_h2, "h2.rejected"),
        row(login(), "no_session"),
        row(login(), "op.token_calls=0"),
        row(login(), "op.token_calls>=2"),
        row(login(), "principals.distinct=2"),
        row(login(), "set_cookie({{session_cookie}})~SameSite=None"),
        row(login(), "op.saw(code_challenge_method)=plain"),
        row(newuser(), "jit.created(newuser)=0"),
        row(newuser(), "jit.calls=0"),
        row(
            json!([{"op.clock": "+10s"}, {"login": "alice"}]),
            "no_session",
        ),
    ]
}

/// A target that passes, for one that must not.
fn described_as_public() -> Row {
    let headers = json!([
        ["Host", "app.test"],
        ["X-Forwarded-Method", "GET"],
        ["X-Forwarded-Host", "app.test"],
        ["X-Forwarded-Uri", "/public/x"]
    ]);
    let asked = json!([{"request": {"proto": "h1", "from": "trusted", "method": "GET",
        "target": "{{fa}}", "headers": headers}}]);
    Row {
        variants: Some(vec!["/public/../secret".into()]),
        ..row(asked, "invariant.described_in_public")
    }
}

/// Words that nobody taught this runner.
fn unknown() -> Vec<Row> {
    vec![
        row(json!([get("/public/x", Value::Null)]), "nosuch"),
        row(json!([get("/public/x", Value::Null)]), "nosuch(1)=2"),
        row(
            json!([get("/public/{{nosuch}}", Value::Null)]),
            "status=200",
        ),
        row(json!([{"nosuch": true}]), "alive"),
        row(json!([{"login": "alice", "nosuch": 1}]), "alive"),
        row(json!([{"request": {"proto": "h9"}}]), "alive"),
        row(json!([{"request": {"nosuch": 1}}]), "alive"),
        row(json!([{"jit": "no such fault"}]), "alive"),
        row(json!([{"op.id_token": "No such fault"}]), "alive"),
        row(
            json!([{"usher.config": "no such fault"}, {"start": true}]),
            "start=refused",
        ),
        row(json!([{"clock": "tomorrow"}]), "alive"),
    ]
}

#[test]
fn attacks_runner_fails_rows_that_are_wrong_or_unknown() {
    let rows: Vec<_> = wrong().into_iter().chain(unknown()).collect();
    let passed: Vec<_> = super::wait_for(async {
        let mut passed = Vec::new();
        for row in rows {
            if !fails(&row).await {
                passed.push(format!("{} after {:?}", row.id, row.steps));
            }
        }
        passed
    });
    assert!(passed.is_empty(), "not failed: {passed:#?}");
}
