//! Settings of the directory: who administers it, what writes into it, and what is kept of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Site;
use crate::identity::{IdpId, folded};
use crate::secret::Secret;

/// `admin`: the listener of the API, of SCIM and of the admin pages.
#[derive(Debug)]
pub struct AdminConfig {
    /// Where it listens; nothing else listens there.
    pub listen: SocketAddr,
    /// Where the admin pages are: an origin that no app has, with a session of its own. None: no pages.
    pub site: Option<Arc<Site>>,
    /// The bearer token of the API with every right, at least 32 characters. None: only tokens that were made over the API or the pages.
    pub token: Option<Secret>,
    /// Groups whose members may use the pages; a group counts only from the IdP that it stands under.
    pub allow_groups: Vec<(IdpId, String)>,
}

/// `local_accounts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalAccounts {
    /// Whether invited people may set a password.
    pub enabled: bool,
    /// Only accounts that are marked break-glass may sign in by password.
    pub require_sso: bool,
}

/// `mail`.
#[derive(Debug)]
pub struct MailConfig {
    /// `smtp://`, `smtps://` or `smtp://…?tls=required`, with user and password where the server wants them; never logged.
    pub url: Secret,
    /// The sender's address.
    pub from: String,
}

/// `audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// A file that gets every line as JSON, besides the table. None: the table alone.
    pub file: Option<PathBuf>,
    /// Whether a change that cannot be written to the file as well is refused.
    pub required: bool,
    /// How long lines are kept in the table.
    pub keep_for: Duration,
}

/// `scim` of an IdP: it may write its people and groups into the directory (RFC 7644).
#[derive(Debug)]
pub struct ScimConfig {
    /// Bearer tokens, newest first; at least 32 characters each.
    pub tokens: Vec<Secret>,
    /// The attribute of a SCIM user that says who signs in.
    pub match_on: ScimMatch,
    /// The claim (dotted path) or SAML attribute with the same value; none: the subject itself.
    pub match_attribute: Option<String>,
}

impl ScimConfig {
    /// The value of `match_attribute` as it is compared with that of a SCIM user.
    pub fn compared(&self, value: &str) -> String {
        match self.match_on {
            ScimMatch::ExternalId => value.to_owned(),
            ScimMatch::UserName | ScimMatch::Email => folded(value),
        }
    }
}

/// `scim.match.scim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimMatch {
    /// `externalId`.
    ExternalId,
    /// `userName`, compared without case.
    UserName,
    /// The primary of `emails`, compared without case.
    Email,
}
