//! Inbound headers that an app could read as one of ours are removed on every request.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRAILER};
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
    /// How the names begin and how long they are, and how the families begin. Most headers end here.
    names: Initials,
    families: Initials,
}

/// For each first letter, a bit for each second one, and a bit for each length.
#[derive(Debug, Default)]
struct Initials {
    seconds: [u32; LETTERS],
    lengths: [u32; LETTERS],
}

impl Initials {
    fn note(&mut self, name: &str) {
        let (first, second) = initial(name.as_bytes());
        self.seconds[first] |= second;
        self.lengths[first] |= length_bit(name.len());
    }
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
        let mut names = Initials::default();
        for name in &folded {
            names.note(name);
        }
        let mut families = Initials::default();
        for start in FAMILIES.iter().chain(&["http-"]) {
            families.note(start);
        }
        Self {
            folded,
            own: ForwardedIdentity::names(app),
            names,
            families,
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
        let named = self.names.seconds[first] & second != 0
            && self.names.lengths[first] & length_bit(name.len()) != 0;
        if !named && self.families.seconds[first] & second == 0 {
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

    /// Gives `each`, in one pass over `client`, the fields that an app may see. Not: what [`Firewall::drops`], which are hop-by-hop fields (RFC 9110
    /// 7.6.1; the data plane sets `Connection` and `Upgrade` anew for a WebSocket), `Proxy`, `Forwarded`, `X-Forwarded-*` and all else
    /// that usher sets; what `Connection` nominates; `Host`, `Content-Length` and `Expect`, which the data plane
    /// sees to; trailers' announcements that name ours; usher's own cookies (`cookie_name`, `cookie_name-*`), the field itself when
    /// nothing is left. Several `Cookie` fields become one (RFC 9113 8.2.3). Of `TE` only `trailers` stays.
    pub fn pass(
        &self,
        client: &HeaderMap,
        cookie_name: &str,
        mut each: impl FnMut(&HeaderName, &[u8]),
    ) {
        let special = Special::of(client);
        let nominated = match special.connection {
            true => nominated(client),
            false => Vec::new(),
        };
        let mut last: Option<(&HeaderName, bool)> = None;
        for (name, value) in client {
            // Lines of one name follow each other.
            let passes = match last {
                Some((last, passed)) if std::ptr::eq(last, name) => passed,
                Some(_) | None => {
                    !is_special(name) && !self.drops(name) && !nominated.contains(name)
                }
            };
            last = Some((name, passes));
            if passes {
                each(name, value.as_bytes());
            }
        }
        if special.te && !nominated.contains(&TE) && takes_trailers(client) {
            each(&TE, b"trailers");
        }
        if special.trailer && !nominated.contains(&TRAILER) {
            self.announce(client, &mut each);
        }
        if special.cookie
            && !nominated.contains(&COOKIE)
            && let Some(cookies) = cookies::kept(client, cookie_name)
        {
            each(&COOKIE, cookies.as_bytes());
        }
    }

    /// Passes on the announcement of trailers without names that are ours; the trailers themselves are filtered with [`Firewall::drops`].
    fn announce(&self, client: &HeaderMap, each: &mut impl FnMut(&HeaderName, &[u8])) {
        let names = list(client, &TRAILER);
        let kept: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !self.drops_bytes(name.to_ascii_lowercase().as_bytes()))
            .collect();
        if kept.len() == names.len() {
            for value in client.get_all(TRAILER) {
                each(&TRAILER, value.as_bytes());
            }
        } else if let Ok(value) = HeaderValue::from_str(&kept.join(", "))
            && !value.is_empty()
        {
            each(&TRAILER, value.as_bytes());
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
    fn of(headers: &HeaderMap) -> Self {
        let mut special = Self::default();
        for name in headers.keys() {
            special.connection |= name == CONNECTION;
            special.cookie |= name == COOKIE;
            special.te |= name == TE;
            special.trailer |= name == TRAILER;
        }
        special
    }
}

/// Fields that do not pass as they are.
fn is_special(name: &HeaderName) -> bool {
    name == HOST
        || name == COOKIE
        || name == CONTENT_LENGTH
        || name == EXPECT
        || name == TE
        || name == TRAILER
}

/// Fields that `Connection` nominates.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // The usual word; a field of that name does not pass anyway.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| name != TE)
        .collect()
}

/// Whether the client reads trailers.
fn takes_trailers(client: &HeaderMap) -> bool {
    list(client, &TE)
        .iter()
        .any(|coding| coding.eq_ignore_ascii_case("trailers"))
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

/// A bit for a length; all that are long are alike.
fn length_bit(length: usize) -> u32 {
    1 << length.min(31)
}

#[cfg(test)]
mod tests;
