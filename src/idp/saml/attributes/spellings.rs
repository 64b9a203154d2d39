//! How the usual IdPs spell the attributes that usher knows, the likeliest first.
//!
//! Only names that mean one thing are here: `Role` of Keycloak, say, is no group, and stays for the config to name.

use crate::config::SamlPreset;

/// Names (`Name` or `FriendlyName`) of each attribute; the first that has a value counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spellings {
    pub(super) email: &'static [&'static str],
    pub(super) name: &'static [&'static str],
    pub(super) given_name: &'static [&'static str],
    pub(super) family_name: &'static [&'static str],
    pub(super) username: &'static [&'static str],
    pub(super) groups: &'static [&'static str],
}

// Claim types of Microsoft (Entra ID and AD FS).
const CLAIM_EMAIL: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress";
const CLAIM_EMAIL_1: &str = "http://schemas.xmlsoap.org/claims/EmailAddress";
const CLAIM_DISPLAY_NAME: &str = "http://schemas.microsoft.com/identity/claims/displayname";
const CLAIM_COMMON_NAME: &str = "http://schemas.xmlsoap.org/claims/CommonName";
const CLAIM_GIVEN_NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname";
const CLAIM_SURNAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname";
const CLAIM_UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
const CLAIM_UPN_1: &str = "http://schemas.xmlsoap.org/claims/UPN";
/// The user principal name at Entra; whatever the rules say at AD FS.
const CLAIM_NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
const CLAIM_ACCOUNT: &str =
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/windowsaccountname";
const CLAIM_GROUPS: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups";
const CLAIM_GROUP: &str = "http://schemas.xmlsoap.org/claims/Group";

// Attributes of LDAP by their object identifiers (X.500, inetOrgPerson RFC 2798, eduPerson), as Shibboleth and Keycloak send them.
const OID_MAIL: &str = "urn:oid:0.9.2342.19200300.100.1.3";
const OID_EMAIL_ADDRESS: &str = "urn:oid:1.2.840.113549.1.9.1";
const OID_DISPLAY_NAME: &str = "urn:oid:2.16.840.1.113730.3.1.241";
const OID_CN: &str = "urn:oid:2.5.4.3";
const OID_GIVEN_NAME: &str = "urn:oid:2.5.4.42";
const OID_SN: &str = "urn:oid:2.5.4.4";
const OID_UID: &str = "urn:oid:0.9.2342.19200300.100.1.1";
const OID_EPPN: &str = "urn:oid:1.3.6.1.4.1.5923.1.1.1.6";
const OID_IS_MEMBER_OF: &str = "urn:oid:1.3.6.1.4.1.5923.1.5.1.1";

const ENTRA: Spellings = Spellings {
    email: &[CLAIM_EMAIL],
    name: &[CLAIM_DISPLAY_NAME],
    given_name: &[CLAIM_GIVEN_NAME],
    family_name: &[CLAIM_SURNAME],
    username: &[CLAIM_NAME, CLAIM_UPN],
    groups: &[CLAIM_GROUPS],
};

const ADFS: Spellings = Spellings {
    email: &[CLAIM_EMAIL, CLAIM_EMAIL_1],
    name: &[CLAIM_DISPLAY_NAME, CLAIM_COMMON_NAME, CLAIM_NAME],
    given_name: &[CLAIM_GIVEN_NAME],
    family_name: &[CLAIM_SURNAME],
    username: &[CLAIM_UPN, CLAIM_UPN_1, CLAIM_ACCOUNT],
    groups: &[CLAIM_GROUP, CLAIM_GROUPS],
};

const OKTA: Spellings = Spellings {
    email: &["email", "Email", "user.email"],
    name: &["displayName", "name", "user.displayName"],
    given_name: &["firstName", "FirstName", "first_name", "user.firstName"],
    family_name: &["lastName", "LastName", "last_name", "user.lastName"],
    username: &["login", "username", "userName", "user.login"],
    groups: &["groups", "Groups", "group"],
};

const GOOGLE: Spellings = Spellings {
    email: &["email", "Email", "mail", "primaryEmail"],
    name: &["name", "displayName", "fullName"],
    given_name: &["firstName", "first_name", "FirstName", "given_name"],
    family_name: &["lastName", "last_name", "LastName", "family_name"],
    username: &["username", "userName"],
    groups: &["groups", "Groups", "group"],
};

const KEYCLOAK: Spellings = Spellings {
    email: &["email", OID_EMAIL_ADDRESS, OID_MAIL],
    name: &["name", "displayName", OID_CN],
    given_name: &["givenName", "firstName", OID_GIVEN_NAME],
    family_name: &["surname", "lastName", "familyName", OID_SN],
    username: &["username", "uid", OID_UID],
    groups: &["groups", "member", "memberOf"],
};

const ORACLE: Spellings = Spellings {
    email: &["email", "mail", "emailAddress", "Email"],
    name: &["displayName", "fullName", "name", "cn"],
    given_name: &["firstName", "givenName", "firstname", "FirstName"],
    family_name: &[
        "lastName",
        "familyName",
        "surname",
        "lastname",
        "LastName",
        "sn",
    ],
    username: &["userName", "username", "uid"],
    groups: &["groups", "Groups", "memberOf"],
};

const SHIBBOLETH: Spellings = Spellings {
    email: &[OID_MAIL, "mail"],
    name: &[OID_DISPLAY_NAME, "displayName", OID_CN, "cn"],
    given_name: &[OID_GIVEN_NAME, "givenName"],
    family_name: &[OID_SN, "sn", "surname"],
    username: &[OID_UID, "uid", OID_EPPN, "eduPersonPrincipalName"],
    groups: &[OID_IS_MEMBER_OF, "isMemberOf"],
};

/// All of the above: names that say exactly what they are first, names that an admin thought of last.
const USUAL: Spellings = Spellings {
    email: &[
        CLAIM_EMAIL,
        CLAIM_EMAIL_1,
        OID_MAIL,
        OID_EMAIL_ADDRESS,
        "email",
        "mail",
        "Email",
        "emailAddress",
        "primaryEmail",
        "user.email",
    ],
    name: &[
        CLAIM_DISPLAY_NAME,
        OID_DISPLAY_NAME,
        CLAIM_COMMON_NAME,
        "displayName",
        "fullName",
        "name",
        "user.displayName",
        OID_CN,
        "cn",
    ],
    given_name: &[
        CLAIM_GIVEN_NAME,
        OID_GIVEN_NAME,
        "givenName",
        "given_name",
        "firstName",
        "first_name",
        "FirstName",
        "firstname",
        "user.firstName",
    ],
    family_name: &[
        CLAIM_SURNAME,
        OID_SN,
        "surname",
        "familyName",
        "family_name",
        "sn",
        "lastName",
        "last_name",
        "LastName",
        "lastname",
        "user.lastName",
    ],
    username: &[
        CLAIM_UPN,
        CLAIM_UPN_1,
        CLAIM_NAME,
        CLAIM_ACCOUNT,
        OID_UID,
        "username",
        "userName",
        "login",
        "user.login",
        "uid",
        OID_EPPN,
        "eduPersonPrincipalName",
    ],
    groups: &[
        CLAIM_GROUPS,
        CLAIM_GROUP,
        OID_IS_MEMBER_OF,
        "groups",
        "Groups",
        "isMemberOf",
        "memberOf",
        "member",
        "group",
    ],
};

impl Spellings {
    /// Those of a preset.
    pub(super) const fn of(preset: SamlPreset) -> &'static Self {
        match preset {
            SamlPreset::Usual => &USUAL,
            SamlPreset::Entra => &ENTRA,
            SamlPreset::Okta => &OKTA,
            SamlPreset::Google => &GOOGLE,
            SamlPreset::Keycloak => &KEYCLOAK,
            SamlPreset::Oracle => &ORACLE,
            SamlPreset::Adfs => &ADFS,
            SamlPreset::Shibboleth => &SHIBBOLETH,
        }
    }
}
