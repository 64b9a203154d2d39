//! How messages travel (SAML Bindings): HTTP Redirect and HTTP POST.

pub mod post;
pub mod redirect;

use url::Url;

/// Which of the two messages of a protocol: its parameter name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `SAMLRequest`.
    Request,
    /// `SAMLResponse`.
    Response,
}

impl Message {
    /// The parameter that carries it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// A message on its way out through the browser.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Send the browser there.
    Redirect(Url),
    /// A form that the browser posts: fields by name, not yet escaped.
    Post {
        /// The `action` of the form.
        action: Url,
        /// Names and values.
        fields: Vec<(&'static str, String)>,
    },
}
