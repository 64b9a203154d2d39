//! How messages travel (SAML Bindings): HTTP Redirect and HTTP POST.

pub mod post;
pub mod redirect;

use url::Url;

use super::metadata::idp::Binding;
use crate::keys::saml::{KeyError, SpKey};

/// Bytes of a `RelayState` that comes with a message. The standard allows 80 (Bindings 3.4.3), but IdPs send URLs and longer
/// keys of their own with logout requests, which have to be sent back as they are; the answer must still fit into a URL.
pub const RELAY_STATE: usize = 1024;

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

/// `to` with the address that somebody typed as `login_hint`, for the IdP to fill in its form (it is no part of the message, so
/// `Destination` stays `to`). Entra ID and Google take it like this, others pass over it; `Subject` in the request is what
/// SAML has for it (Core 3.4.1), but Entra ID answers that with an error.
#[must_use]
pub fn with_login_hint(to: &Url, hint: &str) -> Url {
    let mut to = to.clone();
    to.query_pairs_mut().append_pair("login_hint", hint);
    to
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

/// A message on its way to `to` by `binding`, signed where a key is given: over the query of a redirect, or in the XML that
/// `write` makes with that key.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn encode(
    binding: Binding,
    to: &Url,
    message: Message,
    relay_state: Option<&str>,
    key: Option<&SpKey>,
    write: impl FnOnce(Option<&SpKey>) -> Result<String, KeyError>,
) -> Result<Outgoing, KeyError> {
    match binding {
        Binding::Redirect => redirect::encode(to, message, &write(None)?, relay_state, key),
        Binding::Post => Ok(post::encode(to, message, &write(key)?, relay_state)),
    }
}
