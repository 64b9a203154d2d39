//! Keys of the directory: `admin`, `local_accounts`, `mail`, `audit`, and `scim` of an IdP.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::tree::{Entry, Node, Value};
use super::reader::{
    At, Described, Need, Read, RecordNode, Report, choice, description, field, need, record,
    record_schema, schema_of, word_of, word_problem,
};
use super::values::{List, OneOrMany, Period, SecretSource, Table, Text};

record! {
    /// The listener of the admin API, SCIM and the admin pages.
    RawAdmin {
        /// Address and port; keep it off the public network.
        required listen: Text,
        /// Where the admin pages are: an origin that no app has. Absent: no pages.
        optional public_url: Text,
        /// A bearer token of at least 32 characters for the API, with every right (`openssl rand -base64 32`).
        optional token: SecretSource,
        /// Who may use the pages.
        default("{}") allow: RawAdminAllow,
    }
}

record! {
    /// Who may use the admin pages.
    RawAdminAllow {
        /// IdP to groups: their members may. A group counts only from the IdP that it stands under.
        default("{}") groups: Table<List<Text>>,
    }
}

record! {
    /// Sign-in by password.
    RawLocalAccounts {
        /// Whether people who were invited to it may set a password, with a second factor (TOTP).
        default("false") enabled: bool,
        /// Only accounts that are marked break-glass may use their password.
        default("false") require_sso: bool,
    }
}

/// `mail`: the URL of a server, or a mapping with the sender.
#[derive(Debug)]
pub(in crate::config) enum RawMail {
    Url(SecretSource),
    Full(RawMailFull),
}

impl Read for RawMail {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Map(entries) if !is_secret(entries) => {
                RawMailFull::read(node, path, report).map(Self::Full)
            }
            Value::Map(_) | Value::Scalar { .. } | Value::List(_) => {
                SecretSource::read(node, path, report).map(Self::Url)
            }
        }
    }
}

/// `{ env }` or `{ file }`, as everywhere.
fn is_secret(entries: &[Entry]) -> bool {
    matches!(entries, [only] if only.key == "env" || only.key == "file")
}

impl JsonSchema for RawMail {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Mail".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [schema_of::<SecretSource>(generator), schema_of::<RawMailFull>(generator)] })
    }
}

record! {
    /// How mail is sent.
    RawMailFull {
        /// `smtps://user:password@host`, `smtp://user:password@host?tls=required` (STARTTLS), or `smtp://host:25` for a relay nearby;
        /// a secret, since it has a password as a rule.
        required url: SecretSource,
        /// The sender: `usher@corp.example`.
        required from: Text,
    }
}

record! {
    /// What is kept of what happened.
    RawAudit {
        /// A file that gets every line as JSON, besides the table in the store.
        optional file: Text,
        /// Whether a change that cannot be written to the file is refused.
        default("false") required: bool,
        /// How long lines are kept in the store.
        default("400d") keep_for: Period,
    }
}

record! {
    /// SCIM 2.0 of an IdP.
    RawScim {
        /// A bearer token of at least 32 characters; a list while rotating, newest first.
        required token: OneOrMany<SecretSource>,
        /// How a SCIM user is found at the sign-in.
        default("{}") r#match: RawScimMatch,
    }
}

record! {
    /// How a SCIM user is found at the sign-in: both have the same value.
    RawScimMatch {
        /// The attribute of the SCIM user.
        default("externalId") scim: RawScimMatchOn,
        /// The claim (or dotted path to it), or SAML attribute, that has its value: `oid` for Entra ID. Absent: the subject itself (`sub`, the NameID).
        optional attribute: Text,
    }
}

choice! {
    /// `scim.match.scim`.
    RawScimMatchOn {
        ExternalId = "externalId",
        UserName = "userName",
        Email = "emails.value",
    }
}
