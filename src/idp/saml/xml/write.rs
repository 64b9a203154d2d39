//! Writes elements in the very form that exclusive canonicalization gives them, so that the digest of what is written is the
//! digest that a verifier computes.

use super::token;

/// One element that is being written. Attributes must be given in canonical order: namespace declarations by prefix (the
/// default one first), then attributes without a namespace by name. Names are usher's own, and a namespace is declared once,
/// where its prefix is first used.
#[derive(Debug)]
pub struct Element {
    name: &'static str,
    attributes: String,
    content: String,
}

impl Element {
    /// An element by its qualified name (`samlp:AuthnRequest`).
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: String::new(),
            content: String::new(),
        }
    }

    /// An element of the assertion namespace that holds text. Canonical form declares the namespace where it is used, not above.
    pub fn of_assertion(name: &'static str, text: &str) -> Self {
        Self::new(name)
            .attribute("xmlns:saml", super::ASSERTION)
            .text(text)
    }

    /// Adds an attribute or namespace declaration; the value is escaped.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(' ');
        self.attributes.push_str(name);
        self.attributes.push_str("=\"");
        escape_attribute(value, &mut self.attributes);
        self.attributes.push('"');
        self
    }

    /// Adds text; it is escaped.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        escape_text(text, &mut self.content);
        self
    }

    /// Adds an element.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        child.write(&mut self.content);
        self
    }

    /// Adds canonical XML as it stands: a signature.
    #[must_use]
    pub fn raw(mut self, xml: &str) -> Self {
        self.content.push_str(xml);
        self
    }

    /// The text; an empty element has a start and an end tag, as canonical form wants.
    pub fn finish(self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(self, out: &mut String) {
        out.reserve(2 * self.name.len() + self.attributes.len() + self.content.len() + 5);
        out.push('<');
        out.push_str(self.name);
        out.push_str(&self.attributes);
        out.push('>');
        out.push_str(&self.content);
        out.push_str("</");
        out.push_str(self.name);
        out.push('>');
    }
}

/// A text node in canonical form (Canonical XML 1.0, 2.3).
pub(super) fn escape_text(text: &str, out: &mut String) {
    escape(text, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

/// An attribute's value in canonical form (Canonical XML 1.0, 2.3).
pub(super) fn escape_attribute(value: &str, out: &mut String) {
    escape(value, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

/// Characters that XML does not have, escaped or not, are left out: a document with one could not be read by anybody.
/// What is special are ASCII characters.
fn escape(text: &str, out: &mut String, special: impl Fn(u8) -> Option<&'static str>) {
    if !token::is_clean(text) {
        let clean: String = text.chars().filter(|c| token::is_char(*c)).collect();
        return escape(&clean, out, special);
    }
    out.reserve(text.len());
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(instead) = special(byte) else {
            continue;
        };
        out.push_str(text.get(plain..at).unwrap_or_default());
        out.push_str(instead);
        plain = at + 1;
    }
    out.push_str(text.get(plain..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::idp::saml::xml::{Limits, canonical, parse, text};

    #[test]
    fn writes_in_canonical_form() {
        let xml = Element::new("a:A")
            .attribute("xmlns:a", "urn:a?x&y")
            .attribute("ID", "\"<>'&\t\n\r")
            .child(Element::new("a:B").text("<>\"'&\t\n\r]]>"))
            .child(Element::new("C").attribute("xmlns", "urn:c"))
            .raw("<a:D></a:D>")
            .finish();
        assert_eq!(
            xml,
            "<a:A xmlns:a=\"urn:a?x&amp;y\" ID=\"&quot;&lt;>'&amp;&#x9;&#xA;&#xD;\">\
             <a:B>&lt;&gt;\"'&amp;\t\n&#xD;]]&gt;</a:B><C xmlns=\"urn:c\"></C><a:D></a:D></a:A>"
        );
    }

    #[test]
    fn leaves_out_what_no_document_can_hold() {
        let xml = Element::new("a").text("b\0\u{1}\u{FFFF}c").finish();
        assert_eq!(xml, "<a>bc</a>");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_canonicalization_gives_and_what_is_read(
            value in any::<String>(),
            inner in any::<String>(),
        ) {
            let xml = Element::new("p:A")
                .attribute("xmlns:p", "urn:p")
                .attribute("B", &value)
                .child(Element::new("p:C").text(&inner))
                .finish();
            let document = parse(xml.as_bytes(), &Limits::MESSAGE).unwrap();
            let root = document.root_element();
            prop_assert_eq!(canonical::exclusive(root, None, &[]), xml.as_bytes());
            let known = |text: &str| text.chars().filter(|c| super::super::token::is_char(*c)).collect::<String>();
            prop_assert_eq!(root.attribute("B").unwrap(), known(&value));
            prop_assert_eq!(text(root.first_child().unwrap()).unwrap(), known(&inner));
        }
    }
}
