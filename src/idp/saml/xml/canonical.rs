//! Exclusive XML Canonicalization 1.0 without comments (W3C, 18 July 2002) of one element with all that is below it.
//!
//! It is written from the source text, not from the tree: there stand the prefixes as the signer wrote them, which a tree of
//! expanded names no longer has.

use std::borrow::Cow;

use super::scan::ScanError;
use super::token::{self, Token, Tokens};
use super::write::{escape_attribute, escape_text};
use super::{Node, NodeId};

/// The canonical octets of `element`, leaving out the subtree `without` (the enveloped signature), with `prefixes` of the
/// `InclusiveNamespaces PrefixList` treated as inclusive canonicalization does (`#default` is the empty prefix).
///
/// The document must come from [`super::parse`]. Where there is nothing to write (`element` is no element, or is itself left
/// out), or the text is not what the scan lets through, there are no octets; no document parses from those.
pub fn exclusive(element: Node<'_, '_>, without: Option<NodeId>, prefixes: &[&str]) -> Vec<u8> {
    octets(element, without, prefixes).unwrap_or_default()
}

fn octets(
    element: Node<'_, '_>,
    without: Option<NodeId>,
    prefixes: &[&str],
) -> Result<Vec<u8>, ScanError> {
    let all = element.range();
    if !element.is_element() {
        return Ok(Vec::new());
    }
    let hole = without
        .and_then(|id| element.document().get_node(id))
        .map(|node| node.range())
        .filter(|hole| all.start <= hole.start && hole.end <= all.end)
        .unwrap_or(all.end..all.end);
    let mut writer = Writer::new(element, prefixes, all.len());
    let source = element.document().input_text();
    for piece in [all.start..hole.start, hole.end..all.end] {
        writer.feed(source.get(piece).unwrap_or_default())?;
    }
    Ok(writer.out.into_bytes())
}

/// A prefix (empty for the default namespace) and its namespace (empty for none).
#[derive(Clone)]
struct Binding<'a> {
    prefix: &'a str,
    uri: Cow<'a, str>,
}

struct Writer<'a> {
    out: String,
    prefixes: &'a [&'a str],
    /// In scope in the source; the innermost last.
    scope: Vec<Binding<'a>>,
    /// Declared in the output, by the elements that are open there; the innermost last.
    rendered: Vec<Binding<'a>>,
    /// How many of both there were before each open element.
    open: Vec<(usize, usize)>,
}

impl<'a> Writer<'a> {
    fn new(element: Node<'a, 'a>, prefixes: &'a [&'a str], length: usize) -> Self {
        let scope = element.namespaces().map(|namespace| Binding {
            prefix: namespace.name().unwrap_or_default(),
            uri: Cow::Borrowed(namespace.uri()),
        });
        Self {
            out: String::with_capacity(length + length / 8),
            prefixes,
            scope: scope.collect(),
            rendered: Vec::new(),
            open: Vec::new(),
        }
    }

    fn feed(&mut self, source: &'a str) -> Result<(), ScanError> {
        let mut tokens = Tokens::new(source, usize::MAX);
        while let Some(token) = tokens.next()? {
            match token {
                Token::Start { name, empty } => {
                    self.start(name, tokens.attributes())?;
                    if empty {
                        self.end(name);
                    }
                }
                Token::End(name) => self.end(name),
                Token::Text(raw) => escape_text(&token::text_value(raw)?, &mut self.out),
                Token::Cdata(raw) => escape_text(&token::cdata_value(raw)?, &mut self.out),
                Token::Comment => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, name: &'a str, attributes: &[(&'a str, &'a str)]) -> Result<(), ScanError> {
        self.open.push((self.scope.len(), self.rendered.len()));
        for (attribute, value) in attributes {
            if let Some(prefix) = token::declared(attribute) {
                let uri = token::attribute_value(value)?;
                self.scope.push(Binding { prefix, uri });
            }
        }
        self.out.push('<');
        self.out.push_str(name);
        self.namespaces(name, attributes);
        self.attributes(attributes)?;
        self.out.push('>');
        Ok(())
    }

    fn end(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        if let Some((scope, rendered)) = self.open.pop() {
            self.scope.truncate(scope);
            self.rendered.truncate(rendered);
        }
    }

    /// Declares what is visibly utilized, and what the prefix list names, unless an element around it in the output does so
    /// already with the same namespace (Exclusive C14N, section 3).
    fn namespaces(&mut self, name: &'a str, attributes: &[(&'a str, &'a str)]) {
        let before = self.rendered.len();
        self.declare(token::split(name).0);
        for (attribute, _) in attributes {
            let (prefix, _) = token::split(attribute);
            if !prefix.is_empty() && token::declared(attribute).is_none() {
                self.declare(prefix);
            }
        }
        for prefix in self.prefixes {
            self.declare(if *prefix == "#default" { "" } else { prefix });
        }
        let (_, new) = self.rendered.split_at_mut(before);
        new.sort_unstable_by_key(|binding| binding.prefix);
        for binding in new {
            self.out.push_str(" xmlns");
            if !binding.prefix.is_empty() {
                self.out.push(':');
                self.out.push_str(binding.prefix);
            }
            self.out.push_str("=\"");
            escape_attribute(&binding.uri, &mut self.out);
            self.out.push('"');
        }
    }

    /// `xml` is never declared; a prefix that is bound to nothing needs no declaration, except that `xmlns=""` takes back the
    /// default namespace of the output.
    fn declare(&mut self, prefix: &'a str) {
        let uri = bound(&self.scope, prefix);
        if prefix == "xml" || uri == bound(&self.rendered, prefix) {
            return;
        }
        let uri = uri.clone();
        self.rendered.push(Binding { prefix, uri });
    }

    /// By namespace, then local name; those without a namespace first (Canonical XML 1.0, 2.2).
    fn attributes(&mut self, attributes: &[(&'a str, &'a str)]) -> Result<(), ScanError> {
        let mut sorted: Vec<_> = attributes
            .iter()
            .filter(|(name, _)| token::declared(name).is_none())
            .map(|(name, value)| {
                let (prefix, local) = token::split(name);
                let uri: &str = match prefix {
                    "" => "",
                    "xml" => XML,
                    _ => bound(&self.scope, prefix),
                };
                (uri, local, *name, *value)
            })
            .collect();
        sorted.sort_unstable();
        for (_, _, name, value) in sorted {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape_attribute(&token::attribute_value(value)?, &mut self.out);
            self.out.push('"');
        }
        Ok(())
    }
}

/// The namespace of the prefix `xml`.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// No namespace.
const NONE: &Cow<'static, str> = &Cow::Borrowed("");

fn bound<'s, 'a>(bindings: &'s [Binding<'a>], prefix: &str) -> &'s Cow<'a, str> {
    bindings
        .iter()
        .rev()
        .find(|binding| binding.prefix == prefix)
        .map_or(NONE, |binding| &binding.uri)
}

#[cfg(test)]
mod tests;
