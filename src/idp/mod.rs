//! Identity providers: each speaks one protocol; what comes out of a verified sign-in is the same for all.

mod cached;
mod health;
pub mod oidc;
pub mod saml;

pub use health::Health;

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{self, IdpProtocol};
use crate::identity::{Attributes, Subject};
use crate::keys::saml::SpKeys;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::session::Tokens;

/// What an IdP needs of usher.
#[derive(Clone, Debug)]
pub struct Ours {
    /// For its requests.
    pub outbound: Outbound,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Keys of the SAML service provider; there where a SAML IdP is configured.
    pub saml_keys: Option<Arc<SpKeys>>,
}

/// A closed set of protocols; `oidc` and `saml` never see each other.
#[derive(Debug)]
pub enum Idp {
    /// OpenID Connect.
    Oidc(oidc::OidcIdp),
    /// SAML 2.0.
    Saml(saml::SamlIdp),
}

impl Idp {
    /// The IdP of a config entry; reaches out only when it is used.
    ///
    /// # Errors
    /// A sentence: what the config names, such as a metadata file, cannot be used.
    pub fn new(
        config: Arc<config::Idp>,
        entity_id: String,
        ours: Ours,
        now: Timestamp,
    ) -> Result<Self, String> {
        let Ours {
            outbound,
            metrics,
            saml_keys,
        } = ours;
        match &config.protocol {
            IdpProtocol::Oidc(oidc) => {
                let oidc = Arc::clone(oidc);
                Ok(Self::Oidc(oidc::OidcIdp::new(
                    config, oidc, outbound, metrics,
                )))
            }
            IdpProtocol::Saml(saml) => {
                let saml = Arc::clone(saml);
                let keys = saml_keys.ok_or("the keys of the service provider are missing")?;
                let sp = saml::Sp { entity_id, keys };
                saml::SamlIdp::new(config, saml, sp, outbound, metrics, now).map(Self::Saml)
            }
        }
    }

    /// Its config.
    pub fn config(&self) -> &Arc<config::Idp> {
        match self {
            Self::Oidc(idp) => idp.config(),
            Self::Saml(idp) => idp.config(),
        }
    }
}

/// One claim or attribute as an IdP sent it, for the admin who looks at a test sign-in. Never a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it stood in: `ID token`, `userinfo`, `assertion`.
    pub source: &'static str,
    /// Its name there.
    pub name: String,
    /// A second name (SAML `FriendlyName`).
    pub also: Option<String>,
    /// Its values as text; anything but text and lists of text as JSON.
    pub values: Vec<String>,
}

/// A sign-in whose every check passed. Built only from what a protocol verified.
#[derive(Debug)]
pub struct VerifiedLogin {
    subject: Subject,
    attributes: Attributes,
    authenticated_at: Timestamp,
    says_when: bool,
    acr: Option<String>,
    idp_session: Option<String>,
    tokens: Tokens,
    ends_at: Option<Timestamp>,
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

    /// Whether the IdP said when they signed in there (OIDC `auth_time`, SAML `AuthnInstant`); else the time is that of its answer.
    pub fn says_when(&self) -> bool {
        self.says_when
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

    /// When its session has to end at the latest, where the IdP says so (SAML `SessionNotOnOrAfter`).
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }
}

impl From<oidc::VerifiedIdToken> for VerifiedLogin {
    fn from(token: oidc::VerifiedIdToken) -> Self {
        let oidc::Facts {
            subject,
            attributes,
            authenticated_at,
            says_when,
            acr,
            idp_session,
            tokens,
        } = token.into_facts();
        Self {
            subject,
            attributes,
            authenticated_at,
            says_when,
            acr,
            idp_session,
            tokens,
            ends_at: None,
        }
    }
}

impl From<saml::VerifiedResponse> for VerifiedLogin {
    fn from(response: saml::VerifiedResponse) -> Self {
        let saml::Facts {
            subject,
            attributes,
            authenticated_at,
            acr,
            idp_session,
            name_id,
            session_ends_at,
            assertion_id: _,
            valid_until: _,
        } = response.into_facts();
        let tokens = Tokens {
            name_id: Some(name_id),
            ..Tokens::default()
        };
        Self {
            subject,
            attributes,
            authenticated_at,
            says_when: true,
            acr,
            idp_session,
            tokens,
            ends_at: session_ends_at,
        }
    }
}
