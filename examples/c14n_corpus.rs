//! Random documents with the canonical form that usher gives one of their elements, for another implementation to compare:
//! `cargo run --example c14n_corpus -- COUNT [SEED]` writes one JSON object a line. The same seed gives the same documents.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write as _};

use serde_json::json;
use usher::idp::saml::xml::{Limits, Node, canonical, parse};

const PREFIXES: &[&str] = &["a", "b", "ab", "B", "\u{E9}", "ns-1", "ds"];
/// Absolute, since libxml2 refuses others, and without `&`, `<` and `"`, which it writes unescaped in declarations.
const NAMESPACES: &[&str] = &[
    "urn:one",
    "urn:two",
    "urn:a?b=1",
    "http://www.w3.org/2000/09/xmldsig#",
    "http://x.example/&#x41;&#98;",
    "urn:One",
    "http://x.example/it's",
];
const NAMES: &[&str] = &["x", "y", "A", "Z", "x-1", "\u{FC}", "ID", "_", "lang"];
const TEXTS: &[&str] = &[
    "t",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "&amp;",
    "&lt;",
    "&gt;",
    "&quot;",
    "&apos;",
    "&#13;",
    "&#xD;",
    "&#10;",
    "&#9;",
    "&#x20;",
    "'",
    "\"",
    ">",
    "]]",
    "-->",
    "\u{E9}",
    "\u{1F600}",
    "&#x1F600;",
    "\u{85}",
    "\u{2028}",
    "\u{A0}",
    "\u{FEFF}",
    "\u{FFFD}",
    "&#60;",
    "&#38;lt;",
    "0",
    "  ",
];

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let at = self.below(from.len());
        from.get(at).copied().unwrap_or_default()
    }
}

/// Prefix (empty for the default namespace) and namespace, as written; the innermost last.
type Scope = Vec<(&'static str, &'static str)>;

fn bound(scope: &Scope, prefix: &str) -> &'static str {
    let found = scope.iter().rev().find(|(known, _)| *known == prefix);
    found.map_or("", |(_, uri)| uri)
}

struct Writer {
    random: Random,
    out: String,
    left: usize,
}

impl Writer {
    fn document(&mut self) {
        match self.random.below(6) {
            0 => self.out.push_str("<?xml version=\"1.0\"?>"),
            1 => self.out.push_str(
                "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\r\n<!-- before -->\n",
            ),
            2 => self.out.push('\u{FEFF}'),
            _ => {}
        }
        self.element(&mut Vec::new(), 0);
        if self.random.one_in(8) {
            self.out.push_str("\r\n<!-- after -->\n");
        }
    }

    fn element(&mut self, scope: &mut Scope, depth: usize) {
        let outside = scope.len();
        let mut parts = self.declarations(scope, depth);
        let name = self.name(scope, true);
        parts.extend(self.attributes(scope));
        for at in (1..parts.len()).rev() {
            let other = self.random.below(at + 1);
            parts.swap(at, other);
        }
        let _ = write!(self.out, "<{name}");
        for part in parts {
            let space = self.random.pick(&[" ", " ", " ", "\n", "\r\n  ", "\t "]);
            let _ = write!(self.out, "{space}{part}");
        }
        self.out.push_str(self.random.pick(&["", "", " ", "\n"]));
        if self.random.one_in(5) {
            self.out.push_str("/>");
        } else {
            self.out.push('>');
            self.content(scope, depth);
            let space = self.random.pick(&["", "", " "]);
            let _ = write!(self.out, "</{name}{space}>");
        }
        scope.truncate(outside);
    }

    fn declarations(&mut self, scope: &mut Scope, depth: usize) -> Vec<String> {
        let mut parts = Vec::new();
        let mut here = BTreeSet::new();
        let most = if depth == 0 { 6 } else { 3 };
        for _ in 0..self.random.below(most) {
            let prefix = if self.random.one_in(3) {
                ""
            } else {
                self.random.pick(PREFIXES)
            };
            if !here.insert(prefix) {
                continue;
            }
            let taken_back = prefix.is_empty() && self.random.one_in(2);
            let uri = if taken_back {
                ""
            } else {
                self.random.pick(NAMESPACES)
            };
            scope.push((prefix, uri));
            let quote = if uri.contains('\'') || self.random.one_in(2) {
                '"'
            } else {
                '\''
            };
            let colon = if prefix.is_empty() { "" } else { ":" };
            let equals = self.random.pick(&["=", "=", " = "]);
            parts.push(format!("xmlns{colon}{prefix}{equals}{quote}{uri}{quote}"));
        }
        if depth > 0 && self.random.one_in(60) {
            parts.push("xmlns:xml='http://www.w3.org/XML/1998/namespace'".to_owned());
        }
        parts
    }

    /// A qualified name whose prefix is in scope; an attribute's is not always there.
    fn name(&mut self, scope: &Scope, element: bool) -> String {
        let local = self.random.pick(NAMES);
        let plain = if element {
            self.random.one_in(3)
        } else {
            self.random.one_in(2)
        };
        let known: Vec<_> = scope
            .iter()
            .filter(|(prefix, _)| !prefix.is_empty())
            .collect();
        let at = self.random.below(known.len());
        match known.get(at) {
            Some((prefix, _)) if !plain => format!("{prefix}:{local}"),
            Some(_) | None => local.to_owned(),
        }
    }

    fn attributes(&mut self, scope: &Scope) -> Vec<String> {
        let mut parts = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..self.random.below(5) {
            let name = match self.random.below(12) {
                0 => "xml:lang".to_owned(),
                1 => "xml:space".to_owned(),
                _ => self.name(scope, false),
            };
            let (prefix, local) = name.split_once(':').unwrap_or(("", &name));
            let uri = if prefix.is_empty() {
                ""
            } else {
                bound(scope, prefix)
            };
            let uri = if prefix == "xml" { "xml" } else { uri };
            if !seen.insert((uri.to_owned(), local.to_owned())) {
                continue;
            }
            let quote = if self.random.one_in(2) { "\"" } else { "'" };
            let mut value = match name.as_str() {
                "xml:space" => "preserve".to_owned(),
                _ => self.text().replace(quote, "&#x9;"),
            };
            if self.random.one_in(8) {
                value.push_str("]]>");
            }
            parts.push(format!("{name}={quote}{value}{quote}"));
        }
        parts
    }

    fn text(&mut self) -> String {
        let pieces = self.random.below(6);
        (0..pieces).map(|_| self.random.pick(TEXTS)).collect()
    }

    fn content(&mut self, scope: &mut Scope, depth: usize) {
        for _ in 0..self.random.below(5) {
            match self.random.below(8) {
                0 => {
                    let text = self.text();
                    self.out.push_str(&text.replace("]]", "]."));
                }
                1 => self.out.push_str("<!-- & <no> -->"),
                2 => {
                    let text = self.text().replace("]]", "].");
                    let _ = write!(self.out, "<![CDATA[{text}]]>");
                }
                _ if depth < 9 && self.left > 0 => {
                    self.left -= 1;
                    self.element(scope, depth + 1);
                }
                _ => self.out.push_str(self.random.pick(TEXTS).trim_matches(']')),
            }
        }
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<u64>());
    let bad = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let count = arguments.next().transpose().map_err(bad)?.unwrap_or(10_000);
    let seed = arguments.next().transpose().map_err(bad)?.unwrap_or(1);
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 0..count {
        let line = case(Random(seed.wrapping_mul(1 << 32).wrapping_add(number)))?;
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// One document, an element of it, in some an element below that is left out, and a prefix list.
fn case(random: Random) -> io::Result<serde_json::Value> {
    let mut writer = Writer {
        random,
        out: String::new(),
        left: 25,
    };
    writer.document();
    let Writer {
        mut random, out, ..
    } = writer;
    let document = parse(out.as_bytes(), &Limits::METADATA)
        .map_err(|error| io::Error::other(format!("{error}: {out}")))?;
    let elements: Vec<Node<'_, '_>> = document.descendants().filter(Node::is_element).collect();
    let at = if random.one_in(2) {
        0
    } else {
        random.below(elements.len())
    };
    let element = elements
        .get(at)
        .copied()
        .unwrap_or_else(|| document.root_element());
    let below: Vec<_> = element
        .descendants()
        .filter(Node::is_element)
        .skip(1)
        .collect();
    let hole = if random.one_in(3) {
        below.get(random.below(below.len()))
    } else {
        None
    };
    let mut prefixes = Vec::new();
    if random.one_in(2) {
        for _ in 0..random.below(5) {
            prefixes.push(match random.below(6) {
                0 | 1 => "#default",
                2 => "unknown",
                _ => random.pick(PREFIXES),
            });
        }
    }
    let octets = canonical::exclusive(element, hole.map(|hole| hole.id()), &prefixes);
    Ok(json!({
        "xml": out,
        "element": at,
        "without": hole.and_then(|hole| elements.iter().position(|other| other == hole)),
        "prefixes": prefixes,
        "canonical": String::from_utf8(octets).map_err(io::Error::other)?,
    }))
}
