//! The config as usher understands it. It is read by [`load`]: as written first (`raw`), then
//! checked into these types; every problem is reported together with its place.

mod checked;
mod directory;
mod drivers;
mod load;
mod patterns;
mod raw;
mod saml;
mod schema;
mod traces;
mod tree;

pub use directory::{AdminConfig, AuditConfig, LocalAccounts, MailConfig, ScimConfig, ScimMatch};
use drivers::variable_names;
pub use drivers::{Body, RestRequest, RestTarget, ScimTarget, Target, Template, Variable, as_text};
pub use load::{Offline, Problem, Problems, load, load_offline, parse, parse_offline};
#[cfg(test)]
mod tests;

pub use patterns::{OriginPattern, PathPatterns};
pub use saml::{
    NameIdFormat, SamlAttributes, SamlBinding, SamlConfig, SamlKeyPair, SamlPreset, SamlSource,
};
pub use schema::{json_schema, markdown};
pub use traces::Traces;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use ipnet::IpNet;
use url::Url;

use crate::identity::{AppId, IdpId, Role};
use crate::secret::Secret;

/// The whole meaning of one config file.
#[derive(Debug)]
pub struct Config {
    /// Where browsers (or the proxy in front) connect.
    pub listen: Listen,
    /// The top-level `public_url`.
    pub public_url: PublicUrl,
    /// Path prefix of usher's own endpoints, without a trailing slash; default `/_usher`.
    pub prefix: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; none without the key.
    pub metrics: Option<SocketAddr>,
    /// The listener of API, SCIM and admin pages; none without the key.
    pub admin: Option<AdminConfig>,
    /// Sign-in by password.
    pub local_accounts: LocalAccounts,
    /// How mail is sent; none: links are shown to the admin.
    pub mail: Option<MailConfig>,
    /// What is kept of what happened.
    pub audit: AuditConfig,
    /// Where state is kept.
    pub store: StoreConfig,
    /// Session limits and cookie.
    pub sessions: SessionsConfig,
    /// Keys for sealed cookies, newest first; empty: made and kept in the store.
    pub seal_keys: Vec<Secret>,
    /// Key pairs of the SAML service provider, newest first; empty: made and kept in the store.
    pub saml_keys: Vec<SamlKeyPair>,
    /// Networks whose `X-Forwarded-*` count.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins besides the apps' own that a return URL may have.
    pub return_to_origins: Vec<OriginPattern>,
    /// Where traces are sent; none without the key.
    pub traces: Option<Traces>,
    /// Timeouts of the data plane.
    pub timeouts: Timeouts,
    /// Limits of the data plane.
    pub limits: Limits,
    /// Identity providers in the order of the file, the disabled ones included.
    pub idps: Vec<Arc<Idp>>,
    /// Apps in the order of the file.
    pub apps: Vec<Arc<App>>,
    /// One for each public origin, with the apps that it serves.
    pub sites: Vec<Arc<Site>>,
}

/// The public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 picks a free one.
    pub address: SocketAddr,
    /// Certificate and key files; none: plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// PEM files of the listener's certificate; read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// A checked `public_url`: https, or http on localhost; no path, query, fragment or userinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// The origin as the WHATWG parser writes it, without a trailing slash.
    pub origin: String,
    /// Lower-case host without port.
    pub host: String,
    /// Host as a browser sends it: with the port where that is not the scheme's own.
    pub authority: String,
    /// Whether the browser speaks HTTPS (cookies are `Secure` and `__Host-`).
    pub https: bool,
}

/// The apps of one public origin: they share the flow, the cookie and the session.
#[derive(Debug)]
pub struct Site {
    /// The origin that cookies and redirect URIs are of.
    pub public_url: PublicUrl,
    /// All hosts that lead here, lower case; a port is not compared.
    pub hosts: Vec<String>,
    /// Its apps, longest path first.
    pub apps: Vec<Arc<App>>,
    /// Name of the session cookie here: `__Host-usher` on https, `usher` on plain localhost.
    pub cookie_name: String,
}

impl Config {
    /// The site that a host (lower case, without port) belongs to.
    pub fn site(&self, host: &str) -> Option<&Arc<Site>> {
        self.sites
            .iter()
            .find(|site| site.hosts.iter().any(|known| known == host))
    }

    /// All origins that people sign in at: those of the apps, and that of the admin pages.
    pub fn sign_in_sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        let admin = self.admin.as_ref().and_then(|admin| admin.site.as_ref());
        self.sites.iter().chain(admin)
    }

    /// The IdP with that id.
    pub fn idp(&self, id: &str) -> Option<&Arc<Idp>> {
        self.idps.iter().find(|idp| idp.id.as_str() == id)
    }

    /// The entity ID of usher for a SAML IdP: the URL of its metadata at the top-level `public_url`.
    pub fn saml_entity_id(&self, idp: &IdpId) -> String {
        format!(
            "{}{}/saml/{idp}/metadata",
            self.public_url.origin, self.prefix
        )
    }

    /// The app with that id.
    pub fn app(&self, id: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| app.id.as_str() == id)
    }
}

/// Whether `path` is `prefix` itself or below it, on a segment boundary. `prefix` has no slash at its end.
pub fn owns(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Site {
    /// The app that serves `path`: the longest prefix that ends on a segment boundary.
    pub fn app(&self, path: &str) -> Option<&Arc<App>> {
        self.apps
            .iter()
            .find(|app| owns(app.path.trim_end_matches('/'), path))
    }
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In this process only; a restart signs everybody out.
    Memory,
    /// One SQLite file.
    Sqlite(PathBuf),
}

/// `sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionsConfig {
    /// Without a request for so long, a session ends.
    pub idle_for: Duration,
    /// So long after the sign-in, a session ends in any case.
    pub lifetime: Duration,
    /// Name of the cookie on https.
    pub cookie_name: String,
}

/// `timeouts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to an app.
    pub connect: Duration,
    /// For a client to send its request head (and the TLS handshake).
    pub header: Duration,
    /// For an app to begin its answer; also between two chunks of a client's body.
    pub response: Duration,
    /// For a connection without a request, and for a tunnel without a byte.
    pub idle: Duration,
    /// After SIGTERM, to go on while `/readyz` says no; nobody is waited for without a metrics listener.
    pub linger: Duration,
    /// For requests in flight after that.
    pub drain: Duration,
}

/// `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head; beyond: 431.
    pub header_bytes: usize,
    /// Header fields of a request; beyond: 431.
    pub headers: usize,
    /// Bytes of a request body; beyond: 413. None: no limit.
    pub body: Option<u64>,
}

/// One identity provider.
#[derive(Debug)]
pub struct Idp {
    /// Id in URLs and in the store.
    pub id: IdpId,
    /// Name on the sign-in page.
    pub label: String,
    /// Whether people may sign in through it.
    pub enabled: bool,
    /// Domains (lower case) that find it, and the only ones that it may assert; empty: any.
    pub email_domains: Vec<String>,
    /// The IdP whose users its own are, joined by verified e-mail within both domains.
    pub same_users_as: Option<IdpId>,
    /// What it speaks.
    pub protocol: IdpProtocol,
    /// How it may write into the directory; none: it may not.
    pub scim: Option<ScimConfig>,
    /// SHA-256 over its part of the file, so that a change of it is seen.
    pub fingerprint: String,
}

/// The protocol of an IdP with its settings.
#[derive(Debug)]
pub enum IdpProtocol {
    /// OpenID Connect.
    Oidc(Arc<OidcConfig>),
    /// SAML 2.0.
    Saml(Arc<SamlConfig>),
}

/// `oidc` of an IdP.
#[derive(Debug)]
pub struct OidcConfig {
    /// The exact issuer, https or http on loopback.
    pub issuer: String,
    /// The client id there.
    pub client_id: String,
    /// How the client authenticates at the token endpoint.
    pub client_auth: ClientAuth,
    /// How the IdP returns the answer.
    pub response_mode: ResponseMode,
    /// Scopes, `openid` always among them.
    pub scopes: Vec<String>,
    /// When the userinfo endpoint is asked.
    pub userinfo: Userinfo,
    /// How often attributes are renewed within a session; none: never.
    pub refresh_every: Option<Duration>,
    /// Lets people in whose `email_verified` is false.
    pub allow_unverified_email: bool,
    /// Where attributes are found.
    pub attributes: AttributePaths,
}

/// `client_auth` together with what it needs (OIDC Core 9).
#[derive(Debug)]
pub enum ClientAuth {
    /// `client_secret_basic`.
    Basic(Secret),
    /// `client_secret_post`.
    Post(Secret),
    /// `private_key_jwt`: a PEM private key (PKCS#8, RSA or P-256) given as `client_secret`.
    PrivateKeyJwt(Secret),
    /// A public client: PKCE alone.
    None,
}

/// `response_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of a GET.
    Query,
    /// In the form of a cross-site POST.
    FormPost,
}

/// `userinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Userinfo {
    /// Where the ID token lacks a configured attribute.
    WhenNeeded,
    /// At every sign-in.
    Always,
    /// Not at all.
    Never,
}

/// `attributes`: claim names or dotted paths (`realm_access.roles`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributePaths {
    /// Default `email`.
    pub email: String,
    /// Default `name`.
    pub name: String,
    /// Default `given_name`.
    pub given_name: String,
    /// Default `family_name`.
    pub family_name: String,
    /// Default `groups`.
    pub groups: String,
    /// Default `preferred_username`.
    pub username: String,
}

/// One app behind usher.
#[derive(Debug)]
pub struct App {
    /// Id, and audience of the signed header.
    pub id: AppId,
    /// Hosts, lower case, without port.
    pub hosts: Vec<String>,
    /// Path prefix, beginning with `/`; nothing is stripped.
    pub path: String,
    /// The origin that its flow runs at.
    pub public_url: PublicUrl,
    /// Where requests go; none: the app is behind forward-auth alone, and usher forwards nothing to it.
    pub upstream: Option<Upstream>,
    /// Access rules; none configured: one that allows whoever is signed in.
    pub access: Vec<AccessRule>,
    /// What the app is told, and how.
    pub headers: HeadersConfig,
    /// Accounts and roles; none: off.
    pub provisioning: Option<Provisioning>,
}

/// `upstream` of an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// `http://host:port`.
    Http {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// `https://host:port`, verified against the public roots and those of `SSL_CERT_FILE`.
    Https {
        /// Host name or address, also the name that the certificate must have.
        host: String,
        /// Port.
        port: u16,
    },
    /// `unix:/path/to/socket`.
    Unix(PathBuf),
}

/// One rule of `access`; the first that matches decides.
#[derive(Debug)]
pub struct AccessRule {
    /// Paths; none: all.
    pub paths: Option<PathPatterns>,
    /// Methods; none: all.
    pub methods: Option<Vec<Method>>,
    /// Who may.
    pub allow: Allow,
}

/// `allow` of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Everybody, signed in or not.
    Anyone,
    /// Whoever is signed in and has access to the app.
    SignedIn,
    /// Whoever has at least one of these roles.
    Roles(Vec<Role>),
    /// Nobody.
    Nobody,
}

/// `headers` of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadersConfig {
    /// A preset, or names of one's own.
    pub preset: Preset,
    /// What the user header holds.
    pub user: UserSource,
}

/// The header sets that usher knows (design: what the app receives).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preset {
    /// usher's own `X-Forwarded-*` and `X-Usher-Jwt`.
    Usher,
    /// As oauth2-proxy sends them: `X-Forwarded-*` and `X-Auth-Request-*`.
    Oauth2Proxy,
    /// `Remote-User`, `-Groups`, `-Name`, `-Email`.
    RemoteUser,
    /// `X-WEBAUTH-*` with one role.
    Grafana,
    /// `X-JWT-Assertion` alone.
    GrafanaJwt,
    /// `X-WEBAUTH-USER`, `-EMAIL`, `-FULLNAME`: Gitea and Forgejo.
    Gitea,
    /// `X-Forwarded-User`, `-Mail`, `-DisplayName`, `-Groups` with `|` between groups.
    Jenkins,
    /// `X-Forwarded-Login`, `-Name`, `-Email`, `-Groups`.
    Sonarqube,
    /// `X-Proxy-User`, `X-Proxy-Roles`.
    Opensearch,
    /// `Remote-User`, `-User-Email`, `-User-Group` with `|` between groups.
    Netbox,
    /// `X-Remote-User` alone: Superset and Airflow.
    Superset,
    /// `Remote-User` alone.
    Paperless,
    /// `Remote-User` alone.
    Miniflux,
    /// `X-Forwarded-User`, `-Email`, `-Name`, `-Groups` and one `-Role`.
    OpenWebui,
    /// A map of one's own: header name to source, in the order of the file.
    Custom(Vec<(http::HeaderName, HeaderSource)>),
}

/// What a header of a custom map carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderSource {
    /// What `headers.user` names.
    User,
    /// User id.
    Id,
    /// E-mail.
    Email,
    /// Username.
    Username,
    /// Full name.
    Name,
    /// Groups, comma-separated.
    Groups,
    /// Roles, comma-separated.
    Roles,
    /// The last role.
    Role,
    /// The app's own id of the account.
    Account,
    /// The signed JWT.
    Jwt,
}

/// `headers.user`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSource {
    /// usher's user id.
    Id,
    /// E-mail.
    Email,
    /// Username.
    Username,
    /// The app's own id of the account.
    Account,
}

/// `provisioning` of an app.
#[derive(Debug)]
pub struct Provisioning {
    /// Who gets an account.
    pub mode: ProvisioningMode,
    /// The app's roles, in order; none implies another.
    pub roles: Vec<Role>,
    /// For a user without a mapped group; none: refused.
    pub default_role: Option<Role>,
    /// (IdP, group, role): a group counts only from the IdP that it stands under.
    pub group_roles: Vec<(IdpId, String, Role)>,
    /// How the app is told; none: accounts are usher's word alone.
    pub target: Option<Target>,
}

impl Provisioning {
    /// The callback, where that is how the app is told.
    pub fn callback(&self) -> Option<&Callback> {
        match &self.target {
            Some(Target::Callback(callback)) => Some(callback),
            Some(Target::Scim(_) | Target::Rest(_)) | None => None,
        }
    }
}

/// `provisioning.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisioningMode {
    /// Accounts are made at the first visit.
    Jit,
    /// Only who was invited.
    Invited,
    /// No accounts and no callback; roles are still mapped.
    Off,
}

/// `provisioning.callback`.
#[derive(Debug)]
pub struct Callback {
    /// Where it is posted.
    pub url: Url,
    /// Keys of the signature, newest first, decoded from `whsec_…`; 24 to 64 bytes each.
    pub secrets: Vec<WebhookKey>,
    /// Whether roles in the answer count.
    pub roles: bool,
}

/// A decoded Standard Webhooks key.
#[derive(Clone)]
pub struct WebhookKey(pub Vec<u8>);

impl std::fmt::Debug for WebhookKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("[secret]")
    }
}
