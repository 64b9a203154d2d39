//! The admin pages from the outside: who gets in, what a change needs, and what it does.

mod access;
mod changes;
mod idps;

use url::Url;

use crate::support::browser::{Browser, Followed};
use crate::support::company::{ADMIN_ORIGIN, Changes, Company, admin};
use crate::support::wire::Answer;

/// What the pages' own forms carry.
const FROM_HERE: [(&str, &str); 2] = [("Sec-Fetch-Site", "same-origin"), ("Origin", "null")];

/// The session cookie of the admin pages.
const COOKIE: &str = "__Host-usher-admin";

async fn company() -> Company {
    company_with(Changes::default()).await
}

async fn company_with(mut changes: Changes) -> Company {
    changes.top.extend(admin());
    Company::open_with(changes).await
}

fn url(path: &str) -> Url {
    Url::parse(ADMIN_ORIGIN).unwrap().join(path).unwrap()
}

/// A browser at the admin pages.
fn browser(company: &Company) -> Browser {
    Browser::new(company.usher.admin().unwrap())
}

/// Signs in there as somebody and goes to a page.
async fn signed_in(company: &Company, username: &str, path: &str) -> (Browser, Followed) {
    let mut browser = browser(company);
    company.idp.sign_in_as(Some(username));
    let end = browser.follow(&url(path), |_| false, 12).await.unwrap();
    (browser, end)
}

/// An admin who signed in just now.
async fn bob(company: &Company) -> Browser {
    let (browser, end) = signed_in(company, "bob", "/roles").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    browser
}

async fn get(browser: &mut Browser, path: &str) -> Answer {
    browser.open(&url(path)).await.unwrap()
}

/// The page as text, which must be one.
async fn text(browser: &mut Browser, path: &str) -> String {
    let answer = get(browser, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

/// The token of the forms on a page.
fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// A token of this session.
async fn token_of(browser: &mut Browser) -> String {
    token(&text(browser, "/identity-providers/acme").await)
}

/// Posts a form as the page does.
async fn post(browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
    let token = token_of(browser).await;
    let mut all = vec![("csrf", token.as_str())];
    all.extend(fields);
    post_with(browser, path, &FROM_HERE, &all).await
}

async fn post_with(
    browser: &mut Browser,
    path: &str,
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Answer {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let to = url(path);
    let sent = browser.send(&to, "POST", headers, Some(&form));
    sent.await.unwrap()
}

/// The id of somebody by the list of people.
async fn id_of(browser: &mut Browser, name: &str) -> String {
    let page = text(browser, &format!("/people?q={name}")).await;
    let (_, rest) = page
        .split_once("href=\"/people/usr_")
        .unwrap_or_else(|| panic!("no {name}"));
    format!("usr_{}", rest.split('"').next().unwrap())
}
