//! Inbound headers that an app could read as one of ours are removed on every request.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::cookies;
use super::identity::ForwardedIdentity;
use super::presets;
use crate::config::{App, Preset};

/// Names of one meaning, folded. Hop-by-hop fields (RFC 9110 7.6.1), and those that the data plane sets itself.
const NAMES: &[&str] = &[
    "connection",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "x-host",
    "x-http-host-override",
    "x-real-ip",
    "x-request-id",
];

/// Beginnings of folded names: families that presets take their names from, or that rewrite the target.
const FAMILIES: &[&str] = &[
    "remote-",
    "x-auth-request-",
    "x-envoy-original-",
    "x-forwarded-",
    "x-original-",
    "x-remote-",
    "x-rewrite-",
    "x-usher-",
    "x-webauth-",
];

/// Headers that change the method after the rules decided on it.
const METHOD_OVERRIDES: &[&str] = &[
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Headers that some apps take the target from, after the rules decided on another.
const TARGET_OVERRIDES: &[&str] = &["x-rewrite-url"];

/// Names are compared up to here; the families are shorter.
const LONGEST: usize = 128;
/// Letters, and one for all other characters.
const LETTERS: usize = 27;

/// The names that must never come from a client, folded as CGI, WSGI and Rack fold them; built once for each app.
#[derive(Debug)]
pub struct Firewall {
    /// Sorted; of at most [`LONGEST`] bytes each.
    folded: Vec<String>,
    /// The names by which this app is told who somebody is.
    own: Vec<HeaderName>,
    /// How names and families begin: for each first letter, a bit for each second one. Most headers end here.
    initials: [u32; LETTERS],
}

impl Firewall {
    /// For every name that any preset of usher uses and those of this app (a client must not forge for another reader either).
    /// Method overrides are dropped where a rule of the app names methods: the app must not act on another method
    /// than the rules decided on.
    pub fn new(app: &App) -> Self {
        let mut folded: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        folded.extend(presets::all_names().map(fold));
        if let Preset::Custom(map) = &app.headers.preset {
            folded.extend(map.iter().map(|(name, _)| fold(name.as_str())));
        }
        if app.access.iter().any(|rule| rule.methods.is_some()) {
            folded.extend(METHOD_OVERRIDES.iter().map(|name| (*name).to_owned()));
        }
        folded.sort_unstable();
        folded.dedup();
        let mut initials = [0; LETTERS];
        let known = folded.iter().map(String::as_str);
        for name in known.chain(FAMILIES.iter().copied()).chain(["http-"]) {
            let (first, second) = initial(name.as_bytes());
            initials[first] |= second;
        }
        let own = ForwardedIdentity::names(app);
        Self {
            folded,
            own,
            initials,
        }
    }

    /// The names by which this app is told who somebody is: all that a proxy has to copy from a forward-auth answer.
    pub fn own(&self) -> &[HeaderName] {
        &self.own
    }

    /// Whether a client's header would reach the app past a proxy that overwrites only [`Firewall::own`], and mislead it: another spelling of a
    /// name that is ours, an identity header of another preset, or one that changes method or target after the rules decided on them.
    pub fn evades(&self, name: &HeaderName) -> bool {
        if !self.drops(name) || self.own.contains(name) {
            return false;
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let name = name.as_str();
        !name.bytes().all(plain)
            || name.starts_with("http-")
            || presets::all_names().any(|known| known == name)
            || METHOD_OVERRIDES.contains(&name)
            || TARGET_OVERRIDES.contains(&name)
    }

    /// Whether a client's header of that name is dropped: its folded form (lower case, every non-alphanumeric as `-`) is one of ours.
    /// `Http-` before it does not help: some apps look for a field by its CGI name.
    pub fn drops(&self, name: &HeaderName) -> bool {
        self.drops_bytes(name.as_str().as_bytes())
    }

    fn drops_bytes(&self, name: &[u8]) -> bool {
        let (first, second) = initial(name);
        if self.initials[first] & second == 0 {
            return false;
        }
        let mut buffer = [0_u8; LONGEST];
        let length = name.len().min(LONGEST);
        for (place, byte) in buffer.iter_mut().zip(name) {
            *place = fold_byte(*byte);
        }
        let mut folded = &buffer[..length];
        loop {
            let known = self
                .folded
                .binary_search_by(|known| known.as_bytes().cmp(folded))
                .is_ok();
            if known
                || FAMILIES
                    .iter()
                    .any(|start| folded.starts_with(start.as_bytes()))
            {
                return true;
            }
            match folded.strip_prefix(b"http-") {
                Some(rest) => folded = rest,
                None => return false,
            }
        }
    }

    /// Removes from `headers`, in one pass: what [`Firewall::drops`], hop-by-hop fields (RFC 9110 7.6.1; the data plane sets
    /// `Connection` and `Upgrade` anew for a WebSocket), what `Connection` nominates (never `Host` or `Content-Length`),
    /// `Proxy`, `Forwarded` and `X-Forwarded-*` (the data plane sets its own), trailers' announcements that name ours; usher's own cookies out of `Cookie`
    /// (`cookie_name`, `cookie_name-*`), the field itself when nothing is left. Several `Cookie` fields become one
    /// (RFC 9113 8.2.3). Of `TE` only `trailers` stays. Fields that usher adds must be added after it.
    pub fn clean(&self, headers: &mut HeaderMap, cookie_name: &str) {
        let mut dropped: Vec<HeaderName> = Vec::new();
        let mut special = Special::default();
        for name in headers.keys() {
            if self.drops(name) {
                dropped.push(name.clone());
            }
            special.note(name);
        }
        if special.connection {
            dropped.extend(nominated(headers));
        }
        for name in dropped {
            headers.remove(name);
        }
        if special.te {
            keep_trailers(headers);
        }
        if special.trailer {
            self.clean_announcement(headers);
        }
        if special.cookie {
            cookies::clean(headers, cookie_name);
        }
    }

    /// Takes names that are ours out of `Trailer`; the trailers themselves are filtered with [`Firewall::drops`].
    fn clean_announcement(&self, headers: &mut HeaderMap) {
        let names = list(headers, &TRAILER);
        let kept: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !self.drops_bytes(name.to_ascii_lowercase().as_bytes()))
            .collect();
        if kept.len() == names.len() {
            return;
        }
        headers.remove(TRAILER);
        if let Ok(value) = HeaderValue::from_str(&kept.join(", "))
            && !value.is_empty()
        {
            headers.insert(TRAILER, value);
        }
    }
}

/// Which of the fields that need a closer look are there.
#[derive(Debug, Default)]
struct Special {
    connection: bool,
    cookie: bool,
    te: bool,
    trailer: bool,
}

impl Special {
    fn note(&mut self, name: &HeaderName) {
        self.connection |= name == CONNECTION;
        self.cookie |= name == COOKIE;
        self.te |= name == TE;
        self.trailer |= name == TRAILER;
    }
}

/// Fields that `Connection` nominates. Routing and framing are not the client's to take away.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    list(headers, &CONNECTION)
        .iter()
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| name != HOST && name != CONTENT_LENGTH && name != TE)
        .collect()
}

fn keep_trailers(headers: &mut HeaderMap) {
    let codings = list(headers, &TE);
    headers.remove(TE);
    if codings
        .iter()
        .any(|coding| coding.eq_ignore_ascii_case("trailers"))
    {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Members of a comma-separated field over all its lines.
fn list(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|member| String::from_utf8_lossy(member.trim_ascii()).into_owned())
        .filter(|member| !member.is_empty())
        .collect()
}

fn fold_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

fn fold(name: &str) -> String {
    name.bytes()
        .take(LONGEST)
        .map(|byte| char::from(fold_byte(byte)))
        .collect()
}

/// The place of the first character of a name, and a bit for the second; all that are no letters are alike.
fn initial(name: &[u8]) -> (usize, u32) {
    let place = |at: usize| match name.get(at).map(u8::to_ascii_lowercase) {
        Some(letter @ b'a'..=b'z') => usize::from(letter - b'a'),
        Some(_) | None => LETTERS - 1,
    };
    (place(0), 1 << place(1))
}

#[cfg(test)]
mod tests {
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
        let mut headers = headers(fields);
        wall().clean(&mut headers, "__Host-usher");
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
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
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("host", "wiki.example"),
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
    fn hop_by_hop_fields_and_nominated_ones_go_but_routing_and_framing_stay() {
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
            ["content-length: 0", "host: h", "x-baz: 3"]
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
}
