//! `provisioning.scim` and `provisioning.rest` of an app as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::super::tree::{Node, Value};
use super::reader::{
    At, Described, Need, Read, RecordNode, Report, choice, description, field, need, record,
    record_schema, schema_of, word_of, word_problem,
};
use super::values::{Count, List, SecretSource, Table, Text};

record! {
    /// The app's own SCIM 2.0 endpoint, which usher keeps up to date.
    RawScimTarget {
        /// Its base URL; `/Users` follows.
        required url: Text,
        /// The bearer token that it takes.
        required token: SecretSource,
    }
}

record! {
    /// The app's own API. A preset knows its requests; what is written beside it takes the place of the preset's. Values stand in braces: id, account, email, name, given_name, family_name, username, role, roles, groups, active, random, and token in headers.
    RawRest {
        /// A set of requests; absent: all are written here.
        optional preset: RawRestPreset,
        /// The base URL; the paths of the requests follow.
        required url: Text,
        /// An access token of an admin, for `{token}` in `headers`.
        optional token: SecretSource,
        /// Fields of every request.
        default("{}") headers: Table<Text>,
        /// Makes an account. Needed without a preset.
        optional create: RawRestRequest,
        /// Changes an account; absent: nothing is sent.
        optional update: RawRestRequest,
        /// Switches an account off. Needed without a preset.
        optional deactivate: RawRestRequest,
        /// Switches an account on again; absent: it is changed by `update` alone.
        optional reactivate: RawRestRequest,
        /// Deletes an account; absent: it is switched off.
        optional delete: RawRestRequest,
        /// Finds an account by what is known of the person: where `create` says that it exists, or its id is not known.
        optional find: RawRestRequest,
    }
}

choice! {
    /// `rest.preset`.
    RawRestPreset {
        Gitlab = "gitlab",
        Gitea = "gitea",
        Mattermost = "mattermost",
        Metabase = "metabase",
    }
}

record! {
    /// One request to the app's API.
    RawRestRequest {
        /// The method.
        required method: RawRestMethod,
        /// Path and query, with a slash first: `/api/users/{account}`. Values are percent-encoded.
        required path: Text,
        /// A JSON document as text: `'{"mail": "{email}", "roles": "{roles}"}'`. Values are JSON; a text that is nothing but a variable becomes a list, a flag or null.
        optional body: Text,
        /// Statuses that mean: done.
        default("[200, 201, 202, 204]") done: List<Count>,
        /// Statuses that mean: there is such an account already.
        default("[409]") exists: List<Count>,
        /// Statuses that mean: the app does not let the person in.
        default("[]") refused: List<Count>,
        /// Statuses that are tried again, besides 408, 429 and 5xx.
        default("[]") again: List<Count>,
        /// Where the account's id is in the answer: a JSON pointer such as `/id` or `/data/0/id`.
        optional id: Text,
        /// Where the account's e-mail address is in the answer to `find`: it must be the person's.
        optional email: Text,
    }
}

choice! {
    /// `method`.
    RawRestMethod {
        Get = "GET",
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
    }
}
