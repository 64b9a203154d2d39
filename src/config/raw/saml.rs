//! `saml` of an identity provider as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::tree::{Node, Value};
use super::reader::{
    At, Described, Need, Read, RecordNode, Report, choice, description, field, need, record,
    record_schema, schema_of, word_of, word_problem,
};
use super::values::{CertificateSource, List, Period, Text};

record! {
    /// SAML 2.0 settings of an IdP. Where it is: `metadata_url`, `metadata_file`, or `sso_url` with `entity_id` and `certificates`.
    RawSaml {
        /// The IdP's metadata, over https (http only on localhost); fetched again in time.
        optional metadata_url: Text,
        /// The IdP's metadata as a file.
        optional metadata_file: Text,
        /// The IdP's entity ID. Needed with `sso_url`; with metadata only where that describes several IdPs.
        optional entity_id: Text,
        /// The IdP's single sign-on URL, as its admin page shows it.
        optional sso_url: Text,
        /// The IdP's single logout URL, with `sso_url`; absent: no single logout.
        optional slo_url: Text,
        /// The IdP's signing certificates, with `sso_url`: the next one can stand there before the IdP changes over.
        optional certificates: List<CertificateSource>,
        /// If set, the metadata must be signed by the key of one of these certificates.
        default("[]") metadata_certificates: List<CertificateSource>,
        /// How requests go to the IdP.
        default("redirect") binding: RawSamlBinding,
        /// Whether sign-in requests are signed. They are in any case where the IdP's metadata wants it, and logout messages always.
        default("true") sign_requests: bool,
        /// The NameID format to ask for; absent: the IdP chooses.
        optional name_id_format: RawNameIdFormat,
        /// Authentication context classes (URIs) of which the IdP must use exactly one; empty: any.
        default("[]") authn_context: List<Text>,
        /// Whether people sign in at the IdP anew each time (`ForceAuthn`).
        default("false") force_authn: bool,
        /// How long ago at most the person may have signed in there (`AuthnInstant`). An IdP that keeps people signed in for longer needs more, or `force_authn: true`.
        default("24h") max_age: Period,
        /// Whether the IdP may show nothing (`IsPassive`): who is not signed in there is refused.
        default("false") is_passive: bool,
        /// The attribute that names a person for good, instead of the NameID; needed where NameIDs are transient.
        optional subject: Text,
        /// Whether sign-ins that begin at the IdP's portal are taken. They cannot be tied to a browser, so they are off.
        default("false") idp_initiated: bool,
    }
}

choice! {
    /// `binding`.
    RawSamlBinding {
        Redirect = "redirect",
        Post = "post",
    }
}

choice! {
    /// `name_id_format`.
    RawNameIdFormat {
        Persistent = "persistent",
        Email = "email",
        Transient = "transient",
        Unspecified = "unspecified",
    }
}

choice! {
    /// `attributes.preset`.
    RawSamlPreset {
        Usual = "usual",
        Entra = "entra",
        Okta = "okta",
        Google = "google",
        Keycloak = "keycloak",
        Oracle = "oracle",
        Adfs = "adfs",
        Shibboleth = "shibboleth",
    }
}
