//! The people, the clients and the settings of the IdP.

use jiff::SignedDuration;
use serde_json::{Map, Value};

/// A person who can sign in at the IdP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestUser {
    /// The subject, opaque.
    pub sub: String,
    /// `preferred_username`, and the name by which tests choose the person.
    pub username: String,
    /// The full name.
    pub name: String,
    /// The given name.
    pub given_name: String,
    /// The family name.
    pub family_name: String,
    /// The e-mail address; empty: the claim is left out.
    pub email: String,
    /// `email_verified`; `None`: the claim is left out.
    pub email_verified: Option<bool>,
    /// The groups; empty: an empty list.
    pub groups: Vec<String>,
    /// Whether the person may sign in and refresh.
    pub enabled: bool,
    /// More claims; they win over the ones above.
    pub extra: Map<String, Value>,
}

impl TestUser {
    /// A person with a verified e-mail at `example.com`, whose subject is `sub-<username>`.
    pub fn new(username: &str, name: &str, groups: &[&str]) -> Self {
        let (given_name, family_name) = name.split_once(' ').unwrap_or((name, ""));
        TestUser {
            sub: format!("sub-{username}"),
            username: username.to_owned(),
            name: name.to_owned(),
            given_name: given_name.to_owned(),
            family_name: family_name.to_owned(),
            email: format!("{username}@example.com"),
            email_verified: Some(true),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            enabled: true,
            extra: Map::new(),
        }
    }
}

/// A registered relying party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The `client_id`.
    pub id: String,
    /// The secret of `client_secret_basic` and `client_secret_post`.
    pub secret: Option<String>,
    /// Where a code may go.
    pub redirect_uris: RedirectUris,
    /// Where a sign-out may return to.
    pub post_logout_redirect_uris: RedirectUris,
    /// How the client proves who it is; another way is refused.
    pub auth: ClientAuth,
}

impl Client {
    /// A confidential client (`client_secret_basic`) of any loopback URL.
    pub fn confidential(id: &str, secret: &str) -> Self {
        Client {
            id: id.to_owned(),
            secret: Some(secret.to_owned()),
            redirect_uris: RedirectUris::AnyLoopback,
            post_logout_redirect_uris: RedirectUris::AnyLoopback,
            auth: ClientAuth::Basic,
        }
    }
}

/// Which URIs a client registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectUris {
    /// These, compared as strings (RFC 9700 section 2.1).
    Exact(Vec<String>),
    /// Any HTTP URL of `127.0.0.1`, `[::1]` or `localhost`.
    AnyLoopback,
}

impl RedirectUris {
    pub(super) fn allow(&self, uri: &str) -> bool {
        match self {
            RedirectUris::Exact(list) => list.iter().any(|known| known == uri),
            RedirectUris::AnyLoopback => url::Url::parse(uri).is_ok_and(|url| {
                url.scheme() == "http"
                    && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
            }),
        }
    }
}

/// How a client authenticates at the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
    /// `private_key_jwt`, verified by this public key.
    PrivateKeyJwt(AssertionKey),
    /// A public client.
    None,
}

/// The public key of a client, as SPKI PEM or as a JSON Web Key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssertionKey {
    /// `-----BEGIN PUBLIC KEY-----`
    Pem(String),
    /// A JWK.
    Jwk(String),
}

/// How ID tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[default]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Where the claims about the person stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimsIn {
    /// In the ID token and in userinfo.
    #[default]
    Both,
    /// In userinfo only; the ID token says who and no more.
    Userinfo,
}

/// What the IdP does when nothing is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The algorithm of ID tokens.
    pub algorithm: SigningAlgorithm,
    /// Where names, e-mail and groups stand.
    pub claims_in: ClaimsIn,
    /// How far the IdP's clock is ahead.
    pub clock_offset: SignedDuration,
    /// The life of an ID token in seconds.
    pub id_token_seconds: i64,
    /// The life of an access token in seconds.
    pub access_token_seconds: i64,
    /// Whether refresh tokens are given out.
    pub refresh_tokens: bool,
    /// Whether a refresh answers with an ID token too.
    pub id_token_on_refresh: bool,
    /// Whether a code without `code_challenge` is refused.
    pub require_pkce: bool,
    /// Whether `iss` comes with the code (RFC 9207), and discovery says so.
    pub response_iss: bool,
    /// Who signs in without being asked.
    pub sign_in_as: Option<String>,
    /// How many groups a page of the Graph endpoint has.
    pub graph_page: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            algorithm: SigningAlgorithm::Rs256,
            claims_in: ClaimsIn::Both,
            clock_offset: SignedDuration::ZERO,
            id_token_seconds: 300,
            access_token_seconds: 300,
            refresh_tokens: true,
            id_token_on_refresh: true,
            require_pkce: true,
            response_iss: true,
            sign_in_as: None,
            graph_page: 100,
        }
    }
}
