//! Metadata (SAML Metadata): what the IdP publishes, where it comes from, and what usher publishes.

pub mod idp;
pub mod source;
pub mod sp;

pub use idp::{Endpoint, IdpMetadata};
pub use source::Source;
