//! Apps with a SCIM endpoint or an API of their own: doubles with the documented shapes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::any;
use serde_json::{Value, json};

use super::*;
use crate::audit::By;
use crate::config::{self, ScimTarget};
use crate::directory::{Block, BlockSource};
use crate::secret::Secret;

/// What an app has, by its id; and what it was asked.
#[derive(Default)]
struct Table {
    users: BTreeMap<String, Value>,
    asked: Vec<String>,
    fail: u32,
}

type Shared = Arc<Mutex<Table>>;

async fn serve(answer: fn(&mut Table, &Method, &Uri, Value) -> (u16, Value)) -> (String, Shared) {
    let table = Shared::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = move |State(table): State<Shared>,
                        method: Method,
                        uri: Uri,
                        headers: HeaderMap,
                        body: Bytes| async move {
        let mut table = table.lock().unwrap();
        table.asked.push(format!("{method} {uri}"));
        let token = headers.get("authorization").unwrap().to_str().unwrap();
        if !token.ends_with(" t0ken") {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        if table.fail > 0 {
            table.fail -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (status, body) = answer(&mut table, &method, &uri, body);
        (StatusCode::from_u16(status).unwrap(), body.to_string())
    };
    let router = Router::new()
        .fallback(any(handler))
        .with_state(Arc::clone(&table));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, table)
}

/// RFC 7644, as far as it is asked for here.
fn scim(table: &mut Table, method: &Method, uri: &Uri, body: Value) -> (u16, Value) {
    let id = uri.path().strip_prefix("/scim/Users/").map(str::to_owned);
    match (method.as_str(), id) {
        ("POST", None) => {
            let taken = |user: &Value| user["userName"] == body["userName"];
            if table.users.values().any(taken) {
                return (409, json!({ "scimType": "uniqueness" }));
            }
            let id = format!("u-{}", table.users.len() + 1);
            let mut user = body;
            user["id"] = id.as_str().into();
            table.users.insert(id, user.clone());
            (201, user)
        }
        ("GET", None) => {
            // Sloppy on purpose: the filter is not looked at.
            let all: Vec<_> = table.users.values().cloned().collect();
            (200, json!({ "totalResults": all.len(), "Resources": all }))
        }
        (_, Some(id)) if !table.users.contains_key(&id) => (404, json!({})),
        ("PUT", Some(id)) => {
            let mut user = body;
            user["id"] = id.as_str().into();
            table.users.insert(id, user.clone());
            (200, user)
        }
        ("PATCH", Some(id)) => {
            let active = body["Operations"][0]["value"].clone();
            table.users.get_mut(&id).unwrap()["active"] = active;
            (204, Value::Null)
        }
        ("DELETE", Some(id)) => {
            table.users.remove(&id);
            (204, Value::Null)
        }
        _ => (405, json!({})),
    }
}

/// The admin API of Gitea, as its documentation has it.
fn gitea(table: &mut Table, method: &Method, uri: &Uri, body: Value) -> (u16, Value) {
    let path = uri.path();
    let named = path
        .strip_prefix("/api/v1/admin/users/")
        .or_else(|| path.strip_prefix("/api/v1/users/"));
    match (method.as_str(), named) {
        ("POST", None) if path == "/api/v1/admin/users" => {
            let login = body["username"].as_str().unwrap().to_owned();
            let taken = |user: &Value| user["email"] == body["email"];
            if table.users.contains_key(&login) || table.users.values().any(taken) {
                return (422, json!({ "message": "user already exists" }));
            }
            assert!(body["password"].as_str().unwrap().len() >= 20);
            let user = json!({ "id": 7, "login": login, "email": body["email"], "full_name": body["full_name"] });
            table.users.insert(login, user.clone());
            (201, user)
        }
        (_, Some(name)) if !table.users.contains_key(name) => (404, json!({})),
        ("GET", Some(name)) => (200, table.users[name].clone()),
        ("PATCH", Some(name)) => {
            assert!(body["login_name"].is_string() && body["source_id"] == 0);
            let user = table.users.get_mut(name).unwrap();
            for (key, value) in body.as_object().unwrap() {
                user[key] = value.clone();
            }
            (200, user.clone())
        }
        ("DELETE", Some(name)) => {
            table.users.remove(name);
            (204, Value::Null)
        }
        _ => (404, json!({})),
    }
}

async fn house_told_by(target: Target) -> House {
    let mut app = wiki(None);
    app.provisioning.as_mut().unwrap().target = Some(target);
    house_with(AppDouble::start().await, app).await
}

fn scim_target(url: &str) -> Target {
    Target::Scim(ScimTarget {
        url: format!("{url}/scim").parse().unwrap(),
        token: Secret::new("t0ken"),
    })
}

/// The target as the config makes it.
fn gitea_target(url: &str) -> Target {
    let text = format!(
        "listen: 127.0.0.1:0\npublic_url: http://localhost:4180\nidentity_providers:\n  - id: acme\n    oidc: {{ issuer: 'https://a.example', client_id: usher, client_auth: none }}\napps:\n  - id: wiki\n    upstream: http://127.0.0.1:1\n    provisioning: {{ rest: {{ preset: gitea, url: '{url}', token: t0ken }} }}\n"
    );
    let mut config = config::parse("usher.yaml", &text, &|_| None).unwrap();
    let app = config.apps.remove(0);
    drop(config);
    let app = Arc::into_inner(app).unwrap();
    app.provisioning.unwrap().target.unwrap()
}

impl House {
    async fn settle(&self) {
        for _ in 0..3 {
            for changed in self.provisioner.changed(now(), 10).await.unwrap() {
                let apps = [Arc::clone(&self.app)];
                self.provisioner.look(&apps, &changed, now()).await.unwrap();
            }
            for (id, user) in self.provisioner.due(&self.app, now(), 10).await.unwrap() {
                let event = (id.as_str(), &user);
                self.provisioner
                    .deliver(&self.app, event, now())
                    .await
                    .unwrap();
            }
        }
    }

    async fn gone(&self, deleted: bool) {
        let block = Block {
            source: BlockSource::Admin,
            deleted,
            why: "left".to_owned(),
            at: now(),
        };
        let user = &self.person.user;
        self.directory
            .block(user, &block, &By::system())
            .await
            .unwrap();
        self.settle().await;
    }

    async fn back(&self) {
        let (user, by) = (&self.person.user, By::system());
        let source = BlockSource::Admin;
        self.directory
            .unblock(user, &source, &by, now())
            .await
            .unwrap();
        self.settle().await;
    }
}

#[tokio::test]
async fn scim_keeps_the_app_s_user_up_to_date_from_the_first_visit_to_the_last() {
    let (url, table) = serve(scim).await;
    let house = house_told_by(scim_target(&url)).await;
    house.visit().await.unwrap();
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("u-1"));
    let of = |pointer: &str| table.lock().unwrap().users["u-1"].pointer(pointer).cloned();
    assert_eq!(of("/userName"), Some("ann".into()));
    assert_eq!(of("/emails/0/value"), Some("ann@acme.example".into()));
    assert_eq!(of("/roles/0/value"), Some("editor".into()));
    assert_eq!(of("/externalId"), Some(house.person.user.as_str().into()));

    house
        .change(|ann| ann.name = Some("Ann Married".to_owned()))
        .await;
    house.settle().await;
    assert_eq!(of("/displayName"), Some("Ann Married".into()));
    house.gone(false).await;
    assert_eq!(of("/active"), Some(false.into()));
    house.back().await;
    assert_eq!(of("/active"), Some(true.into()));
    house.gone(true).await;
    assert!(table.lock().unwrap().users.is_empty());
    house.back().await;
    house.visit().await.unwrap();
    assert_eq!(table.lock().unwrap().users.len(), 1, "made anew");
}

#[tokio::test]
async fn scim_adopts_who_has_the_name_and_nobody_else() {
    let (url, table) = serve(scim).await;
    let others = [
        ("x-1", json!({ "id": "x-1", "userName": "bob" })),
        ("x-2", json!({ "id": "x-2", "userName": "Ann" })),
        ("x-3", json!({ "id": "x-3", "userName": "ann" })),
    ];
    let others = others.map(|(id, user)| (id.to_owned(), user));
    table.lock().unwrap().users.extend(others);
    let house = house_told_by(scim_target(&url)).await;
    house.visit().await.unwrap();
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("x-2"));
    assert_eq!(table.lock().unwrap().users["x-1"]["userName"], "bob");

    let other = json!({ "id": "x-4", "userName": "ann", "externalId": "usr_of_another" });
    table.lock().unwrap().users = BTreeMap::from([("x-4".to_owned(), other)]);
    let house = house_told_by(scim_target(&url)).await;
    let refusal = house.visit().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::CallbackFailed);
    assert!(refusal.cause.contains("another user"), "{}", refusal.cause);
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_found_again() {
    let (url, table) = serve(scim).await;
    let house = house_told_by(scim_target(&url)).await;
    table.lock().unwrap().fail = 1;
    let lost = json!({ "id": "u-9", "userName": "ann", "externalId": house.person.user.as_str() });
    table.lock().unwrap().users.insert("u-9".to_owned(), lost);
    house.visit().await.unwrap();
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("u-9"));
    assert_eq!(table.lock().unwrap().users.len(), 1);
}

#[tokio::test]
async fn a_token_that_the_app_does_not_take_is_a_final_error() {
    let (url, _) = serve(scim).await;
    let target = Target::Scim(ScimTarget {
        url: format!("{url}/scim").parse().unwrap(),
        token: Secret::new("other"),
    });
    let refusal = house_told_by(target).await.visit().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::CallbackFailed);
    assert!(refusal.cause.contains("401") && !refusal.cause.contains("other"));
}

#[tokio::test]
async fn an_api_keeps_the_app_s_account_up_to_date_by_templates() {
    let (url, table) = serve(gitea).await;
    let house = house_told_by(gitea_target(&url)).await;
    house.visit().await.unwrap();
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("ann"));
    let of = |key: &str| table.lock().unwrap().users["ann"][key].clone();
    house
        .change(|ann| ann.name = Some("Ann \"Q\" Married".to_owned()))
        .await;
    house.settle().await;
    assert_eq!(of("full_name"), "Ann \"Q\" Married");
    house.gone(false).await;
    assert_eq!(of("prohibit_login"), true);
    assert_eq!(of("full_name"), "Ann \"Q\" Married");
    house.back().await;
    assert_eq!(of("prohibit_login"), false);
    house.gone(true).await;
    assert!(table.lock().unwrap().users.is_empty());
}

#[tokio::test]
async fn an_api_s_account_is_taken_over_only_with_the_same_address() {
    let (url, table) = serve(gitea).await;
    let mine =
        json!({ "id": 3, "login": "ann", "email": "Ann@Acme.example", "prohibit_login": true });
    table.lock().unwrap().users.insert("ann".to_owned(), mine);
    let house = house_told_by(gitea_target(&url)).await;
    house.visit().await.unwrap();
    assert_eq!(house.account().await.unwrap().id.as_deref(), Some("ann"));
    assert_eq!(table.lock().unwrap().users["ann"]["prohibit_login"], false);

    let root = json!({ "id": 1, "login": "ann", "email": "root@localhost" });
    table
        .lock()
        .unwrap()
        .users
        .insert("ann".to_owned(), root.clone());
    let house = house_told_by(gitea_target(&url)).await;
    let refusal = house.visit().await.unwrap_err();
    assert_eq!(refusal.reason, Reason::CallbackFailed);
    assert_eq!(table.lock().unwrap().users["ann"], root, "untouched");
}

#[tokio::test]
async fn values_never_change_the_path() {
    for (name, asked) in [
        ("../admin", Some("GET /api/v1/users/..%2Fadmin")),
        ("a/b?c#d", Some("GET /api/v1/users/a%2Fb%3Fc%23d")),
        ("..", None),
    ] {
        let (url, table) = serve(gitea).await;
        let house = house_told_by(gitea_target(&url)).await;
        house
            .change(|ann| ann.username = Some(name.to_owned()))
            .await;
        let taken = json!({ "login": "x", "email": "ann@acme.example" });
        table.lock().unwrap().users.insert("x".to_owned(), taken);
        assert!(house.visit().await.is_err());
        let table = table.lock().unwrap();
        assert_eq!(table.asked.get(1).map(String::as_str), asked, "{name}");
    }
}

#[tokio::test]
#[ignore = "needs a SCIM server: USHER_SCIM_SERVER=http://127.0.0.1:8080"]
async fn a_real_scim_server_is_kept_up_to_date() {
    let base = std::env::var("USHER_SCIM_SERVER").unwrap();
    let house = house_told_by(Target::Scim(ScimTarget {
        url: base.parse().unwrap(),
        token: Secret::new("t0ken"),
    }))
    .await;
    let name = house.person.user.as_str().to_owned();
    house.change(|ann| ann.username = Some(name)).await;
    house.visit().await.unwrap();
    let id = house.account().await.unwrap().id.unwrap();
    let base = base.trim_end_matches('/').to_owned();
    let get = async || {
        let request = http::Request::get(format!("{base}/Users/{id}"))
            .body(Bytes::new())
            .unwrap();
        let within = std::time::Duration::from_secs(5);
        let client = Outbound::new(&[]).unwrap();
        let answer = client.send(request, 65536, within).await.unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status.as_u16(), body)
    };
    assert_eq!(get().await.1["emails"][0]["value"], "ann@acme.example");
    house
        .change(|ann| ann.name = Some("Ann Married".to_owned()))
        .await;
    house.settle().await;
    assert_eq!(get().await.1["displayName"], "Ann Married");
    house.gone(false).await;
    assert_eq!(get().await.1["active"], false);
    house.back().await;
    assert_eq!(get().await.1["active"], true);
    // As after an answer that was lost: the app has the user, usher does not know.
    let (user, app) = (house.person.user.as_str(), house.app.id.as_str());
    sqlx::query("DELETE FROM accounts WHERE user_id = $1 AND app = $2")
        .bind(user)
        .bind(app)
        .execute(house.store.writer())
        .await
        .unwrap();
    house.visit().await.unwrap();
    assert_eq!(house.account().await.unwrap().id, Some(id.clone()), "found");
    house.gone(true).await;
    assert_eq!(get().await.0, 404);
}
