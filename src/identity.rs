//! Who somebody is: the words that every layer shares once a protocol has done its verification.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Serialize};

/// Makes a cheap-to-clone name type over `Arc<str>`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a value that the caller has checked or trusts.
            pub fn new(value: impl Into<Arc<str>>) -> Self {
                Self(value.into())
            }

            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, out)
            }
        }
    };
}

name! {
    /// The `id` of an identity provider in the config; it stands in URLs.
    IdpId
}
name! {
    /// The `id` of an app in the config; the audience of its signed header.
    AppId
}
name! {
    /// The name of a role in an app, as the config lists it.
    Role
}
name! {
    /// A person in usher's directory: `usr_` and 32 hexadecimal digits (a UUIDv7).
    UserId
}

impl UserId {
    /// A new id; ids sort by the time they were made.
    pub fn generate() -> Self {
        Self::new(format!("usr_{}", uuid::Uuid::now_v7().simple()))
    }
}

/// The protocol by which a subject was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OpenID Connect.
    Oidc,
    /// SAML 2.0.
    Saml,
    /// Not signed in yet: known by SCIM alone. No session is of such a subject.
    Scim,
    /// usher's own sign-in by password.
    Local,
}

impl Protocol {
    /// Of what [`Protocol::as_str`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Oidc, Self::Saml, Self::Scim, Self::Local];
        all.into_iter().find(|protocol| protocol.as_str() == text)
    }

    /// The name in the callback body and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Saml => "saml",
            Self::Scim => "scim",
            Self::Local => "local",
        }
    }
}

/// Who an IdP says somebody is: opaque, and only of that IdP; never joined by e-mail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The IdP, by its id in the config.
    pub idp: IdpId,
    /// The protocol that verified it.
    pub protocol: Protocol,
    /// The issuer (OIDC `iss`, SAML entity ID).
    pub issuer: String,
    /// SAML NameID format (a URI); empty for OIDC. One value under two formats is two subjects.
    pub format: String,
    /// OIDC `sub`, at most 255 ASCII characters (OIDC Core 2); SAML NameID, at most 1024 characters.
    pub value: String,
}

/// The name by which a SAML IdP knows the person of a session (SAML Core 2.2.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameId {
    /// `Format`.
    pub format: String,
    /// The value, compared whole.
    pub value: String,
    /// `NameQualifier`.
    pub name_qualifier: Option<String>,
    /// `SPNameQualifier`.
    pub sp_name_qualifier: Option<String>,
}

impl NameId {
    /// By what the store finds its sessions: SHA-256 over format and value in hexadecimal, so that it tells neither.
    pub fn key(&self) -> String {
        // Neither part can hold a NUL (XML 1.0, 2.2), so no two names share a text.
        hash(&format!("{}\0{}", self.format, self.value))
    }
}

/// SHA-256 in hexadecimal: a name of fixed length for what must not be stored or shown as it is.
pub(crate) fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let mut hash = String::with_capacity(2 * digest.as_ref().len());
    for byte in digest.as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    hash
}

/// A name as names are compared: trimmed, in Unicode's compatibility form (NFKC), and without case. Letters that differ from
/// others by a capital letter alone are the same (dotless `ı` and `i`, `ß` and `ss`): what looks alike must not be two people.
pub fn folded(name: &str) -> String {
    const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    let name = name.trim();
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let folded = NFKC.normalize(name).to_uppercase().to_lowercase();
    NFKC.normalize(folded.trim()).into_owned()
}

impl fmt::Debug for NameId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[name id]")
    }
}

/// What an IdP says about a subject, after verification and in usher's own names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// E-mail address as given.
    pub email: Option<String>,
    /// `email_verified` where the IdP states it; absent is the IdP's word.
    pub email_verified: Option<bool>,
    /// Full name for display.
    pub name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// The name to sign in with (`preferred_username`).
    pub username: Option<String>,
    /// Groups as the IdP names them, in its order.
    pub groups: Vec<String>,
    /// What finds the person in the IdP's directory (SCIM): the value of `scim.match.attribute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory_key: Option<String>,
}

/// A user as seen through one subject: what a session is of, and what an app is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The user in usher's directory.
    pub user: UserId,
    /// The subject that signed in.
    pub subject: Subject,
    /// What the IdP said last about that subject.
    pub attributes: Attributes,
    /// What the apps answered for that user so far.
    pub accounts: Vec<Account>,
    /// What an admin or an invitation gave.
    pub grants: Vec<Grant>,
}

/// Leave to use an app that does not come from groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The app.
    pub app: AppId,
    /// The role; none: invited, with the app's default role.
    pub role: Option<Role>,
    /// Where it comes from.
    pub source: GrantSource,
}

/// Who gave a [`Grant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantSource {
    /// An admin, to a user who was there.
    Admin,
    /// The invitation by which the user came.
    Invitation,
}

impl GrantSource {
    /// The name in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Invitation => "invitation",
        }
    }

    /// Of what [`GrantSource::as_str`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Admin, Self::Invitation];
        all.into_iter().find(|source| source.as_str() == text)
    }
}

impl Person {
    /// The account in `app`, where that app was asked already.
    pub fn account(&self, app: &AppId) -> Option<&Account> {
        self.accounts.iter().find(|account| &account.app == app)
    }

    /// Whether an admin or an invitation let the person into `app`, with a role of its own or without.
    pub fn is_invited(&self, app: &AppId) -> bool {
        self.grants.iter().any(|grant| &grant.app == app)
    }
}

/// A user inside one app, as that app's callback answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The app.
    pub app: AppId,
    /// The app's own id of the account, if it gave one.
    pub id: Option<String>,
    /// Roles that the callback gave; they count only with `callback.roles: true`.
    pub roles: Vec<Role>,
    /// Whether the app lets the user in.
    pub state: AccountState,
    /// Whether the app was told last that the user is active.
    pub active: bool,
    /// Fingerprint of what the app was told last; see `provision`.
    pub told: String,
}

/// The app's word on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// The app has the account.
    Open,
    /// The app refused it; asked again at the next sign-in.
    Refused {
        /// `user_message` of the answer, for the page.
        message: Option<String>,
        /// `reason` of the answer, for the log.
        reason: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_width_or_form_are_one() {
        for same in [
            "alice@corp.test",
            "ALICE@corp.test",
            " alice@corp.test\t",
            "\u{ff41}lice@corp.test",
            "al\u{131}ce@corp.test",
            "AL\u{130}CE@corp.test".replace('\u{130}', "I").as_str(),
        ] {
            assert_eq!(folded(same), "alice@corp.test", "{same}");
        }
        assert_eq!(folded("STRASSE"), folded("straße"));
        assert_eq!(folded("e\u{301}"), folded("\u{c9}"));
        assert_eq!(folded("\u{2126}"), folded("\u{3c9}"));
        assert_ne!(folded("alice"), folded("\u{430}lice"));
    }
}
