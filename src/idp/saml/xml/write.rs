//! Writes elements in the very form that exclusive canonicalization gives them, so that the digest of what is written is the
//! digest that a verifier computes.

/// One element that is being written. Attributes must be given in canonical order: namespace declarations by prefix (the
/// default one first), then attributes without a namespace by name.
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

    /// Adds an attribute or namespace declaration; the value is escaped.
    #[must_use]
    pub fn attribute(self, _name: &str, _value: &str) -> Self {
        todo!()
    }

    /// Adds text; it is escaped.
    #[must_use]
    pub fn text(self, _text: &str) -> Self {
        todo!()
    }

    /// Adds an element.
    #[must_use]
    pub fn child(self, _child: Self) -> Self {
        todo!()
    }

    /// Adds canonical XML as it stands: a signature.
    #[must_use]
    pub fn raw(self, _xml: &str) -> Self {
        todo!()
    }

    /// The text; an empty element has a start and an end tag, as canonical form wants.
    pub fn finish(self) -> String {
        todo!()
    }
}
