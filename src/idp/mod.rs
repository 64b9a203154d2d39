//! Identity providers: each speaks one protocol; what comes out of a verified sign-in is the same for all.

pub mod oidc;

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{self, IdpProtocol};
use crate::identity::{Attributes, Subject};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::session::Tokens;

/// A closed set of protocols; `oidc` and `saml` never see each other.
#[derive(Debug)]
pub enum Idp {
    /// OpenID Connect.
    Oidc(oidc::OidcIdp),
}

impl Idp {
    /// The IdP of a config entry; reaches out only when it is used.
    pub fn new(config: Arc<config::Idp>, outbound: Outbound, metrics: Arc<Metrics>) -> Self {
        match &config.protocol {
            IdpProtocol::Oidc(_) => Self::Oidc(oidc::OidcIdp::new(config, outbound, metrics)),
        }
    }

    /// Its config.
    pub fn config(&self) -> &Arc<config::Idp> {
        match self {
            Self::Oidc(idp) => idp.config(),
        }
    }
}

/// A sign-in whose every check passed. Built only from what a protocol verified.
#[derive(Debug)]
pub struct VerifiedLogin {
    subject: Subject,
    attributes: Attributes,
    authenticated_at: Timestamp,
    acr: Option<String>,
    idp_session: Option<String>,
    tokens: Tokens,
}

impl VerifiedLogin {
    /// Who signed in.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What the IdP says about them.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// When they signed in there.
    pub fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// Authentication context class.
    pub fn acr(&self) -> Option<&str> {
        self.acr.as_deref()
    }

    /// The IdP's own session id.
    pub fn idp_session(&self) -> Option<&str> {
        self.idp_session.as_deref()
    }

    /// Tokens to keep.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}

impl From<oidc::VerifiedIdToken> for VerifiedLogin {
    fn from(token: oidc::VerifiedIdToken) -> Self {
        let oidc::Facts {
            subject,
            attributes,
            authenticated_at,
            acr,
            idp_session,
            tokens,
        } = token.into_facts();
        Self {
            subject,
            attributes,
            authenticated_at,
            acr,
            idp_session,
            tokens,
        }
    }
}
