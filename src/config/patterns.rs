//! What a config names by pattern: paths of access rules, origins of return URLs.

use globset::GlobSet;
use url::Url;

/// Compiled path patterns: `*` within a segment, `**` over segments; `/admin/**` is `/admin`, `/admin/` and all below.
/// They are written in decoded characters (`/café/**`, not `/caf%C3%A9/**`).
#[derive(Clone, Debug)]
pub struct PathPatterns {
    /// As written, for explanations.
    pub written: Vec<String>,
    /// Compiled, case-sensitive, `literal_separator`.
    pub set: GlobSet,
    /// The same in lower case, for what an app that ignores case would see; none where `set` has no capitals.
    pub lower: Option<GlobSet>,
}

impl PathPatterns {
    /// Compiles patterns; each must begin with `/` (the config checks that).
    ///
    /// # Errors
    /// For a pattern that is no glob.
    pub fn new(written: Vec<String>) -> Result<Self, globset::Error> {
        let set = compile(written.iter().map(String::as_str))?;
        let folded: Vec<String> = written
            .iter()
            .map(|pattern| pattern.to_lowercase())
            .collect();
        let lower = if folded == written {
            None
        } else {
            Some(compile(folded.iter().map(String::as_str))?)
        };
        Ok(Self {
            written,
            set,
            lower,
        })
    }
}

fn compile<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        let glob = |text: &str| {
            globset::GlobBuilder::new(text)
                .literal_separator(true)
                .build()
        };
        set.add(glob(pattern)?);
        // `/admin/**` alone would leave `/admin` to the next rule.
        if let Some(parent) = pattern.strip_suffix("/**")
            && !parent.is_empty()
        {
            set.add(glob(parent)?);
        }
    }
    set.build()
}

/// An entry of `return_to_origins`: `https://host[:port]` or `https://*.host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    /// `http` or `https`.
    pub scheme: String,
    /// Lower-case host, without the `*.`.
    pub host: String,
    /// Whether it stands for every host below `host` (and not for `host` itself).
    pub below: bool,
    /// Port, the scheme's own if none is written.
    pub port: u16,
}

impl OriginPattern {
    /// Reads one as it is written; none if it is anything but scheme, host and port.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let below = rest.starts_with("*.");
        let plain = format!("{scheme}://{}", rest.strip_prefix("*.").unwrap_or(rest));
        let url = Url::parse(&plain).ok()?;
        let bare = matches!(url.scheme(), "https" | "http")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str()?.to_owned();
        // `https://*.com` would be everybody.
        let narrow =
            !below || (matches!(url.host(), Some(url::Host::Domain(_))) && host.contains('.'));
        (bare && narrow && !host.contains('*')).then(|| Self {
            scheme: url.scheme().to_owned(),
            port: url.port_or_known_default().unwrap_or(0),
            host,
            below,
        })
    }

    /// Whether a URL has such an origin.
    pub fn matches(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let named = if self.below {
            host.strip_suffix(self.host.as_str())
                .is_some_and(|left| left.len() > 1 && left.ends_with('.'))
        } else {
            host == self.host
        };
        named && url.scheme() == self.scheme && url.port_or_known_default() == Some(self.port)
    }
}
