//! OpenID Connect against the test IdP: each fault of an IdP leads to the refusal that it should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod attributes;
mod clients;
mod fetching;
mod id_tokens;
mod renewals;

use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, StatusCode};
use jiff::Timestamp;
use url::Url;
use usher::config::{
    AttributePaths, ClientAuth, Idp, IdpProtocol, OidcConfig, ResponseMode, Userinfo,
};
use usher::demo::idp::{CLIENT_ID, CLIENT_SECRET, TestIdp, TestUser};
use usher::identity::IdpId;
use usher::idp::oidc::{Asked, AuthorizationResponse, Facts, FlowSecrets, OidcError, OidcIdp};
use usher::metrics::Metrics;
use usher::outbound::Outbound;
use usher::secret::Secret;

const CALLBACK: &str = "http://127.0.0.1:9/_usher/oidc/acme/callback";

/// usher's side of one IdP, and the IdP.
struct Rp {
    idp: TestIdp,
    oidc: OidcIdp,
    outbound: Outbound,
}

/// Settings as most people have them.
fn settings(issuer: &str) -> OidcConfig {
    OidcConfig {
        issuer: issuer.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        client_auth: ClientAuth::Basic(Secret::new(CLIENT_SECRET)),
        response_mode: ResponseMode::Query,
        scopes: ["openid", "email", "profile", "groups"]
            .map(str::to_owned)
            .to_vec(),
        userinfo: Userinfo::WhenNeeded,
        refresh_every: None,
        allow_unverified_email: false,
        attributes: paths(),
    }
}

fn paths() -> AttributePaths {
    AttributePaths {
        email: "email".to_owned(),
        name: "name".to_owned(),
        given_name: "given_name".to_owned(),
        family_name: "family_name".to_owned(),
        groups: "groups".to_owned(),
        username: "preferred_username".to_owned(),
    }
}

async fn idp() -> TestIdp {
    let users = vec![
        TestUser::new("alice", "Alice Example", &["engineering", "wiki"]),
        TestUser::new("bob", "Bob Builder", &["admins"]),
    ];
    let idp = TestIdp::start(([127, 0, 0, 1], 0).into(), users)
        .await
        .unwrap();
    idp.sign_in_as(Some("alice"));
    idp
}

async fn rp() -> Rp {
    rp_with(|_, _| {}).await
}

async fn rp_with(change: impl FnOnce(&mut OidcConfig, &mut AttributePaths)) -> Rp {
    let idp = idp().await;
    let oidc = client_of(idp.issuer(), change);
    Rp {
        idp,
        oidc,
        outbound: Outbound::new(&[]).unwrap(),
    }
}

fn client_of(issuer: &str, change: impl FnOnce(&mut OidcConfig, &mut AttributePaths)) -> OidcIdp {
    let (mut oidc, mut attributes) = (settings(issuer), paths());
    change(&mut oidc, &mut attributes);
    oidc.attributes = attributes;
    let oidc = Arc::new(oidc);
    let config = Idp {
        id: IdpId::new("acme"),
        label: "Acme".to_owned(),
        enabled: true,
        email_domains: Vec::new(),
        same_users_as: None,
        protocol: IdpProtocol::Oidc(Arc::clone(&oidc)),
        scim: None,
        fingerprint: String::new(),
    };
    let outbound = Outbound::new(&[]).unwrap();
    let metrics = Arc::new(Metrics::default());
    OidcIdp::new(Arc::new(config), oidc, outbound, metrics)
}

fn callback() -> Url {
    Url::parse(CALLBACK).unwrap()
}

impl Rp {
    /// Leaves for the IdP and comes back.
    async fn begin(&self) -> Result<(FlowSecrets, AuthorizationResponse), OidcError> {
        let secrets = FlowSecrets::generate()?;
        let url = self
            .oidc
            .authorization_url(&callback(), &secrets, Asked::default())
            .await?;
        Ok((secrets, self.visit(&url).await))
    }

    /// What a browser that goes there brings back to the redirect URI.
    async fn visit(&self, url: &Url) -> AuthorizationResponse {
        let request = Request::get(url.as_str()).body(Bytes::new()).unwrap();
        let within = std::time::Duration::from_secs(5);
        let answer = self.outbound.send(request, 1 << 20, within).await.unwrap();
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let back = Url::parse(answer.headers[LOCATION].to_str().unwrap()).unwrap();
        let param = |name: &str| {
            back.query_pairs()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.into_owned())
        };
        AuthorizationResponse {
            code: param("code"),
            state: param("state"),
            iss: param("iss"),
            error: param("error"),
            error_description: param("error_description"),
        }
    }

    async fn redeem(
        &self,
        secrets: &FlowSecrets,
        response: &AuthorizationResponse,
    ) -> Result<Facts, OidcError> {
        let verified = self
            .oidc
            .redeem(response, secrets, &callback(), Timestamp::now())
            .await?;
        Ok(verified.into_facts())
    }

    async fn sign_in(&self) -> Result<Facts, OidcError> {
        let (secrets, response) = self.begin().await?;
        self.redeem(&secrets, &response).await
    }
}

/// The kind of an error, and its text.
fn kind(result: Result<Facts, OidcError>) -> (&'static str, String) {
    match result {
        Ok(facts) => ("ok", facts.subject.value),
        Err(error) => (kind_of(&error), error.to_string()),
    }
}

fn kind_of(error: &OidcError) -> &'static str {
    match error {
        OidcError::Unavailable(_) => "unavailable",
        OidcError::Refused(_) => "refused",
        OidcError::Invalid(_) => "invalid",
        OidcError::Internal(_) => "internal",
    }
}
