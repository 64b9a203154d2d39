//! A linear look over the bytes before any tree is built: what could make a parser slow, ambiguous or curious is refused.

use super::token::{self, Token, Tokens, is_space};

/// What a document may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Depth of elements.
    pub depth: usize,
    /// Attributes in a tag, namespace declarations among them.
    pub attributes: usize,
    /// Namespace declarations in scope at any point.
    pub namespaces: usize,
    /// Bytes of a namespace's URI: canonical form may repeat it with every element.
    pub uri: usize,
    /// `<` in the document, and `=` likewise: the tree makes room for a node at each and for an attribute at each.
    pub nodes: usize,
    /// Whether comments and CDATA sections may stand in it (metadata files have them; messages must not).
    pub comments: bool,
}

impl Limits {
    /// Of a protocol message: 1 MiB; 16,000 elements, so that no tree takes more than 6 MiB.
    pub const MESSAGE: Self = Self {
        bytes: 1024 * 1024,
        depth: 48,
        attributes: 32,
        namespaces: 64,
        uri: 128,
        nodes: 32 * 1024,
        comments: false,
    };
    /// Of metadata: 16 MiB, since federations publish all members in one document.
    pub const METADATA: Self = Self {
        bytes: 16 * 1024 * 1024,
        depth: 48,
        attributes: 32,
        namespaces: 64,
        uri: 1024,
        nodes: 1024 * 1024,
        comments: true,
    };
}

/// Why a document is refused before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A limit is exceeded.
    #[error("it has more than {1} {0}")]
    TooMuch(&'static str, usize),
    /// Something stands in it that a SAML message must not have.
    #[error("it has {0}")]
    Forbidden(&'static str),
    /// It is not UTF-8, or says that it is something else.
    #[error("it is not UTF-8")]
    Encoding,
    /// A tag does not end, or something stands outside the root.
    #[error("it is not well-formed: {0}")]
    NotWellFormed(&'static str),
}

/// The text of octets in canonical form that were written from a document which was scanned.
///
/// Their names, characters, references, depth and namespaces in scope are those of that document. What may be more in them is
/// counted: bytes, tags, declarations. There is no markup but elements in canonical form.
///
/// # Errors
/// As [`ScanError`] tells.
pub fn canonical<'a>(octets: &'a [u8], limits: &Limits) -> Result<&'a str, ScanError> {
    let text = within(octets, limits)?;
    let odd = |at: usize| matches!(octets.get(at + 1), Some(b'!' | b'?'));
    if memchr::memchr_iter(b'<', octets).any(odd) {
        return Err(ScanError::Forbidden("other markup than elements"));
    }
    Ok(text)
}

/// The text of bytes within the limits for bytes and nodes.
fn within<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, ScanError> {
    if bytes.len() > limits.bytes {
        return Err(ScanError::TooMuch("bytes", limits.bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ScanError::Encoding)?;
    for (sign, what) in [(b'<', "'<'"), (b'=', "'='")] {
        if memchr::memchr_iter(sign, bytes).count() > limits.nodes {
            return Err(ScanError::TooMuch(what, limits.nodes));
        }
    }
    Ok(text)
}

/// The text of a document within its limits, without a byte order mark.
///
/// Whether names match and are made of the right characters is left to the parser that comes next; what is let through is cut
/// into tags, attributes and text in one way only.
///
/// # Errors
/// As [`ScanError`] tells.
pub fn scan<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, ScanError> {
    let text = within(bytes, limits)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if !token::is_clean(text) {
        return Err(ScanError::Forbidden("a character that XML does not have"));
    }
    let mut tokens = Tokens::new(after_declaration(text)?, limits.attributes);
    let mut nesting = Nesting::new(limits);
    while let Some(token) = tokens.next()? {
        match token {
            Token::Start { name, empty } => {
                qualified(name)?;
                nesting.enter(declarations(tokens.attributes(), limits)?)?;
                if empty {
                    nesting.leave()?;
                }
            }
            Token::End(_) => nesting.leave()?,
            Token::Text(text) if nesting.is_inside() => references(text)?,
            Token::Text(text) if text.trim_matches(is_space).is_empty() => {}
            Token::Text(_) => return Err(OUTSIDE),
            Token::Cdata(_) | Token::Comment if !limits.comments => {
                return Err(ScanError::Forbidden("a comment or a CDATA section"));
            }
            Token::Cdata(_) if !nesting.is_inside() => return Err(OUTSIDE),
            Token::Cdata(_) | Token::Comment => {}
        }
    }
    nesting.finish()?;
    Ok(text)
}

const OUTSIDE: ScanError = ScanError::NotWellFormed("something stands outside the root element");

/// What follows the XML declaration, which may say UTF-8 or nothing about the encoding.
fn after_declaration(text: &str) -> Result<&str, ScanError> {
    let Some(rest) = text.strip_prefix("<?xml ") else {
        return Ok(text);
    };
    let broken = ScanError::NotWellFormed("the XML declaration is not as it must be");
    let (inside, after) = rest.split_once("?>").ok_or(broken.clone())?;
    let (name, version, mut inside) = token::attribute(inside.trim_start_matches(is_space))?;
    if (name, version) != ("version", "1.0") {
        return Err(broken);
    }
    let mut expected: &[&str] = &["encoding", "standalone"];
    loop {
        let next = inside.trim_start_matches(is_space);
        if next.is_empty() {
            return Ok(after);
        }
        let (name, value, rest) = token::attribute(next)?;
        let at = expected.iter().position(|known| *known == name);
        let spaced = next.len() < inside.len();
        match (name, at) {
            ("encoding", Some(_)) if spaced && value.eq_ignore_ascii_case("utf-8") => {}
            ("encoding", Some(_)) if spaced => return Err(ScanError::Encoding),
            ("standalone", Some(_)) if spaced && matches!(value, "yes" | "no") => {}
            _ => return Err(broken),
        }
        expected = at.and_then(|at| expected.get(at + 1..)).unwrap_or_default();
        inside = rest;
    }
}

/// How many namespaces a tag declares.
fn declarations(attributes: &[(&str, &str)], limits: &Limits) -> Result<usize, ScanError> {
    let mut count = 0;
    let mut default = false;
    for (name, value) in attributes {
        qualified(name)?;
        references(value)?;
        let Some(prefix) = token::declared(name) else {
            if token::split(name).1 == "xmlns" {
                return Err(ScanError::Forbidden("an attribute xmlns with a prefix"));
            }
            continue;
        };
        if value.len() > limits.uri {
            return Err(ScanError::TooMuch(
                "bytes in the URI of a namespace",
                limits.uri,
            ));
        }
        if prefix == "xmlns" || (value.is_empty() && !prefix.is_empty()) {
            return Err(ScanError::Forbidden("a namespace that cannot be declared"));
        }
        if prefix.is_empty() && default {
            return Err(ScanError::NotWellFormed("xmlns stands twice in a tag"));
        }
        default |= prefix.is_empty();
        count += 1;
    }
    Ok(count)
}

/// A name of one part, or of two with one colon between them.
fn qualified(name: &str) -> Result<(), ScanError> {
    let (prefixed, local) = match token::colon(name) {
        Some(at) => (at > 0, name.get(at + 1..).unwrap_or_default()),
        None => (true, name),
    };
    if !prefixed || local.is_empty() || token::colon(local).is_some() {
        return Err(ScanError::NotWellFormed(
            "a name is empty or has a stray colon",
        ));
    }
    Ok(())
}

/// Every reference is one that XML itself knows.
fn references(text: &str) -> Result<(), ScanError> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let after = rest.get(at + 1..).unwrap_or_default();
        (_, rest) = token::reference(after)?;
    }
    Ok(())
}

/// Where in the elements the scan is.
struct Nesting<'l> {
    limits: &'l Limits,
    /// Namespaces that each open element declares.
    open: Vec<usize>,
    in_scope: usize,
    /// The tree copies what is in scope for every element that declares more.
    copied: usize,
    root_seen: bool,
}

impl<'l> Nesting<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            open: Vec::with_capacity(limits.depth),
            in_scope: 0,
            copied: 0,
            root_seen: false,
        }
    }

    fn is_inside(&self) -> bool {
        !self.open.is_empty()
    }

    fn enter(&mut self, declared: usize) -> Result<(), ScanError> {
        if self.root_seen && self.open.is_empty() {
            return Err(OUTSIDE);
        }
        if self.open.len() == self.limits.depth {
            return Err(ScanError::TooMuch("levels of elements", self.limits.depth));
        }
        self.root_seen = true;
        self.open.push(declared);
        self.in_scope += declared;
        if self.in_scope > self.limits.namespaces {
            return Err(ScanError::TooMuch(
                "namespaces in scope",
                self.limits.namespaces,
            ));
        }
        if declared > 0 {
            self.copied += self.in_scope;
        }
        let copies = self.limits.nodes.saturating_mul(4);
        if self.copied > copies {
            return Err(ScanError::TooMuch("copies of namespaces", copies));
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), ScanError> {
        let declared = self.open.pop().ok_or(OUTSIDE)?;
        self.in_scope -= declared;
        Ok(())
    }

    fn finish(&self) -> Result<(), ScanError> {
        if !self.root_seen {
            return Err(ScanError::NotWellFormed("there is no element"));
        }
        if self.is_inside() {
            return Err(ScanError::NotWellFormed("an element does not end"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
