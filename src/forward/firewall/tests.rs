#![allow(clippy::unwrap_used)]

use super::*;
use crate::access::fixtures::{app, rule};
use crate::config::{Allow, HeaderSource};

const OURS: &[&str] = &[
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-name",
    "x-forwarded-groups",
    "x-forwarded-roles",
    "x-forwarded-account",
    "x-usher-jwt",
    "x-usher-anything",
    "x-auth-request-user",
    "remote-user",
    "remote-groups",
    "x-remote-user",
    "x-webauth-user",
    "x-webauth-role",
    "x-jwt-assertion",
    "x-proxy-user",
    "x-proxy-roles",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "x-forwarded-method",
    "x-forwarded-access-token",
    "forwarded",
    "x-real-ip",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-envoy-original-path",
    "x-request-id",
    "proxy",
    "proxy-connection",
    "connection",
    "keep-alive",
    "upgrade",
    "transfer-encoding",
    "http2-settings",
    "x-host",
];

fn wall() -> Firewall {
    Firewall::new(&app())
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn cleaned(fields: &[(&str, &str)]) -> Vec<String> {
    let mut lines = Vec::new();
    wall().pass(&headers(fields), "__Host-usher", |name, value| {
        lines.push(format!("{name}: {}", str::from_utf8(value).unwrap()));
    });
    lines.sort();
    lines
}

#[test]
fn drops_our_names_however_an_app_may_fold_them() {
    for name in OURS {
        for character in "-_.~!'+^`|#$%&*".chars() {
            for prefix in ["", "http-", "HTTP_"] {
                let spelt = format!("{prefix}{}", name.replace('-', &character.to_string()));
                for spelt in [spelt.to_uppercase(), spelt] {
                    let name = HeaderName::from_bytes(spelt.as_bytes()).unwrap();
                    assert!(wall().drops(&name), "{spelt}");
                }
            }
        }
    }
}

#[test]
fn what_a_proxy_does_not_overwrite_evades_it() {
    let mut grafana = app();
    grafana.headers.preset = Preset::Grafana;
    grafana.access.push(rule(&["/x"], &["GET"], Allow::Anyone));
    let wall = Firewall::new(&grafana);
    for (name, evades) in [
        ("x-webauth-user", false),
        ("x_webauth_user", true),
        ("x.webauth.user", true),
        ("http-x-webauth-user", true),
        ("http_x_webauth_user", true),
        ("x_forwarded_uri", true),
        ("x_real_ip", true),
        ("x-forwarded-user", true),
        ("remote-user", true),
        ("x-usher-jwt", true),
        ("x-http-method-override", true),
        ("x-rewrite-url", true),
        ("x-forwarded-for", false),
        ("x-forwarded-port", false),
        ("x-original-url", false),
        ("x-auth-request-redirect", false),
        ("x-usher-groups-overage", false),
        ("accept_language", false),
        ("connection", false),
    ] {
        assert_eq!(
            wall.evades(&HeaderName::from_static(name)),
            evades,
            "{name}"
        );
    }
    let calm = wall_of(&["x-who_am.i"]);
    assert!(!calm.evades(&HeaderName::from_static("x-who_am.i")));
    assert!(calm.evades(&HeaderName::from_static("x_who_am_i")));
    assert!(!calm.evades(&HeaderName::from_static("x-http-method-override")));
}

fn wall_of(names: &[&'static str]) -> Firewall {
    let mut app = app();
    let map = names
        .iter()
        .map(|name| (HeaderName::from_static(name), HeaderSource::User));
    app.headers.preset = Preset::Custom(map.collect());
    Firewall::new(&app)
}

#[test]
fn leaves_ordinary_headers_alone() {
    let ordinary = [
        ("accept", "*/*"),
        ("authorization", "Bearer x"),
        ("content-type", "text/plain"),
        ("origin", "https://wiki.example"),
        ("range", "bytes=0-1"),
        ("referer", "x"),
        ("sec-websocket-key", "x"),
        ("traceparent", "00-1-2-00"),
        ("upgrade-insecure-requests", "1"),
        ("user-agent", "x"),
        ("x-api-key", "x"),
        ("x-csrf-token", "x"),
        ("x-forwardeduser", "x"),
        ("x-http-method-override", "PUT"),
        ("x-requested-with", "x"),
        ("xforwarded-user", "x"),
        ("y-forwarded-user", "x"),
    ];
    let lines: Vec<String> = ordinary
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(cleaned(&ordinary), lines);
}

#[test]
fn removes_every_line_of_a_name_and_every_spelling_at_once() {
    assert_eq!(
        cleaned(&[
            ("X-Forwarded-User", "root"),
            ("X_Forwarded_User", "root"),
            ("x-forwarded-user", "alice"),
            ("a", "b")
        ]),
        ["a: b"]
    );
}

#[test]
fn names_of_a_custom_map_are_ours_too() {
    let mut app = app();
    let name = HeaderName::from_static("x-who_am.i");
    assert!(!Firewall::new(&app).drops(&name));
    app.headers.preset = Preset::Custom(vec![(name, HeaderSource::User)]);
    let wall = Firewall::new(&app);
    assert!(wall.drops(&HeaderName::from_static("x_who-am-i")));
    assert!(wall.drops(&HeaderName::from_static("x-forwarded-user")));
    assert!(!wall.drops(&HeaderName::from_static("x-who-am")));
}

#[test]
fn a_method_override_is_dropped_where_rules_name_methods() {
    let mut app = app();
    app.access.push(rule(&["/x"], &["GET"], Allow::Anyone));
    let wall = Firewall::new(&app);
    for name in [
        "x-http-method-override",
        "x-http-method",
        "x_method_override",
    ] {
        assert!(wall.drops(&HeaderName::from_bytes(name.as_bytes()).unwrap()));
    }
}

#[test]
fn hop_by_hop_fields_and_nominated_ones_go_and_so_does_framing() {
    assert_eq!(
        cleaned(&[
            ("connection", "close, X-Foo, , Host"),
            ("connection", "content-length, x-bar, \"bad name\""),
            ("x-foo", "1"),
            ("x-bar", "2"),
            ("x-baz", "3"),
            ("host", "h"),
            ("content-length", "0"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
        ]),
        ["x-baz: 3"]
    );
}

#[test]
fn only_trailers_stays_of_te() {
    assert_eq!(
        cleaned(&[("te", "gzip, Trailers"), ("connection", "te")]),
        ["te: trailers"]
    );
    assert_eq!(cleaned(&[("te", "trailers;q=1, deflate")]), [""; 0]);
}

#[test]
fn an_announced_trailer_with_our_name_is_not_announced() {
    assert_eq!(
        cleaned(&[("trailer", "Grpc-Status, X_Forwarded_User")]),
        ["trailer: Grpc-Status"]
    );
    assert_eq!(cleaned(&[("trailer", "x-forwarded-user")]), [""; 0]);
    assert_eq!(cleaned(&[("trailer", "a,b")]), ["trailer: a,b"]);
}

#[test]
fn our_cookies_go_from_all_cookie_fields() {
    assert_eq!(
        cleaned(&[("cookie", "__Host-usher=x; a=1"), ("cookie", "b=2")]),
        ["cookie: a=1; b=2"]
    );
}
