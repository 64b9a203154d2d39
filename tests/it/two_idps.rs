//! Two identity providers before one directory.

use usher::demo::idp::{CLIENT_ID, CLIENT_SECRET, TestIdp, TestUser};

use crate::support::company::{Changes, Company, is_page, page, people, register};

/// A second IdP whose Alice has another subject, and the config entry for it.
async fn globex(lines: &str) -> (TestIdp, String) {
    let mut alice = TestUser::new("alice", "Alice Adams", &["engineering"]);
    alice.sub = "globex-alice".to_owned();
    let idp = TestIdp::start_with_own_keys(([127, 0, 0, 1], 0).into(), vec![alice])
        .await
        .unwrap();
    register(&idp, "globex");
    let entry = format!(
        "  - id: globex\n    label: Globex\n{lines}    oidc:\n      issuer: {}\n      client_id: {CLIENT_ID}\n      client_secret: {CLIENT_SECRET}\n",
        idp.issuer()
    );
    (idp, entry)
}

async fn company(idp_lines: &[&str], globex_lines: &str) -> (Company, TestIdp) {
    let (globex, entry) = globex(globex_lines).await;
    let changes = Changes {
        idp: idp_lines.iter().map(|line| (*line).to_owned()).collect(),
        more_idps: entry,
        provisioning: vec!["default_role: viewer".to_owned()],
        ..Changes::default()
    };
    let acme = TestIdp::start(([127, 0, 0, 1], 0).into(), people())
        .await
        .unwrap();
    (Company::open_at(acme, changes).await, globex)
}

async fn sign_in_at(
    company: &Company,
    idp: &TestIdp,
    id: &str,
) -> crate::support::browser::Followed {
    idp.sign_in_as(Some("alice"));
    let mut browser = company.browser();
    browser
        .follow(
            &page(&format!("/_usher/sign-in/{id}?return_to=/")),
            |_| false,
            12,
        )
        .await
        .unwrap()
}

#[tokio::test]
async fn the_sign_in_page_offers_each_and_finds_one_by_the_domain() {
    let (company, globex) = company(&[], "    email_domains: [globex.example]\n").await;
    let mut browser = company.browser();
    let end = browser
        .follow(&page("/deep?x=1"), |_| false, 5)
        .await
        .unwrap();
    let html = end.answer.text();
    assert!(
        html.contains("Acme") && html.contains("Globex") && html.contains("name=\"email\""),
        "{html}"
    );
    let found = browser
        .open(&page(
            "/_usher/sign-in?email=ann%40Globex.example&return_to=%2Fdeep",
        ))
        .await
        .unwrap();
    assert!(
        found
            .header("location")
            .unwrap()
            .starts_with(globex.issuer())
    );
    let unknown = browser
        .open(&page("/_usher/sign-in?email=ann%40nowhere.example"))
        .await
        .unwrap();
    assert!(
        is_page(&unknown, 404, "No identity provider"),
        "{}",
        unknown.text()
    );
}

#[tokio::test]
async fn the_same_address_from_another_idp_is_another_person_and_refused() {
    let (company, globex) = company(&[], "").await;
    assert_eq!(
        sign_in_at(&company, &company.idp, "acme")
            .await
            .answer
            .status,
        200
    );
    let end = sign_in_at(&company, &globex, "globex").await;
    assert!(
        is_page(&end.answer, 403, "belongs to somebody else"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    assert_eq!(company.callback.created_in_all(), 1);
}

#[tokio::test]
async fn linked_idps_keep_one_account_by_a_verified_address_of_both_domains() {
    let domains = "email_domains: [example.com]";
    let (company, globex) = company(
        &[domains],
        "    same_users_as: acme\n    email_domains: [globex.example, example.com]\n",
    )
    .await;
    let _ = (&company, &globex);
    assert_eq!(
        sign_in_at(&company, &company.idp, "acme")
            .await
            .answer
            .status,
        200
    );
    let first = company.last_seen().header("x-forwarded-user");
    let end = sign_in_at(&company, &globex, "globex").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    let seen = company.last_seen();
    assert_eq!(seen.header("x-forwarded-user"), first);
    assert_eq!(
        seen.header("x-forwarded-roles").as_deref(),
        Some("viewer"),
        "a group counts only from the IdP it stands under"
    );
    assert_eq!(company.callback.created_in_all(), 1);
}

#[tokio::test]
async fn an_answer_of_one_idp_at_the_address_of_another_is_refused() {
    let (company, _globex) = company(&[], "").await;
    company.idp.sign_in_as(Some("alice"));
    let mut browser = company.browser();
    let is_callback = |url: &url::Url| url.path().ends_with("/callback");
    let followed = browser
        .follow(&page("/_usher/sign-in/acme?return_to=/"), is_callback, 12)
        .await
        .unwrap();
    let mut callback = followed.stopped_before.unwrap();
    callback.set_path("/_usher/oidc/globex/callback");
    let refused = browser.open(&callback).await.unwrap();
    assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
    assert_eq!(company.idp.counts().token_calls, 0);
}
