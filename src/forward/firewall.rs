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
mod tests;
