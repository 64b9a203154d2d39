#![allow(clippy::unwrap_used)]
use super::*;
use crate::admin::pages::answer::{STYLE, tabs};
use crate::refusal::Reason;

const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'-alert(1)-'",
    "</title></style><svg onload=alert(1)>",
];

fn frame(name: &str) -> Frame<'_> {
    Frame {
        style: STYLE,
        prefix: "/_usher",
        tabs: tabs(Tab::IdentityProviders),
        name: name.to_owned(),
        csrf: "token".to_owned(),
        done: None,
        confirm: None,
    }
}

fn is_text_alone(html: &str) {
    for markup in [
        "<script",
        "<img",
        "<svg onload",
        "'-alert",
        "</style></title",
    ] {
        assert!(!html.contains(markup), "{markup} in {html}");
    }
}

#[test]
fn what_an_idp_sends_is_text() {
    for hostile in HOSTILE {
        let one = Received {
            source: "ID token",
            name: hostile.to_owned(),
            also: Some(hostile.to_owned()),
            values: vec![hostile.to_owned()],
        };
        let seen = SeenLines {
            refused: None,
            apps: Vec::new(),
            understood: vec![FieldLine {
                label: "Name",
                values: vec![hostile.to_owned()],
            }],
            received: vec![received(one)],
        };
        let refusal = Refusal::new(Reason::InvalidLogin, hostile);
        for (failed, seen) in [(None, Some(seen)), (Some(failed(&refusal)), None)] {
            let page = RunPage {
                frame: frame(hostile),
                id: "acme",
                label: hostile,
                at: None,
                failed,
                seen,
            };
            is_text_alone(&page.render().unwrap());
        }
    }
}

#[test]
fn the_way_to_an_idp_cannot_leave_its_attribute() {
    let to =
        Url::parse("https://idp.test/a?b=\"><script>alert(1)</script>&c='-alert(1)-'").unwrap();
    let page = Leave {
        frame: frame("Ann"),
        to: to.as_str(),
        host: "idp.test",
    };
    let html = page.render().unwrap();
    is_text_alone(&html);
    assert!(
        html.contains("content=\"0;url=https://idp.test/a?b="),
        "{html}"
    );
}

#[test]
fn long_values_are_cut_and_many_are_counted() {
    let one = Received {
        source: "userinfo",
        name: "groups".to_owned(),
        also: None,
        values: vec!["é".repeat(VALUE + 1); VALUES + 5],
    };
    let line = received(one);
    assert_eq!((line.values.len(), line.more), (VALUES, 5));
    assert_eq!(line.values[0].chars().count(), VALUE + 1);
    assert!(line.values[0].ends_with('…'));
}
