#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use serde_json::{Value, json};

use super::*;
use crate::refusal::{Reason, Refusal};

const URL: &str = "https://wiki.example/_usher/sign-in?return_to=%2Fa";

/// What people may put into whatever they control.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "javascript:alert(1)",
    " JaVaScRiPt:alert(1)",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "/\t/evil.example",
    "</title><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
];

fn context() -> PageContext<'static> {
    PageContext {
        prefix: "/_usher",
        request_id: "req_0198c6f2a1d17c3e",
        site: "wiki.example",
        form_origins: &[],
    }
}

fn choices() -> Vec<IdpChoice> {
    ["Acme", "Globex Corporation"]
        .map(|label| IdpChoice {
            label: label.into(),
            href: "/_usher/sign-in/acme?return_to=%2Fa".into(),
        })
        .to_vec()
}

/// Every page that there is, with a name for each.
fn pages() -> Vec<(String, Response<String>)> {
    let context = context();
    let mut pages = vec![
        (
            "sign_in".into(),
            sign_in(
                &choices(),
                true,
                "/a",
                Some("/_usher/sign-in/local?return_to=%2Fa"),
                &context,
            ),
        ),
        (
            "sign_in_email".into(),
            sign_in(&[], true, "/a", None, &context),
        ),
        (
            "sign_in_none".into(),
            sign_in(&[], false, "/a", None, &context),
        ),
        ("confirm".into(), confirm_sign_out("/a", &context)),
        ("signed_out".into(), signed_out("/a", false, &context)),
        ("signed_out_here".into(), signed_out("/a", true, &context)),
        (
            "local".into(),
            local(
                ("ann@x.example", "/a"),
                false,
                "token",
                Some("/_usher/sign-in"),
                &context,
            ),
        ),
        (
            "local_wrong".into(),
            local(("ann@x.example", "/a"), true, "token", None, &context),
        ),
        (
            "invitation".into(),
            invitation(StatusCode::OK, &shown(None), &choices(), &context),
        ),
        (
            "invitation_again".into(),
            invitation(
                StatusCode::OK,
                &shown(Some("That is too short.")),
                &[],
                &context,
            ),
        ),
        (
            "enrolled".into(),
            enrolled("https://wiki.example/_usher/sign-in/local", &context),
        ),
        (
            "post_form".into(),
            form_to("https://idp.example/sso?a=1", "PHg+"),
        ),
    ];
    for reason in Reason::ALL {
        let said = (*reason == Reason::AccountRefused)
            .then(|| "All 25 seats are taken.\nAsk Ann for a seat.".to_owned());
        let refused = Refusal::new(*reason, "SECRET cause").with_message(said);
        let answer = refusal(&refused, Form::Page, &context, Some(URL));
        pages.push((reason.code().into(), answer));
    }
    pages
}

/// An invitation that lets set a password.
fn shown(mistake: Option<&'static str>) -> Invitation<'static> {
    Invitation {
        email: "ann@x.example",
        name: Some("Ann Adams"),
        inviter: Some("Bob Brown"),
        until: "1 May 2027, 12:00 UTC".to_owned(),
        here: false,
        break_glass: mistake.is_some(),
        mistake: mistake.map(str::to_owned),
        enrolment: Some(Enrolment {
            action: "/_usher/invitation/token".to_owned(),
            svg: "<svg viewBox=\"0 0 1 1\"></svg>",
            key: "ABCD EFGH",
            sealed: "sealed",
            token: "token",
        }),
    }
}

fn form_to(url: &str, value: &str) -> Response<String> {
    let fields = [
        ("SAMLRequest", value.to_owned()),
        ("RelayState", "s".to_owned()),
    ];
    post_form(&Url::parse(url).unwrap(), &fields, &context())
}

fn header<'a>(response: &'a Response<String>, name: &HeaderName) -> &'a str {
    let mut values = response.headers().get_all(name).iter();
    let value = values.next().unwrap().to_str().unwrap();
    assert!(values.next().is_none());
    value
}

#[test]
fn a_navigation_is_told_from_all_else() {
    let form = |method: Method, fields: &[(&str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        form_of(&method, &headers)
    };
    let html = ("accept", "application/xhtml+xml, Text/HTML;q=0.9");
    let navigate = ("sec-fetch-mode", "navigate");
    assert_eq!(form(Method::GET, &[html]), Form::Page);
    assert_eq!(form(Method::HEAD, &[navigate]), Form::Page);
    assert_eq!(
        form(Method::GET, &[("accept", "*/*"), navigate]),
        Form::Page
    );
    assert_eq!(
        form(Method::GET, &[html, ("sec-fetch-mode", "cors")]),
        Form::Json
    );
    assert_eq!(
        form(Method::GET, &[html, navigate, ("x-requested-with", "x")]),
        Form::Json
    );
    assert_eq!(form(Method::GET, &[("accept", "*/*")]), Form::Json);
    assert_eq!(form(Method::GET, &[]), Form::Json);
    assert_eq!(form(Method::POST, &[html, navigate]), Form::Json);
}

#[test]
fn every_answer_is_uncached_unframed_and_runs_nothing() {
    let refused = Refusal::new(Reason::NoRole, "x");
    let mut answers = pages();
    answers.push((
        "json".into(),
        refusal(&refused, Form::Json, &context(), None),
    ));
    answers.push(("redirect".into(), redirect("/", false)));
    for (name, response) in answers {
        assert_eq!(header(&response, &CACHE_CONTROL), "no-store", "{name}");
        assert_eq!(header(&response, &X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(header(&response, &X_FRAME_OPTIONS), "DENY");
        assert!(header(&response, &VARY).contains("Cookie"));
        let policy = header(&response, &CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; "));
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        // The one that posts a form has the one script: see below.
        let posts = name == "post_form";
        assert!(!policy.contains("unsafe") && policy.contains("script-src") == posts);
        assert_eq!(
            response.body().matches("<script").count(),
            usize::from(posts)
        );
        assert!(!response.body().contains(" style="));
        assert!(!response.body().contains("SECRET"), "{name}");
    }
}

#[test]
fn the_style_has_the_hash_that_the_policy_names() {
    let response = signed_out("/", false, &context());
    let (_, rest) = response.body().split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash);
    assert!(header(&response, &CONTENT_SECURITY_POLICY).contains(&format!("'sha256-{hash}'")));
}

#[test]
fn forms_may_go_to_the_idps_and_nowhere_else() {
    let origins = [
        "https://login.acme.example".to_owned(),
        "x; script-src *".to_owned(),
    ];
    let context = PageContext {
        form_origins: &origins,
        ..context()
    };
    let response = sign_in(&choices(), true, "/", None, &context);
    let policy = header(&response, &CONTENT_SECURITY_POLICY);
    assert!(
        policy.ends_with("form-action 'self' https://login.acme.example"),
        "{policy}"
    );
}

#[test]
fn every_page_says_what_it_is_and_can_be_walked_through() {
    for (name, response) in pages() {
        let body = response.body();
        assert_eq!(header(&response, &CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(
            body.starts_with("<!doctype html>\n<html lang=\"en\">"),
            "{name}"
        );
        assert!(!body.contains("<title> ·"), "{name}");
        for part in [
            "<header>",
            "<main>",
            "<footer>",
            "name=\"viewport\"",
            " · wiki.example</title>",
        ] {
            assert_eq!(body.matches(part).count(), 1, "{name}: {part}");
        }
        assert_eq!(body.matches("<h1>").count(), 1, "{name}");
        for input in body
            .split("<input ")
            .skip(1)
            .filter(|input| !input.contains("type=\"hidden\""))
        {
            let id = input
                .split("id=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap();
            assert!(body.contains(&format!("<label for=\"{id}\">")), "{name}");
        }
    }
}

#[test]
fn a_refusal_says_what_happened_what_to_do_and_what_to_ask_with() {
    for reason in Reason::ALL {
        let refused = Refusal::new(*reason, "SECRET cause");
        let response = refusal(&refused, Form::Page, &context(), Some(URL));
        assert_eq!(response.status(), reason.status());
        let text = response.body().replace("&#38;", "&").replace("&#39;", "'");
        for part in [
            reason.title(),
            reason.message(),
            reason.advice(),
            reason.code(),
            "req_0198c6f2a1d17c3e",
        ] {
            assert!(text.contains(part), "{reason:?}: {part}");
        }
    }
}

#[test]
fn a_refusal_offers_what_can_help() {
    let links = |reason| {
        let refused = Refusal::new(reason, "x");
        let body = refusal(&refused, Form::Page, &context(), Some(URL)).into_body();
        body.split("<a class=\"button")
            .skip(1)
            .map(|link| {
                link.split("href=\"")
                    .nth(1)
                    .unwrap()
                    .split("</a>")
                    .next()
                    .unwrap()
                    .replace("&#38;", "&")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(links(Reason::SignInRequired), [format!("{URL}\">Sign in")]);
    assert_eq!(
        links(Reason::StateInvalid),
        [format!("{URL}\">Start again")]
    );
    assert_eq!(
        links(Reason::NoRole),
        [
            format!("{URL}&prompt=login\">Sign in with another account"),
            "/_usher/sign-out\">Sign out".to_owned(),
        ]
    );
    assert_eq!(links(Reason::AppDown), ["\">Try again"]);
    assert_eq!(links(Reason::UnknownHost), [""; 0]);
}

/// One in which somebody chose every word.
fn hostile_invitation(words: &'static str) -> Invitation<'static> {
    Invitation {
        email: words,
        name: Some(words),
        inviter: Some(words),
        until: words.to_owned(),
        ..shown(Some(words))
    }
}

#[test]
fn what_people_control_stays_text() {
    for hostile in HOSTILE {
        let context = PageContext {
            site: hostile,
            request_id: hostile,
            ..context()
        };
        let choices = [IdpChoice {
            label: (*hostile).into(),
            href: (*hostile).into(),
        }];
        let refused =
            Refusal::new(Reason::AccountRefused, "x").with_message(Some((*hostile).into()));
        for response in [
            sign_in(&choices, true, hostile, Some(hostile), &context),
            confirm_sign_out(hostile, &context),
            signed_out(hostile, false, &context),
            refusal(&refused, Form::Page, &context, Some(hostile)),
            local((hostile, hostile), true, hostile, Some(hostile), &context),
            invitation(
                StatusCode::OK,
                &hostile_invitation(hostile),
                &choices,
                &context,
            ),
            enrolled(hostile, &context),
        ] {
            let body = response.body();
            for active in ["<script", "<img", "<svg onload", "</style><", "\"><img"] {
                assert!(!body.contains(active), "{hostile}: {active}");
            }
            for link in body.split("href=\"").skip(1) {
                let link = link.split('"').next().unwrap();
                let fine = ["/", "https://", "data:,", "/_usher/"]
                    .iter()
                    .any(|start| link.starts_with(start));
                assert!(
                    fine && !link.starts_with("//") && !link.starts_with("/\\"),
                    "{hostile}: {link}"
                );
                assert!(!link.contains("evil"), "{hostile}: {link}");
            }
        }
    }
}

#[test]
fn json_has_the_stable_form_and_no_cause() {
    let body = |reason, said: Option<&str>| -> Value {
        let refused = Refusal::new(reason, "SECRET").with_message(said.map(Into::into));
        let response = refusal(&refused, Form::Json, &context(), Some(URL));
        assert_eq!(header(&response, &CONTENT_TYPE), "application/json");
        assert_eq!(response.status(), reason.status());
        serde_json::from_str(response.body()).unwrap()
    };
    assert_eq!(
        body(Reason::SignInRequired, None),
        json!({
            "error": "sign_in_required", "message": "You need to sign in to see this.",
            "request_id": "req_0198c6f2a1d17c3e", "sign_in_url": URL,
        })
    );
    assert_eq!(
        body(Reason::AccountRefused, Some("Ask Ann.")),
        json!({
            "error": "account_refused", "message": "Ask Ann.", "request_id": "req_0198c6f2a1d17c3e",
        })
    );
}

#[test]
fn a_time_to_try_again_is_told() {
    let refused =
        Refusal::new(Reason::CallbackDown, "x").with_retry_after(Duration::from_millis(1500));
    for form in [Form::Page, Form::Json] {
        assert_eq!(
            header(&refusal(&refused, form, &context(), None), &RETRY_AFTER),
            "2"
        );
    }
}

#[test]
fn a_head_gets_the_headers_of_the_page_alone() {
    let page = signed_out("/", false, &context());
    let length = page.body().len().to_string();
    let head = for_head(page);
    assert!(head.body().is_empty());
    assert_eq!(header(&head, &CONTENT_LENGTH), length);
}

#[test]
fn a_redirect_keeps_its_location_or_fails() {
    let found = redirect("https://login.acme.example/?a=b", false);
    assert_eq!(
        (found.status(), header(&found, &LOCATION)),
        (StatusCode::FOUND, "https://login.acme.example/?a=b")
    );
    assert_eq!(redirect("/", true).status(), StatusCode::SEE_OTHER);
    let bad = redirect("/\r\nSet-Cookie: a=b", false);
    assert_eq!(bad.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!bad.headers().contains_key(LOCATION));
}

/// Writes every page into the folder that `USHER_PAGES` names, to be looked at in a browser.
#[test]
fn pages_can_be_written_out_to_look_at() {
    let Ok(folder) = std::env::var("USHER_PAGES") else {
        return;
    };
    for (name, response) in pages() {
        std::fs::write(format!("{folder}/{name}.html"), response.body()).unwrap();
    }
}

#[test]
fn the_form_for_an_idp_posts_by_itself_or_by_a_button_and_nowhere_else() {
    let page = form_to("https://idp.example/sso?a=1&b=%22", "PHg+");
    assert_eq!(page.status(), StatusCode::OK);
    let policy = header(&page, &CONTENT_SECURITY_POLICY);
    // printf %s 'document.forms[0].submit()' | openssl dgst -sha256 -binary | base64
    let script = "script-src 'sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE='";
    assert!(policy.contains(script), "{policy}");
    assert!(
        policy.ends_with("form-action https://idp.example"),
        "{policy}"
    );
    let body = page.body();
    assert!(
        body.contains(r#"action="https://idp.example/sso?a=1&#38;b=%22""#),
        "{body}"
    );
    assert!(
        body.contains(r#"name="SAMLRequest" value="PHg+""#),
        "{body}"
    );
    assert!(
        body.contains(r#"<button class="button" type="submit">"#),
        "{body}"
    );
    assert_eq!(
        body.matches("<script>document.forms[0].submit()</script>")
            .count(),
        1
    );
    for hostile in HOSTILE {
        let body = form_to("https://idp.example/'><script>x", hostile).into_body();
        assert_eq!(body.matches("<script").count(), 1, "{body}");
        assert!(
            !body.contains("<img") && !body.contains("<svg onload"),
            "{body}"
        );
    }
}
