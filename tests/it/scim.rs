//! An identity provider's directory writes people and groups: SCIM, and what it means for those who sign in.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::audit::run_sql;
use crate::support::browser::Browser;
use crate::support::company::{Changes, Company, is_page, page};
use crate::support::scim::{ScimClient, TOKEN, id_of, patch_op, user};
use crate::support::wire::{UNTRUSTED, Wire};

/// From the answer to SCIM to the end of what is open, on a machine that is busy with other tests.
const PROMPT: Duration = Duration::from_secs(5);

/// A company whose IdP may write; people are matched by `sub` and `externalId`.
async fn company() -> (Company, ScimClient) {
    let changes = Changes {
        idp: vec![format!("scim: {{ token: {TOKEN} }}")],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let client = ScimClient::new(company.usher.public(), "wiki.test", "acme");
    (company, client)
}

/// Makes the SCIM user of somebody at the IdP.
async fn provision(company: &Company, client: &ScimClient, name: &str) -> String {
    let known = company.idp.user(name).unwrap();
    client.make_user(name, &known.email, &known.sub).await
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    browser.open(&page("/_usher/me")).await.unwrap().status == 200
}

async fn user_id(browser: &mut Browser) -> String {
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    me.json()["user"]["id"].as_str().unwrap().to_owned()
}

fn active(value: impl Into<Value>) -> Value {
    json!({ "op": "replace", "path": "active", "value": value.into() })
}

#[tokio::test]
async fn a_person_comes_changes_leaves_and_comes_back() {
    let (company, client) = company().await;
    let id = provision(&company, &client, "nora").await;
    let path = format!("/Users/{id}");

    // The sign-in binds to the user that SCIM made; without a group nobody gets in.
    let (_, end) = company.signed_in("nora", "/").await;
    assert!(
        is_page(&end.answer, 403, "do not have a role"),
        "{}",
        end.answer.text()
    );
    client.make_group("engineering", &[&id]).await;
    let (mut nora, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    let seen = company.last_seen();
    assert_eq!(seen.header("x-forwarded-roles").as_deref(), Some("editor"));
    let first = user_id(&mut nora).await;

    let began = Instant::now();
    let answer = client.patch(&path, active("False")).await;
    assert_eq!(
        (answer.status, &answer.json()["active"]),
        (200, &json!(false))
    );
    assert!(!is_signed_in(&mut nora).await);
    assert!(began.elapsed() < PROMPT);
    let (refused, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 403, "{}", end.answer.text());
    assert_eq!(refused.cookie("__Host-usher"), None);

    assert_eq!(client.patch(&path, active(true)).await.status, 200);
    let (mut nora, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(user_id(&mut nora).await, first);

    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(client.get(&path).await.status, 404);
    assert!(!is_signed_in(&mut nora).await);
    let (refused, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 403, "{}", end.answer.text());
    assert_eq!(refused.cookie("__Host-usher"), None);

    let again = provision(&company, &client, "nora").await;
    assert_ne!(again, id);
    client.make_group("admins", &[&again]).await;
    let (mut nora, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(user_id(&mut nora).await, first);
}

#[tokio::test]
async fn what_is_not_said_of_active_lets_nobody_in_again() {
    let (company, client) = company().await;
    let id = provision(&company, &client, "alice").await;
    let path = format!("/Users/{id}");
    assert_eq!(client.patch(&path, active(false)).await.status, 200);
    let known = company.idp.user("alice").unwrap();
    let mut whole = user("alice", &known.email, &known.sub);
    whole["title"] = json!("Dr.");
    whole.as_object_mut().unwrap().remove("active");
    let replaced = client.json("PUT", &path, &whole).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text());
    for _ in 0..2 {
        let (browser, end) = company.signed_in("alice", "/").await;
        assert_eq!(end.answer.status, 403, "{}", end.answer.text());
        assert_eq!(browser.cookie("__Host-usher"), None);
        let away = json!({ "op": "remove", "path": "active" });
        assert_eq!(client.patch(&path, away).await.status, 200);
    }
}

#[tokio::test]
async fn a_bulk_request_stops_after_so_many_errors_and_keeps_to_the_states_that_it_names() {
    let (_company, client) = company().await;
    let made = client
        .json("POST", "/Users", &user("ann", "ann@example.com", "1"))
        .await;
    let path = format!("/Users/{}", id_of(&made));
    let title = |version: &str| {
        let data = patch_op(&[json!({ "op": "add", "path": "title", "value": "Dr." })]);
        json!({ "method": "PATCH", "path": path, "version": version, "data": data })
    };
    let gone = json!({ "method": "DELETE", "path": "/Users/nobody" });
    let tag = made.header("etag").unwrap();
    let bulk = json!({ "failOnErrors": 2, "Operations": [title(&tag), title(&tag), gone, gone, title("*")] });
    let answer = client.json("POST", "/Bulk", &bulk).await.json();
    let statuses: Vec<_> = answer["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].clone())
        .collect();
    assert_eq!(statuses, ["200", "412", "404"], "{answer}");
}

#[tokio::test]
async fn who_was_deleted_before_the_first_sign_in_is_not_made_anew() {
    let (company, client) = company().await;
    let id = provision(&company, &client, "alice").await;
    assert_eq!(client.delete(&format!("/Users/{id}")).await.status, 204);
    let (browser, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 403, "{}", end.answer.text());
    assert_eq!(browser.cookie("__Host-usher"), None);
    assert!(
        company
            .callback
            .calls()
            .iter()
            .all(|call| call.kind() != "user.created")
    );
}

#[tokio::test]
async fn takes_over_who_signed_in_before() {
    let (company, client) = company().await;
    let (mut alice, _) = company.signed_in("alice", "/").await;
    let before = user_id(&mut alice).await;
    let id = provision(&company, &client, "alice").await;
    assert!(is_signed_in(&mut alice).await);
    assert_eq!(
        client
            .patch(&format!("/Users/{id}"), active(false))
            .await
            .status,
        200
    );
    assert!(!is_signed_in(&mut alice).await);
    assert_eq!(
        client
            .patch(&format!("/Users/{id}"), active(true))
            .await
            .status,
        200
    );
    let (mut alice, _) = company.signed_in("alice", "/").await;
    assert_eq!(user_id(&mut alice).await, before);
}

#[tokio::test]
async fn nobody_is_joined_by_a_name_alone() {
    let (company, client) = company().await;
    let (mut alice, _) = company.signed_in("alice", "/").await;
    let known = company.idp.user("alice").unwrap();
    for (name, email) in [
        ("alice", "other@example.com"),
        ("other", known.email.as_str()),
        ("ALICE", "other@example.com"),
        (" alice ", "other@example.com"),
        ("\u{ff41}lice", "other@example.com"),
        ("al\u{131}ce", "other@example.com"),
    ] {
        let document = user(name, email, "somebody-else");
        let answer = client.json("POST", "/Users", &document).await;
        assert_eq!(answer.status, 409, "{name} {email}: {}", answer.text());
        assert_eq!(answer.json()["scimType"], "uniqueness");
    }
    assert!(is_signed_in(&mut alice).await);
}

#[tokio::test]
async fn a_group_that_scim_manages_counts_by_scim_alone() {
    let (company, client) = company().await;
    let alice = provision(&company, &client, "alice").await;
    // Her token says `engineering`; SCIM knows a group of that name without her.
    let engineering = client.make_group("Engineering", &[]).await;
    let (_, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 403, "do not have a role"),
        "{}",
        end.answer.text()
    );

    let admins = client.make_group("admins", &[&alice]).await;
    let (mut browser, end) = company.signed_in("alice", "/admin/users").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    // A live session sees the change at its next request.
    let path = format!("/Groups/{admins}");
    let remove = json!({ "op": "Remove", "path": format!("members[value eq \"{alice}\"]") });
    assert_eq!(client.patch(&path, remove).await.status, 204);
    let refused = browser.open(&page("/admin/users")).await.unwrap();
    assert_ne!(refused.status, 200);

    let renamed =
        json!({ "op": "replace", "value": { "id": engineering, "displayName": "engineering" } });
    assert_eq!(
        client
            .patch(&format!("/Groups/{engineering}"), renamed)
            .await
            .status,
        204
    );
    let add = json!({ "op": "Add", "path": "members", "value": [{ "value": alice }] });
    assert_eq!(
        client
            .patch(&format!("/Groups/{engineering}"), add)
            .await
            .status,
        204
    );
    let (mut browser, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(
        client
            .delete(&format!("/Groups/{engineering}"))
            .await
            .status,
        204
    );
    // No group of that name is left: what the token says counts again.
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_open_stream_ends_with_the_user() {
    let (company, client) = company().await;
    let id = provision(&company, &client, "alice").await;
    let (alice, _) = company.signed_in("alice", "/").await;
    let cookies = alice.cookie_header(&page("/")).unwrap();
    let mut wire = Wire::connect(company.usher.public(), UNTRUSTED)
        .await
        .unwrap();
    let request = format!("GET /sse HTTP/1.1\r\nHost: wiki.test\r\nCookie: {cookies}\r\n\r\n");
    wire.send(request.as_bytes()).await;
    assert!(wire.some(PROMPT).await.starts_with(b"HTTP/1.1 200"));
    let began = Instant::now();
    let answer = client.patch(&format!("/Users/{id}"), active(false)).await;
    assert_eq!(answer.status, 200);
    assert!(wire.closes_within(PROMPT).await);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn only_the_tenant_s_own_token_opens_anything() {
    let changes = Changes {
        idp: vec![format!("scim: {{ token: {TOKEN} }}")],
        more_idps: "  - id: globex\n    label: Globex\n    scim: { token: another-token-of-another-tenant-0123456 }\n    \
                    oidc: { issuer: \"http://127.0.0.1:9\", client_id: x, client_secret: y }\n"
            .to_owned(),
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let acme = ScimClient::new(company.usher.public(), "wiki.test", "acme");
    let id = acme.make_user("ann", "ann@example.com", "1").await;
    let stranger = |idp: &str, token: &str| ScimClient {
        token: token.to_owned(),
        ..ScimClient::new(company.usher.public(), "wiki.test", idp)
    };
    let large = vec![b'x'; 900_000];
    for client in [
        stranger("globex", TOKEN),
        stranger("acme", "another-token-of-another-tenant-0123456"),
        stranger("nobody", TOKEN),
        stranger("acme", ""),
        stranger("acme", &format!("{TOKEN}x")),
    ] {
        for (method, path) in [
            ("GET", "/Users"),
            ("GET", "/ServiceProviderConfig"),
            ("GET", "/nothing"),
            ("GET", ""),
            ("POST", "/Users"),
            ("DELETE", &format!("/Users/{id}")),
            ("OPTIONS", "/Users"),
            ("BREW", "/Me"),
        ] {
            let body = if method == "POST" {
                large.as_slice()
            } else {
                b""
            };
            let answer = client.send(method, path, &[], body).await;
            assert_eq!(answer.status, 401, "{method} {path} {client:?}");
            assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
            assert!(!answer.text().contains("ann"));
        }
    }
    let globex = stranger("globex", "another-token-of-another-tenant-0123456");
    assert_eq!(globex.get("/Users").await.json()["totalResults"], 0);
    assert_eq!(globex.get(&format!("/Users/{id}")).await.status, 404);
    assert_eq!(globex.delete(&format!("/Users/{id}")).await.status, 404);
    let group = json!({ "displayName": "g", "members": [{ "value": id }] });
    let refused = globex.json("POST", "/Groups", &group).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(acme.get(&format!("/Users/{id}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_that_make_one_user_at_once_one_does() {
    let (company, client) = company().await;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let document = user("newuser", "newuser@example.com", "new-1");
                client.json("POST", "/Users", &document).await.status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    let of = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!(
        (of(201), of(409)),
        (1, 99),
        "{statuses:?}\n{}",
        company.usher.log()
    );
    assert_eq!(client.get("/Users").await.json()["totalResults"], 1);
}

#[tokio::test]
async fn an_idp_writes_addresses_of_its_own_domains_alone() {
    let changes = Changes {
        idp: vec![
            "email_domains: [example.com]".to_owned(),
            format!(
                "scim: {{ token: {TOKEN}, match: {{ scim: userName, attribute: preferred_username }} }}"
            ),
        ],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let client = ScimClient::new(company.usher.public(), "wiki.test", "acme");
    let answer = client
        .json("POST", "/Users", &user("boss", "boss@globex.example", "1"))
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    // By the attribute that the config names, in any case.
    let id = client.make_user("ALICE", "alice@example.com", "7").await;
    let (mut alice, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(
        client
            .patch(&format!("/Users/{id}"), active(false))
            .await
            .status,
        200
    );
    assert!(!is_signed_in(&mut alice).await);
}

#[tokio::test]
async fn preconditions_and_projections_hold() {
    let (_company, client) = company().await;
    let made = client
        .json("POST", "/Users", &user("ann", "ann@example.com", "1"))
        .await;
    let (path, tag) = (
        format!("/Users/{}", id_of(&made)),
        made.header("etag").unwrap(),
    );
    assert_eq!(
        made.header("location").unwrap(),
        format!("https://wiki.test/_usher/scim/acme/v2{path}")
    );
    let fresh = client
        .send("GET", &path, &[("If-None-Match", &tag)], b"")
        .await;
    assert_eq!((fresh.status, fresh.body.len()), (304, 0));
    let title = patch_op(&[json!({ "op": "add", "path": "title", "value": "Dr." })]).to_string();
    let lines = [
        ("If-Match", tag.as_str()),
        ("Content-Type", "application/scim+json"),
    ];
    assert_eq!(
        client
            .send("PATCH", &path, &lines, title.as_bytes())
            .await
            .status,
        200
    );
    let late = title.replace("Dr.", "Prof.");
    assert_eq!(
        client
            .send("PATCH", &path, &lines, late.as_bytes())
            .await
            .status,
        412
    );
    assert_eq!(client.send("DELETE", &path, &lines, b"").await.status, 412);
    let shown = client
        .get(&format!("{path}?attributes=title,name.givenName"))
        .await
        .json();
    assert_eq!(shown.as_object().unwrap().len(), 3, "{shown}");
    assert_eq!(shown["title"], "Dr.");
    let shown = client
        .get(&format!("{path}?excludedAttributes=emails,id"))
        .await
        .json();
    assert!(shown.get("emails").is_none() && shown.get("id").is_some());
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_in_pages() {
    let (_company, client) = company().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let (name, email) = (format!("user{}", 6 - n), format!("user{n}@example.com"));
        ids.push(client.make_user(&name, &email, &format!("ext{n}")).await);
    }
    let group = client.make_group("some", &[&ids[0], &ids[1]]).await;
    let names = |answer: &Value| -> Vec<String> {
        let list = answer["Resources"].as_array().unwrap();
        list.iter()
            .map(|one| one["userName"].as_str().unwrap().to_owned())
            .collect()
    };
    let page = client
        .get("/Users?sortBy=userName&startIndex=3&count=2")
        .await
        .json();
    assert_eq!(names(&page), ["user2", "user3"]);
    assert_eq!(
        (
            &page["totalResults"],
            &page["itemsPerPage"],
            &page["startIndex"]
        ),
        (&json!(7), &json!(2), &json!(3))
    );
    let down = client
        .get("/Users?sortBy=userName&sortOrder=descending&count=1")
        .await
        .json();
    assert_eq!(names(&down), ["user6"]);
    let all = client.get("/Users?count=3").await.json();
    assert_eq!(names(&all), ["user6", "user5", "user4"]);
    for (filter, expected) in [
        ("userName%20eq%20%22USER3%22", 1),
        ("userName%20eq%20%22nobody%22", 0),
        ("externalId%20eq%20%22ext0%22%20and%20active%20eq%20true", 1),
        ("userName%20sw%20%22user%22", 7),
        ("emails.value%20eq%20%22user4@example.com%22", 1),
        (&format!("groups.value%20eq%20%22{group}%22"), 2),
    ] {
        let found = client
            .get(&format!("/Users?filter={filter}&startIndex=1&count=100"))
            .await;
        assert_eq!(
            found.json()["totalResults"],
            expected,
            "{filter}: {}",
            found.text()
        );
    }
    let mine = client
        .get(&format!(
            "/Groups?filter=members.value%20eq%20%22{}%22&excludedAttributes=members",
            ids[0]
        ))
        .await
        .json();
    assert_eq!(mine["totalResults"], 1);
    assert!(mine["Resources"][0].get("members").is_none());
    let search = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": "userName ge \"user4\"", "sortBy": "userName", "attributes": ["userName"], "count": 2,
    });
    let found = client.json("POST", "/Users/.search", &search).await.json();
    assert_eq!(
        (names(&found), &found["totalResults"]),
        (vec!["user4".to_owned(), "user5".to_owned()], &json!(3))
    );
    let both = client.get("/?startIndex=7&count=5").await.json();
    assert_eq!(both["totalResults"], 8);
    assert_eq!(both["Resources"].as_array().unwrap().len(), 2);
    assert_eq!(both["Resources"][1]["displayName"], "some");
    for (query, status) in [
        ("count=abc", 400),
        ("sortBy=password", 400),
        ("sortBy=;drop", 400),
        ("count=0", 200),
        ("startIndex=18446744073709551616", 200),
        ("filter=password%20pr", 400),
    ] {
        assert_eq!(
            client.get(&format!("/Users?{query}")).await.status,
            status,
            "{query}"
        );
    }
}

#[tokio::test]
async fn what_no_index_finds_or_sorts_is_refused_where_there_are_too_many() {
    let (company, client) = company().await;
    let id = client.make_user("ann", "ann@example.com", "ext").await;
    let total = async |query: &str| {
        let answer = client.get(&format!("/Users?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["totalResults"].as_u64().unwrap()
    };
    let scanned = ["filter=title%20pr", "sortBy=title"];
    let changed =
        "filter=meta.lastModified%20gt%20%222020-01-01T00:00:00Z%22%20and%20active%20eq%20true";
    let indexed = [
        ("sortBy=userName&count=1", 4001),
        (
            "sortBy=meta.lastModified&sortOrder=descending&startIndex=3999&count=1",
            4001,
        ),
        (
            "filter=emails.value%20eq%20%22ANN@example.com%22%20and%20title%20pr",
            0,
        ),
        (
            "filter=emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22ann@example.com%22",
            1,
        ),
        (changed, 1),
    ];
    run_sql(
        &company,
        "INSERT INTO users (id, active, created_at, signed_in_at) VALUES ('usr_many', 1, 0, 0);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
         INSERT INTO scim_users (idp, id, user_id, user_name, user_name_key, active, document, version, created_at, changed_at)
         SELECT 'acme', 'many-' || i, 'usr_many', 'many' || i, 'many' || i, 1, '{}', 1, 1000, 1000 FROM n",
    )
    .await;
    for (query, expected) in indexed {
        assert_eq!(total(query).await, expected, "{query}");
    }
    for query in scanned {
        let refused = client.get(&format!("/Users?{query}")).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text());
        assert_eq!(refused.json()["scimType"], "tooMany", "{query}");
    }
    // Who goes takes the addresses along; a changed address is found, the former one is not.
    let path = format!("/Users/{id}");
    let other = json!({ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "anna@example.com" });
    assert_eq!(client.patch(&path, other).await.status, 200);
    let found = |email: &str| format!("filter=emails.value%20eq%20%22{email}%22");
    assert_eq!(total(&found("ann@example.com")).await, 0);
    assert_eq!(total(&found("anna@example.com")).await, 1);
    assert_eq!(client.delete(&path).await.status, 204);
    assert_eq!(total(&found("anna@example.com")).await, 0);
    for query in scanned {
        assert_eq!(
            total(query).await,
            if query.starts_with("sortBy") { 4000 } else { 0 },
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_bulk_request_refers_to_what_it_makes() {
    let (_company, client) = company().await;
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            { "method": "POST", "path": "/Groups", "bulkId": "g",
              "data": { "displayName": "Tour Guides", "members": [{ "value": "bulkId:u" }] } },
            { "method": "POST", "path": "/Users", "bulkId": "u",
              "data": user("ann", "ann@example.com", "1") },
            { "method": "POST", "path": "/Users", "bulkId": "again",
              "data": user("ann", "ann@example.com", "1") },
            { "method": "PATCH", "path": "/Users/bulkId:u",
              "data": patch_op(&[json!({ "op": "add", "path": "title", "value": "Guide" })]) },
        ],
    });
    let answer = client.json("POST", "/Bulk", &bulk).await.json();
    let statuses: Vec<&str> = answer["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["201", "201", "409", "200"], "{answer}");
    assert_eq!(
        answer["Operations"][2]["response"]["scimType"],
        "uniqueness"
    );
    let found = client
        .get("/Users?filter=title%20eq%20%22guide%22")
        .await
        .json();
    assert_eq!(found["Resources"][0]["groups"][0]["display"], "Tour Guides");
}

#[tokio::test]
async fn a_group_of_a_thousand_is_changed_at_once() {
    let (_company, client) = company().await;
    let mut ids = Vec::new();
    for chunk in 0..2 {
        let operations: Vec<Value> = (0..500)
            .map(|n| {
                let name = format!("user{chunk}-{n}");
                json!({ "method": "POST", "path": "/Users", "bulkId": name,
                        "data": user(&name, &format!("{name}@example.com"), &name) })
            })
            .collect();
        let bulk = json!({ "Operations": operations });
        let answer = client.json("POST", "/Bulk", &bulk).await;
        for one in answer.json()["Operations"].as_array().unwrap() {
            assert_eq!(one["status"], "201", "{one}");
            let location = one["location"].as_str().unwrap();
            ids.push(location.rsplit_once('/').unwrap().1.to_owned());
        }
    }
    let group = client.make_group("all", &[]).await;
    let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
    let path = format!("/Groups/{group}");
    let add = json!({ "op": "add", "path": "members", "value": members });
    assert_eq!(client.patch(&path, add.clone()).await.status, 204);
    let shown = client.get(&path).await.json();
    assert_eq!(shown["members"].as_array().unwrap().len(), 1000);
    // One unknown member among them, and nothing is written.
    let mut wrong = members;
    wrong.push(json!({ "value": "nobody" }));
    let replace = json!({ "op": "replace", "path": "members", "value": wrong });
    assert_eq!(client.patch(&path, replace).await.status, 400);
    let remove = json!({ "op": "remove", "path": "members", "value": [{ "value": ids[0] }] });
    assert_eq!(client.patch(&path, remove).await.status, 204);
    let shown = client.get(&path).await.json();
    assert_eq!(shown["members"].as_array().unwrap().len(), 999);
}
