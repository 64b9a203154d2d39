//! SAML: messages judged without a server, and through one.

pub(crate) mod corpus;
