//! What a SAML IdP is configured with.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::certificate::Certificate;
use crate::secret::Secret;

/// `saml` of an IdP.
#[derive(Clone, Debug)]
pub struct SamlConfig {
    /// Where its endpoints and certificates come from.
    pub source: SamlSource,
    /// Certificates of which one must have signed the metadata; empty: it need not be signed.
    pub metadata_certificates: Vec<Certificate>,
    /// How requests go out.
    pub binding: SamlBinding,
    /// Whether AuthnRequests are signed. Logout messages always are.
    pub sign_requests: bool,
    /// `NameIDPolicy`; none: not asked.
    pub name_id_format: Option<NameIdFormat>,
    /// `AuthnContextClassRef`s of `RequestedAuthnContext`, compared exactly; empty: not asked.
    pub authn_context: Vec<String>,
    /// `ForceAuthn`.
    pub force_authn: bool,
    /// How long ago at most the person may have signed in at the IdP (`AuthnInstant`), besides the skew.
    pub max_age: Duration,
    /// `IsPassive`.
    pub is_passive: bool,
    /// Whether sign-ins that nobody asked for are taken.
    pub idp_initiated: bool,
    /// Where attributes are found.
    pub attributes: SamlAttributes,
}

/// Where the endpoints and certificates of a SAML IdP come from.
#[derive(Clone, Debug)]
pub enum SamlSource {
    /// Fetched, and again in time.
    Url {
        /// https, or http on loopback.
        url: Url,
        /// Which entity; none: the only IdP in it.
        entity_id: Option<String>,
    },
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Which entity; none: the only IdP in it.
        entity_id: Option<String>,
    },
    /// As an admin page shows it.
    Given {
        /// Entity ID.
        entity_id: String,
        /// Single sign-on.
        sso_url: Url,
        /// Single logout; none: not at all.
        slo_url: Option<Url>,
        /// Signing certificates; never empty.
        certificates: Vec<Certificate>,
    },
}

/// `binding` of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamlBinding {
    /// HTTP Redirect.
    Redirect,
    /// HTTP POST.
    Post,
}

/// `name_id_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameIdFormat {
    /// `persistent`.
    Persistent,
    /// `emailAddress`.
    Email,
    /// `transient`.
    Transient,
    /// `unspecified`.
    Unspecified,
}

impl NameIdFormat {
    /// Its URI (SAML Core 8.3).
    pub fn uri(self) -> &'static str {
        match self {
            Self::Persistent => "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
            Self::Email => "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
            Self::Transient => "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
            Self::Unspecified => "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
        }
    }
}

/// The spellings of attributes to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamlPreset {
    /// All that are usual.
    Usual,
    /// Microsoft Entra ID.
    Entra,
    /// Okta.
    Okta,
    /// Google Workspace.
    Google,
    /// Keycloak.
    Keycloak,
    /// Oracle Cloud.
    Oracle,
    /// AD FS.
    Adfs,
    /// Shibboleth.
    Shibboleth,
}

/// `attributes` of a SAML IdP: a name given here (`Name` or `FriendlyName`) counts instead of the preset's.
#[derive(Clone, Debug)]
pub struct SamlAttributes {
    /// Spellings where no name is given.
    pub preset: SamlPreset,
    /// E-mail address.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// Groups.
    pub groups: Option<String>,
    /// What separates groups within one value; none: each value is a group.
    pub groups_separator: Option<String>,
    /// Username.
    pub username: Option<String>,
    /// The attribute that names the subject instead of the NameID.
    pub subject: Option<String>,
}

/// One pair of `keys.saml`.
#[derive(Clone, Debug)]
pub struct SamlKeyPair {
    /// The certificate.
    pub certificate: Certificate,
    /// PEM of the private key (PKCS#8, RSA).
    pub key: Secret,
}
