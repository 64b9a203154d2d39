//! Metadata (SAML Metadata): what the IdP publishes, where it comes from, and what usher publishes.

mod entity;
pub mod expiry;
pub mod idp;
mod load;
pub mod source;
pub mod sp;

pub use idp::{Endpoint, IdpMetadata};
pub use source::Source;

/// What a log may show of a text that somebody else wrote: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars()
        .take(100)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
