//! What the IdP knows while it runs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::IdpError;
use super::faults::{Endpoint, EndpointFault, Fault, Faults};
use super::keys::{FirstRsa, KeyRing};
use super::model::{Client, Settings, TestUser};
use super::params::Params;

/// How often each endpoint was called since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of the discovery document.
    pub discovery_calls: u64,
    /// Calls of the key set.
    pub jwks_calls: u64,
    /// Calls of the authorization endpoint, the login page's own included.
    pub authorize_calls: u64,
    /// Calls of the token endpoint, refreshes included.
    pub token_calls: u64,
    /// Calls of the token endpoint that were refreshes.
    pub refresh_calls: u64,
    /// Calls of userinfo.
    pub userinfo_calls: u64,
    /// Calls of RP-initiated logout.
    pub end_session_calls: u64,
    /// Calls of the Graph endpoint.
    pub graph_calls: u64,
}

/// A call of the token endpoint, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// The form, in its order.
    pub params: Vec<(String, String)>,
    /// The first word of `Authorization`, if there was one.
    pub authorization_scheme: Option<String>,
    /// The header of `client_assertion`.
    pub assertion_header: Option<Value>,
    /// The claims of `client_assertion`.
    pub assertion_claims: Option<Value>,
}

impl TokenRequest {
    /// The first value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the IdP saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    pub(super) authorize: Vec<Vec<(String, String)>>,
    pub(super) token: Vec<TokenRequest>,
    pub(super) end_session: Vec<Vec<(String, String)>>,
    /// `sid` of each session that a code was given for.
    pub(super) sids: Vec<String>,
}

/// Somebody signed in at the IdP.
#[derive(Clone, Debug)]
pub(super) struct IdpSession {
    pub(super) sid: String,
    pub(super) username: String,
    pub(super) auth_time: i64,
}

/// What a code or a token stands for.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) session: IdpSession,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    pub(super) code_challenge: Option<String>,
    /// One for all the refresh tokens that follow each other.
    pub(super) family: String,
    pub(super) expires_at: i64,
}

pub(super) struct Inner {
    pub(super) users: Vec<TestUser>,
    pub(super) clients: Vec<Client>,
    pub(super) settings: Settings,
    pub(super) faults: Faults,
    pub(super) keys: KeyRing,
    pub(super) sessions: HashMap<String, IdpSession>,
    pub(super) codes: HashMap<String, Grant>,
    pub(super) last_code: Option<String>,
    pub(super) access_tokens: HashMap<String, Grant>,
    pub(super) refresh_tokens: HashMap<String, Grant>,
    /// Used refresh tokens and their family: seen again, the family ends (RFC 9700 section 4.14.2).
    pub(super) used_refresh_tokens: HashMap<String, String>,
    pub(super) assertion_ids: HashSet<String>,
    pub(super) recorded: Recorded,
}

impl Inner {
    pub(super) fn user(&self, username: &str) -> Option<&TestUser> {
        self.users.iter().find(|user| user.username == username)
    }

    /// By user name or e-mail, as a login hint names people.
    pub(super) fn user_by_hint(&self, hint: &str) -> Option<&TestUser> {
        self.users
            .iter()
            .find(|user| user.username == hint || (!hint.is_empty() && user.email == hint))
    }

    pub(super) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// The IdP's clock in seconds.
    pub(super) fn now(&self) -> i64 {
        Timestamp::now().as_second() + self.settings.clock_offset.as_secs()
    }

    pub(super) fn jwks(&self) -> String {
        json!({ "keys": self.keys.published() }).to_string()
    }
}

pub(super) struct Shared {
    pub(super) issuer: String,
    inner: Mutex<Inner>,
    calls: [AtomicU64; 8],
}

impl Shared {
    pub(super) fn new(
        issuer: String,
        users: Vec<TestUser>,
        clients: Vec<Client>,
        first_rsa: FirstRsa,
    ) -> Result<Self, IdpError> {
        let inner = Inner {
            users,
            clients,
            settings: Settings::default(),
            faults: Faults::default(),
            keys: KeyRing::new(first_rsa)?,
            sessions: HashMap::new(),
            codes: HashMap::new(),
            last_code: None,
            access_tokens: HashMap::new(),
            refresh_tokens: HashMap::new(),
            used_refresh_tokens: HashMap::new(),
            assertion_ids: HashSet::new(),
            recorded: Recorded::default(),
        };
        Ok(Shared {
            issuer,
            inner: Mutex::new(inner),
            calls: Default::default(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults that `pick` finds; those for one use are gone after.
    pub(super) fn take<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Vec<T> {
        self.lock().faults.take(pick)
    }

    pub(super) fn endpoint_faults(&self, endpoint: Endpoint) -> Vec<EndpointFault> {
        self.take(|fault| {
            let Fault::Endpoint(at, what) = fault else {
                return None;
            };
            (*at == endpoint).then(|| what.clone())
        })
    }

    pub(super) fn count(&self, endpoint: Endpoint) {
        self.calls[slot(endpoint)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refresh(&self) {
        self.calls[REFRESH].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let at = |slot: usize| self.calls[slot].load(Ordering::Relaxed);
        Counts {
            discovery_calls: at(slot(Endpoint::Discovery)),
            jwks_calls: at(slot(Endpoint::Jwks)),
            authorize_calls: at(slot(Endpoint::Authorize)),
            token_calls: at(slot(Endpoint::Token)),
            refresh_calls: at(REFRESH),
            userinfo_calls: at(slot(Endpoint::Userinfo)),
            end_session_calls: at(slot(Endpoint::EndSession)),
            graph_calls: at(slot(Endpoint::Graph)),
        }
    }
}

const REFRESH: usize = 7;

fn slot(endpoint: Endpoint) -> usize {
    match endpoint {
        Endpoint::Discovery => 0,
        Endpoint::Jwks => 1,
        Endpoint::Authorize => 2,
        Endpoint::Token => 3,
        Endpoint::Userinfo => 4,
        Endpoint::EndSession => 5,
        Endpoint::Graph => 6,
    }
}

/// 192 random bits, base64url.
pub(super) fn random() -> Result<String, IdpError> {
    let mut bytes = [0_u8; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IdpError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The claims about a person that these scopes ask for (OIDC Core section 5.4), and the groups.
pub(super) fn claims_of(user: &TestUser, scope: &str) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    let asked = |name: &str| scope.split(' ').any(|word| word == name);
    if asked("profile") {
        put("name", json!(user.name));
        put("given_name", json!(user.given_name));
        put("family_name", json!(user.family_name));
        put("preferred_username", json!(user.username));
    }
    if asked("email") && !user.email.is_empty() {
        put("email", json!(user.email));
        if let Some(verified) = user.email_verified {
            put("email_verified", json!(verified));
        }
    }
    put("groups", json!(user.groups));
    claims.extend(user.extra.clone());
    claims
}

/// Parameters as pairs, for the record.
pub(super) fn pairs(params: &Params) -> Vec<(String, String)> {
    params.pairs().to_vec()
}
