//! SAML: messages judged without a server, and through one.

pub(crate) mod corpus;
pub(crate) mod logout_corpus;
pub(crate) mod through;
