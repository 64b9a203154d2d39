//! The tokens of a document, read forward only, each byte once: what the scan looks at and canonical form is written from.

use std::borrow::Cow;

use memchr::memchr;

use super::scan::ScanError;

/// Bytes of a reference after its `&`, `;` included: `&#x0010FFFF;` and no longer.
const REFERENCE: usize = 12;

/// One piece of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A start tag by its qualified name; its attributes are [`Tokens::attributes`].
    Start {
        /// As it stands, prefix included.
        name: &'a str,
        /// Whether it is an end tag too.
        empty: bool,
    },
    /// An end tag.
    End(&'a str),
    /// Text with its references.
    Text(&'a str),
    /// What a CDATA section holds.
    Cdata(&'a str),
    /// A comment.
    Comment,
}

/// Reads tokens. Declarations and processing instructions are refused where they stand.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    limit: usize,
}

impl<'a> Tokens<'a> {
    /// Of `text`, in which no tag has more than `limit` attributes.
    pub(super) fn new(text: &'a str, limit: usize) -> Self {
        Self {
            rest: text,
            attributes: Vec::new(),
            limit,
        }
    }

    /// Qualified names and raw values in the start tag that was read last, in their order.
    pub(super) fn attributes(&self) -> &[(&'a str, &'a str)] {
        &self.attributes
    }

    /// The next token; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, ScanError> {
        let bytes = self.rest.as_bytes();
        let token = match (bytes.first(), bytes.get(1)) {
            (None, _) => return Ok(None),
            (Some(b'<'), Some(b'/')) => self.end(bytes)?,
            (Some(b'<'), Some(b'!')) => self.comment_or_cdata()?,
            (Some(b'<'), Some(b'?')) => {
                return Err(ScanError::Forbidden("a processing instruction"));
            }
            (Some(b'<'), _) => self.start()?,
            (Some(_), _) => {
                let end = memchr(b'<', bytes).unwrap_or(bytes.len());
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                Token::Text(text)
            }
        };
        Ok(Some(token))
    }

    fn end(&mut self, bytes: &[u8]) -> Result<Token<'a>, ScanError> {
        let end = memchr(b'>', bytes).ok_or(ScanError::NotWellFormed("an end tag does not end"))?;
        let name = self.rest.get(2..end).unwrap_or_default();
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Ok(Token::End(before_space(name)))
    }

    fn comment_or_cdata(&mut self) -> Result<Token<'a>, ScanError> {
        if let Some(after) = self.rest.strip_prefix("<!--") {
            self.until(after, "-->", "a comment does not end")?;
            return Ok(Token::Comment);
        }
        let Some(after) = self.rest.strip_prefix("<![CDATA[") else {
            return Err(ScanError::Forbidden("a document type declaration"));
        };
        let inside = self.until(after, "]]>", "a CDATA section does not end")?;
        Ok(Token::Cdata(inside))
    }

    /// What stands before `end`, which is skipped too.
    fn until(
        &mut self,
        after: &'a str,
        end: &str,
        missing: &'static str,
    ) -> Result<&'a str, ScanError> {
        let (inside, rest) = after
            .split_once(end)
            .ok_or(ScanError::NotWellFormed(missing))?;
        self.rest = rest;
        Ok(inside)
    }

    fn start(&mut self) -> Result<Token<'a>, ScanError> {
        let markup = self.rest.get(1..).unwrap_or_default();
        let end = position(markup, &NAME_ENDS).ok_or(UNENDED)?;
        let (name, mut rest) = markup.split_at(end);
        self.attributes.clear();
        let empty = loop {
            rest = after_space(rest);
            if let Some(after) = rest.strip_prefix('>') {
                self.rest = after;
                break false;
            }
            if let Some(after) = rest.strip_prefix("/>") {
                self.rest = after;
                break true;
            }
            if self.attributes.len() == self.limit {
                return Err(ScanError::TooMuch("attributes in a tag", self.limit));
            }
            let (attribute, value, after) = attribute(rest)?;
            self.attributes.push((attribute, value));
            rest = after;
        };
        Ok(Token::Start { name, empty })
    }
}

/// A set of ASCII characters, as a table: to look there costs less than to compare with each.
type Characters = [bool; 256];

const fn characters(of: &[u8]) -> Characters {
    let mut table = [false; 256];
    let mut at = 0;
    while at < of.len() {
        table[of[at] as usize] = true;
        at += 1;
    }
    table
}

/// What ends the name of an element, and of an attribute.
const NAME_ENDS: Characters = characters(b" \t\n\r/><");
const ATTRIBUTE_ENDS: Characters = characters(b" \t\n\r=/><\"'");

fn position(text: &str, set: &Characters) -> Option<usize> {
    text.bytes().position(|byte| set[usize::from(byte)])
}

const UNENDED: ScanError = ScanError::NotWellFormed("a start tag does not end");

/// The name and raw value of the attribute that `text` begins with, and what follows.
pub(super) fn attribute(text: &str) -> Result<(&str, &str, &str), ScanError> {
    let end = position(text, &ATTRIBUTE_ENDS).ok_or(UNENDED)?;
    let (name, rest) = text.split_at(end);
    let rest = after_space(rest)
        .strip_prefix('=')
        .ok_or(ScanError::NotWellFormed("an attribute has no value"))?;
    let rest = after_space(rest);
    let quote = match rest.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => *quote,
        Some(_) | None => {
            return Err(ScanError::NotWellFormed(
                "an attribute's value is not quoted",
            ));
        }
    };
    let inside = rest.get(1..).unwrap_or_default();
    let end = memchr(quote, inside.as_bytes()).ok_or(UNENDED)?;
    let (value, rest) = inside.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    if memchr(b'<', value.as_bytes()).is_some() {
        return Err(ScanError::NotWellFormed("'<' stands in a tag"));
    }
    Ok((name, value, rest))
}

/// White space (XML 1.0, production 3).
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// What follows the white space that `text` begins with.
fn after_space(mut text: &str) -> &str {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.as_bytes().first() {
        text = text.get(1..).unwrap_or_default();
    }
    text
}

/// What precedes the white space that `text` ends with.
fn before_space(mut text: &str) -> &str {
    while let [before @ .., b' ' | b'\t' | b'\n' | b'\r'] = text.as_bytes() {
        text = text.get(..before.len()).unwrap_or_default();
    }
    text
}

/// Whether a text is of characters that a document may hold.
pub(super) fn is_clean(text: &str) -> bool {
    // Without an early end, so that many bytes are looked at at once: control characters, and how U+FFFE and U+FFFF begin.
    let suspicious = text.bytes().fold(false, |found, byte| {
        let control = byte < b' ' && byte != b'\t' && byte != b'\n' && byte != b'\r';
        found | control | (byte == 0xEF)
    });
    !suspicious || text.chars().all(is_char)
}

/// A character that a document may hold (XML 1.0, production 2).
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// The prefix that an attribute of that name declares; the empty one for `xmlns`; none if it declares none.
pub(super) fn declared(name: &str) -> Option<&str> {
    match name.strip_prefix("xmlns") {
        Some("") => Some(""),
        Some(rest) => rest.strip_prefix(':'),
        None => None,
    }
}

/// Prefix (empty if there is none) and local part of a qualified name.
pub(super) fn split(name: &str) -> (&str, &str) {
    match colon(name) {
        Some(at) => (
            name.get(..at).unwrap_or_default(),
            name.get(at + 1..).unwrap_or_default(),
        ),
        None => ("", name),
    }
}

/// The place of the first colon; names are short, so that nothing is gained by a search of many bytes at once.
pub(super) fn colon(name: &str) -> Option<usize> {
    name.bytes().position(|byte| byte == b':')
}

/// The character that a reference stands for, and what follows its `;`.
///
/// # Errors
/// It is none of the five predefined entities and no reference to a character that XML has.
pub(super) fn reference(after_ampersand: &str) -> Result<(char, &str), ScanError> {
    let refused = ScanError::Forbidden("an entity reference that XML does not predefine");
    let end = after_ampersand
        .bytes()
        .take(REFERENCE)
        .position(|byte| byte == b';')
        .ok_or(refused.clone())?;
    let (name, rest) = after_ampersand.split_at(end);
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => character(name).ok_or(refused)?,
    };
    Ok((c, rest.strip_prefix(';').unwrap_or(rest)))
}

fn character(name: &str) -> Option<char> {
    let number = name.strip_prefix('#')?;
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).ok()?;
    char::from_u32(code).filter(|c| is_char(*c))
}

/// Text as an application sees it (XML 1.0, 2.11 and 4.4): line ends are `\n`, references are resolved.
pub(super) fn text_value(raw: &str) -> Result<Cow<'_, str>, ScanError> {
    value(raw, |b| matches!(b, b'\r' | b'&'), "\n")
}

/// What a CDATA section holds, with line ends as `\n`.
pub(super) fn cdata_value(raw: &str) -> Result<Cow<'_, str>, ScanError> {
    value(raw, |b| b == b'\r', "\n")
}

/// An attribute's value, normalised as one without a declared type (XML 1.0, 3.3.3).
pub(super) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, ScanError> {
    value(raw, |b| matches!(b, b'\r' | b'\n' | b'\t' | b'&'), " ")
}

/// `special` is of ASCII characters alone.
fn value<'a>(
    raw: &'a str,
    special: impl Fn(u8) -> bool + Copy,
    space: &str,
) -> Result<Cow<'a, str>, ScanError> {
    if !raw.bytes().any(special) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let end = rest.bytes().position(special).unwrap_or(rest.len());
        let (plain, found) = rest.split_at(end);
        out.push_str(plain);
        rest = if let Some(after) = found.strip_prefix('&') {
            let (c, after) = reference(after)?;
            out.push(c);
            after
        } else if let Some(after) = found.strip_prefix("\r\n") {
            out.push_str(space);
            after
        } else if found.is_empty() {
            return Ok(Cow::Owned(out));
        } else {
            out.push_str(space);
            found.get(1..).unwrap_or_default()
        };
    }
}
