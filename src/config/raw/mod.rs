//! The config as written. Every key stands here once, with its need, its default and its
//! description: the reader and the JSON Schema are made of the same lines.

mod directory;
mod drivers;
mod reader;
mod saml;
mod values;

pub(super) use directory::{
    RawAdmin, RawAudit, RawLocalAccounts, RawMail, RawScim, RawScimMatchOn,
};
pub(super) use drivers::{RawRest, RawRestMethod, RawRestPreset, RawRestRequest, RawScimTarget};
pub(super) use reader::{At, LATER, Read, Report, suggestion};
pub(super) use saml::{RawNameIdFormat, RawSaml, RawSamlBinding, RawSamlPreset};
pub(super) use values::{
    CertificateSource, Count, Limit, List, OneOrMany, Pause, Period, Ratio, SecretSource, Table,
    Text,
};

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::tree::{Node, Value};
use reader::{
    Described, Need, RecordNode, choice, description, field, need, record, record_schema,
    schema_of, word_of, word_problem,
};
use values::Size;

record! {
    /// usher's config file.
    RawConfig {
        /// Address and port of the public listener, or `{ address, tls: { certificate, key } }`. Port 0 picks a free one.
        required listen: RawListen,
        /// What the browser sees: `https://host`, or `http://localhost:port` to try things out. Cookies and redirect URIs come from it.
        required public_url: Text,
        /// Path prefix of usher's own endpoints.
        default("/_usher") prefix: Text,
        /// The operator's listener; absent: none.
        optional metrics: RawMetrics,
        /// The listener of the admin API, SCIM and the admin pages; absent: none.
        optional admin: RawAdmin,
        /// Sign-in by password, for people who were invited to it.
        default("{}") local_accounts: RawLocalAccounts,
        /// How mail is sent: the URL of a server (`smtps://…`; the sender is then `usher@` the host of `public_url`), or `{ url, from }`.
        /// Absent: links are shown to the admin only.
        optional mail: RawMail,
        /// What is kept of what happened.
        default("{}") audit: RawAudit,
        /// `sqlite:/path/to/file`, or `memory`: a restart then signs everybody out.
        default("memory") store: Text,
        /// How long sessions live, and the name of their cookie.
        default("{}") sessions: RawSessions,
        /// usher's own keys.
        default("{}") keys: RawKeys,
        /// Networks (CIDR) of the proxies in front, whose `X-Forwarded-*` headers count; empty: none.
        default("[]") trusted_proxies: List<Text>,
        /// Origins, besides the apps' own, that a return URL may have: `https://host`, or `https://*.host` for all below it.
        default("[]") return_to_origins: List<Text>,
        /// OpenTelemetry traces; absent: none.
        optional traces: RawTraces,
        /// Timeouts of the data plane.
        default("{}") timeouts: RawTimeouts,
        /// Limits of the data plane.
        default("{}") limits: RawLimits,
        /// Where people sign in.
        required identity_providers: List<RawIdp>,
        /// The apps behind usher.
        required apps: List<RawApp>,
    }
}

/// `listen`: an address, or a mapping with TLS files.
#[derive(Debug)]
pub(super) enum RawListen {
    Address(Text),
    Full(RawListenFull),
}

impl Read for RawListen {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawListenFull::read(node, path, report).map(Self::Full),
            Value::Scalar { .. } | Value::List(_) => {
                Text::read(node, path, report).map(Self::Address)
            }
        }
    }
}

impl JsonSchema for RawListen {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [schema_of::<Text>(generator), schema_of::<RawListenFull>(generator)] })
    }
}

record! {
    /// A listener with TLS.
    RawListenFull {
        /// Address and port.
        required address: Text,
        /// Certificate and key; absent: plain HTTP.
        optional tls: RawTls,
    }
}

record! {
    /// PEM files; they are read again when they change.
    RawTls {
        /// File with the certificate chain, leaf first.
        required certificate: Text,
        /// File with the private key.
        required key: Text,
    }
}

record! {
    /// The operator's listener: `/metrics`, `/healthz`, `/readyz`.
    RawMetrics {
        /// Address and port; keep it off the public network.
        required listen: Text,
    }
}

record! {
    /// Traces, sent by OTLP over HTTP.
    RawTraces {
        /// Base URL of the collector, to which `/v1/traces` is added, such as `http://collector:4318`. Absent: what `OTEL_EXPORTER_OTLP_ENDPOINT` says.
        optional otlp_endpoint: Text,
        /// How many of the traces that begin here are sampled, from 0 to 1; one that the client began is sampled as it says. 0: none at all.
        default("1.0") sample: Ratio,
        /// Header fields for the collector.
        default("{}") headers: Table<SecretSource>,
    }
}

record! {
    /// Session limits and cookie.
    RawSessions {
        /// Without a request for so long, a session ends.
        default("8h") idle_for: Period,
        /// So long after the sign-in, a session ends in any case.
        default("24h") lifetime: Period,
        /// Name of the session cookie; it begins with `__Host-`, which plain HTTP on localhost leaves out.
        default("__Host-usher") cookie_name: Text,
    }
}

record! {
    /// usher's own keys.
    RawKeys {
        /// Secrets of at least 32 characters that seal cookies, newest first (`openssl rand -base64 32`); empty: made and kept in the store.
        default("[]") seal: List<SecretSource>,
        /// Key pairs of the SAML service provider, newest first: the first signs, all of them decrypt and stand in the metadata. Empty: made and kept in the store.
        default("[]") saml: List<RawSamlKey>,
    }
}

record! {
    /// One key pair of the SAML service provider.
    RawSamlKey {
        /// Its certificate, self-signed as a rule.
        required certificate: CertificateSource,
        /// Its private key in PEM (PKCS#8, RSA of at least 2048 bits).
        required key: SecretSource,
    }
}

record! {
    /// Timeouts of the data plane.
    RawTimeouts {
        /// To connect to an app.
        default("5s") connect: Period,
        /// For a client to send its request head, and for the TLS handshake.
        default("10s") header: Period,
        /// For an app to begin its answer.
        default("60s") response: Period,
        /// For a connection without a request, and for a tunnel without a byte.
        default("5m") idle: Period,
        /// After SIGTERM, to go on while `/readyz` answers 503 already, so that what stands in front stops sending first; or `none`.
        /// Without `metrics` nobody asks, and nobody is waited for.
        default("5s") linger: Pause,
        /// For requests in flight after that.
        default("30s") drain: Period,
    }
}

record! {
    /// Limits of the data plane.
    RawLimits {
        /// Bytes of a request head; beyond: 431.
        default("32KiB") header_bytes: Size,
        /// Header fields of a request; beyond: 431.
        default("100") headers: Count,
        /// Bytes of a request body, or `none`; beyond: 413.
        default("none") body: Limit,
    }
}

record! {
    /// One identity provider.
    RawIdp {
        /// Its name in URLs: `/_usher/oidc/{id}/callback`, `/_usher/saml/{id}/acs`. Small letters, digits and `-`; not `local`.
        required id: Text,
        /// Its name on the sign-in page; absent: the id.
        optional label: Text,
        /// `false`: only a test sign-in works.
        default("true") enabled: bool,
        /// Domains that find this IdP by e-mail; if set, it may assert no other domain.
        default("[]") email_domains: List<Text>,
        /// Another IdP whose users these are: joined by verified e-mail within the domains of both. Absent: never joined.
        optional same_users_as: Text,
        /// OpenID Connect. An IdP has exactly one of `oidc` and `saml`.
        optional oidc: RawOidc,
        /// SAML 2.0. An IdP has exactly one of `oidc` and `saml`.
        optional saml: RawSaml,
        /// With OIDC names of claims, or dotted paths to them, such as `realm_access.roles`; with SAML the `Name` or `FriendlyName` of attributes.
        default("{}") attributes: RawAttributes,
        /// Lets the IdP write its people and groups by SCIM 2.0, at `/_usher/scim/{id}/v2` and `/scim/{id}/v2` of the admin listener.
        optional scim: RawScim,
    }
}

record! {
    /// OpenID Connect settings of an IdP.
    RawOidc {
        /// The issuer exactly as the IdP's metadata states it.
        required issuer: Text,
        /// The client id registered there.
        required client_id: Text,
        /// The client secret; for `private_key_jwt` a private key in PEM (PKCS#8, RSA or P-256).
        optional client_secret: SecretSource,
        /// How usher proves who it is.
        default("client_secret_basic") client_auth: RawClientAuth,
        /// How the answer comes back.
        default("query") response_mode: RawResponseMode,
        /// Scopes to ask for; `openid` is always asked.
        default("[openid, email, profile]") scopes: List<Text>,
        /// When the userinfo endpoint is asked: `when_needed` is where the ID token lacks a configured attribute.
        default("when_needed") userinfo: RawUserinfo,
        /// How often attributes and roles are renewed within a session; absent: never.
        optional refresh_every: Period,
        /// Lets people in whose `email_verified` is false.
        default("false") allow_unverified_email: bool,
    }
}

choice! {
    /// `client_auth`.
    RawClientAuth {
        Basic = "client_secret_basic",
        Post = "client_secret_post",
        PrivateKeyJwt = "private_key_jwt",
        None = "none",
    }
}

choice! {
    /// `response_mode`.
    RawResponseMode {
        Query = "query",
        FormPost = "form_post",
    }
}

choice! {
    /// `userinfo`.
    RawUserinfo {
        WhenNeeded = "when_needed",
        Always = "always",
        Never = "never",
    }
}

record! {
    /// Where attributes are found.
    RawAttributes {
        /// SAML only: the names that this IdP uses, where none is given below; absent: `usual`, the common ones of all.
        optional preset: RawSamlPreset,
        /// E-mail address; absent: `email` with OIDC, the preset's names with SAML.
        optional email: Text,
        /// Full name; absent: `name` with OIDC, the preset's names with SAML.
        optional name: Text,
        /// Given name; absent: `given_name` with OIDC, the preset's names with SAML.
        optional given_name: Text,
        /// Family name; absent: `family_name` with OIDC, the preset's names with SAML.
        optional family_name: Text,
        /// Groups; absent: `groups` with OIDC, the preset's names with SAML.
        optional groups: Text,
        /// Username; absent: `preferred_username` with OIDC, the preset's names with SAML.
        optional username: Text,
        /// SAML only: what separates several groups within one value, such as `;`; absent: each value is one group.
        optional groups_separator: Text,
    }
}

record! {
    /// One app behind usher.
    RawApp {
        /// Its name, and the audience of its signed header. Small letters, digits and `-`.
        required id: Text,
        /// Hosts that lead to it, without ports; absent: the host of its `public_url`. Any other host is 421.
        optional hosts: List<Text>,
        /// Path prefix that leads to it; the longest wins, and nothing is stripped.
        default("/") path: Text,
        /// The origin that its sign-in runs at; absent: the top-level one.
        optional public_url: Text,
        /// Where requests go: `http://host:port`, `https://host:port` or `unix:/path/to/socket`. Absent: the app is behind forward-auth
        /// only, by a proxy of `trusted_proxies`.
        optional upstream: Text,
        /// Rules; the first that matches decides, and without a match the answer is 403. Absent: whoever is signed in.
        optional access: List<RawRule>,
        /// How the app is told who somebody is.
        default("{}") headers: RawHeaders,
        /// Accounts and roles; absent: off.
        optional provisioning: RawProvisioning,
    }
}

record! {
    /// One access rule.
    RawRule {
        /// Path patterns: `*` within a segment, `**` over segments; `/admin/**` is `/admin`, `/admin/` and all below. In decoded characters (`/café`, not `/caf%C3%A9`). Absent: all paths.
        optional paths: List<Text>,
        /// Methods; absent: all.
        optional methods: List<Text>,
        /// Who may: `anyone`, `signed_in`, `nobody`, or `{ roles: [...] }`.
        required allow: RawAllow,
    }
}

/// `allow` of a rule.
#[derive(Debug)]
pub(super) enum RawAllow {
    Word(RawAllowWord),
    Roles(RawAllowRoles),
}

choice! {
    /// `allow` as a word.
    RawAllowWord {
        Anyone = "anyone",
        SignedIn = "signed_in",
        Nobody = "nobody",
    }
}

record! {
    /// `allow` by roles.
    RawAllowRoles {
        /// Whoever has at least one of these roles.
        required roles: List<Text>,
    }
}

impl Read for RawAllow {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Map(_) => RawAllowRoles::read(node, path, report).map(Self::Roles),
            Value::Scalar { .. } => RawAllowWord::read(node, path, report).map(Self::Word),
            Value::List(_) => {
                report.wrong_type(node, path, "anyone, signed_in, nobody or { roles: [...] }");
                None
            }
        }
    }
}

impl JsonSchema for RawAllow {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Allow".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [schema_of::<RawAllowWord>(generator), schema_of::<RawAllowRoles>(generator)] })
    }
}

record! {
    /// How the app is told who somebody is: a preset, or a map of one's own.
    RawHeaders {
        /// A set of headers that the app knows; absent: `usher`.
        optional preset: RawPreset,
        /// Headers of one's own instead of a preset: name to what it carries.
        optional map: Table<RawHeaderSource>,
        /// What the user header holds; absent: `id` for the preset `usher`, `username` for `gitea`, else `email`.
        optional user: RawUserSource,
    }
}

choice! {
    /// `headers.preset`.
    RawPreset {
        Usher = "usher",
        Oauth2Proxy = "oauth2-proxy",
        RemoteUser = "remote-user",
        Grafana = "grafana",
        GrafanaJwt = "grafana-jwt",
        Gitea = "gitea",
        Jenkins = "jenkins",
        Sonarqube = "sonarqube",
        Opensearch = "opensearch",
        Netbox = "netbox",
        Superset = "superset",
        Paperless = "paperless",
        Miniflux = "miniflux",
        OpenWebui = "open-webui",
    }
    later { "nextcloud", "gitlab", "airflow", "kibana", "jupyterhub", "redmine" }
}

choice! {
    /// What a header of a custom map carries.
    RawHeaderSource {
        User = "user",
        Id = "id",
        Email = "email",
        Username = "username",
        Name = "name",
        Groups = "groups",
        Roles = "roles",
        Role = "role",
        Account = "account",
        Jwt = "jwt",
    }
}

choice! {
    /// `headers.user`.
    RawUserSource {
        Id = "id",
        Email = "email",
        Username = "username",
        Account = "account",
    }
}

record! {
    /// Accounts and roles in an app.
    RawProvisioning {
        /// `jit`: accounts are made at the first visit; `invited`: only who was invited; `off`: no accounts and no callback, roles are still mapped.
        default("jit") mode: RawMode,
        /// The app's roles, in order; none implies another.
        default("[]") roles: List<Text>,
        /// The role of a user without a mapped group; absent: such a user is refused.
        optional default_role: Text,
        /// IdP to group to role; a group counts only from the IdP that it stands under.
        optional group_roles: Table<Table<Text>>,
        /// Where the app is asked for the account; absent: it is not asked. An app has at most one of `callback`, `scim` and `rest`.
        optional callback: RawCallback,
        /// The app's SCIM 2.0 endpoint, instead of the callback.
        optional scim: RawScimTarget,
        /// The app's own API, instead of the callback.
        optional rest: RawRest,
    }
}

choice! {
    /// `provisioning.mode`.
    RawMode {
        Jit = "jit",
        Invited = "invited",
        Off = "off",
    }
}

record! {
    /// The provisioning callback (Standard Webhooks 1.0).
    RawCallback {
        /// Where it is posted.
        required url: Text,
        /// `whsec_` and base64 of 24 to 64 bytes; a list while rotating, newest first.
        required secret: OneOrMany<SecretSource>,
        /// Whether roles in the answer count.
        default("false") roles: bool,
    }
}
