//! The IdP and the app to try usher with; the tests use the same IdP.

pub mod app;
pub mod check;
pub mod idp;
pub mod saml;
mod serve;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::net::TcpListener;

use app::{AppSettings, DemoApp};
use idp::{CLIENT_ID, CLIENT_SECRET, Client, RedirectUris, TestIdp, TestUser};

/// The port of usher that the documentation names.
pub const USHER_PORT: u16 = 4180;

/// The group of the demo's IdP that maps to each role of the demo app.
pub const GROUP_ROLES: [(&str, &str); 2] = [("engineering", "editor"), ("admins", "admin")];

/// The two people of the demo: alice, whose group makes her editor, and bob, whose group makes him admin.
pub fn demo_users() -> Vec<TestUser> {
    vec![
        TestUser::new("alice", "Alice Moreau", &["engineering"]),
        TestUser::new("bob", "Bob Okafor", &["admins"]),
    ]
}

/// The role that the demo's config gives to somebody in these groups.
pub fn role_of(user: &TestUser) -> &'static str {
    let mapped = GROUP_ROLES
        .iter()
        .rev()
        .find(|(group, _)| user.groups.iter().any(|known| known == group));
    mapped.map_or("viewer", |(_, role)| role)
}

/// What the config of the demo is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoConfig {
    /// Where usher listens.
    pub listen: SocketAddr,
    /// usher's public URL.
    pub public_url: String,
    /// The issuer of the IdP.
    pub issuer: String,
    /// Where the app listens.
    pub app_url: String,
    /// Where the app takes provisioning events.
    pub callback_url: String,
    /// The secret of the callback, `whsec_…`.
    pub webhook_secret: String,
}

/// The config of the demo as YAML.
pub fn demo_config(demo: &DemoConfig) -> String {
    let DemoConfig {
        listen,
        public_url,
        issuer,
        app_url,
        callback_url,
        webhook_secret,
    } = demo;
    let [(engineering, editor), (admins, admin)] = GROUP_ROLES;
    // A JSON string is a YAML string.
    let [
        public_url,
        issuer,
        app_url,
        callback_url,
        webhook_secret,
        client_id,
        client_secret,
    ] = [
        public_url.as_str(),
        issuer,
        app_url,
        callback_url,
        webhook_secret,
        CLIENT_ID,
        CLIENT_SECRET,
    ]
    .map(|text| json!(text));
    format!(
        "\
listen: {listen}
public_url: {public_url}
store: memory
identity_providers:
  - id: demo
    label: Demo Identity
    oidc:
      issuer: {issuer}
      client_id: {client_id}
      client_secret: {client_secret}
      scopes: [openid, email, profile]
apps:
  - id: demo
    upstream: {app_url}
    access:
      - {{ paths: [/public/**], methods: [GET], allow: anyone }}
      - {{ paths: [/admin/**], allow: {{ roles: [{admin}] }} }}
      - {{ allow: signed_in }}
    provisioning:
      mode: jit
      roles: [viewer, {editor}, {admin}]
      default_role: viewer
      group_roles: {{ demo: {{ {engineering}: {editor}, {admins}: {admin} }} }}
      callback: {{ url: {callback_url}, secret: {webhook_secret} }}
"
    )
}

/// The running pieces around usher. They end when this value is dropped.
pub struct Demo {
    /// The IdP.
    pub idp: TestIdp,
    /// The app.
    pub app: DemoApp,
    /// Where usher is to listen, on loopback.
    pub listen: SocketAddr,
    /// usher's public URL, `http://localhost:<port>`.
    pub public_url: String,
    /// usher's config.
    pub config_yaml: String,
}

impl Demo {
    /// Starts the IdP and the app on free loopback ports, for an usher on `usher_port` (0: a port that is free now).
    /// The process-wide rustls provider has to be installed before.
    ///
    /// # Errors
    /// No port is free, or there is no randomness.
    pub async fn start(usher_port: u16) -> io::Result<Demo> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(usher_port).await?));
        // The IdP is on 127.0.0.1 and usher on localhost: other sites to a browser, as in real life.
        let public_url = format!("http://localhost:{}", listen.port());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let idp = TestIdp::start(any, demo_users()).await?;
        let callback = format!("{public_url}/_usher/oidc/demo/callback");
        idp.register(Client {
            redirect_uris: RedirectUris::Exact(vec![callback]),
            ..Client::confidential(CLIENT_ID, CLIENT_SECRET)
        });
        let webhook_secret = webhook_secret()?;
        let settings = AppSettings {
            usher_url: public_url.clone(),
            app_id: "demo".to_owned(),
            webhook_secret: webhook_secret.clone(),
        };
        let app = DemoApp::start(any, &settings).await?;
        let config_yaml = demo_config(&DemoConfig {
            listen,
            public_url: public_url.clone(),
            issuer: idp.issuer().to_owned(),
            app_url: format!("http://{}", app.address()),
            callback_url: app.callback_url(),
            webhook_secret,
        });
        Ok(Demo {
            idp,
            app,
            listen,
            public_url,
            config_yaml,
        })
    }
}

/// A client for plain HTTP on loopback that follows no redirect. reqwest asks for a TLS provider all the same, and
/// panics where `main` has installed none.
fn loopback_client(timeout: Duration) -> Result<reqwest::Client, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err("no rustls provider is installed".to_owned());
    }
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .no_proxy()
        .build()
        .map_err(|why| why.to_string())
}

async fn free_port(wanted: u16) -> io::Result<u16> {
    if wanted != 0 {
        return Ok(wanted);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?.port())
}

fn webhook_secret() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn the_config_is_yaml_that_names_the_pieces() {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let demo = Demo::start(0).await.unwrap();
        let config: Value = serde_saphyr::from_str(&demo.config_yaml).unwrap();
        assert_eq!(config["public_url"], demo.public_url);
        assert_eq!(
            config["identity_providers"][0]["oidc"]["issuer"],
            demo.idp.issuer()
        );
        let app = &config["apps"][0];
        assert_eq!(app["upstream"], format!("http://{}", demo.app.address()));
        assert_eq!(
            app["provisioning"]["callback"]["url"],
            demo.app.callback_url()
        );
        assert_eq!(
            app["provisioning"]["group_roles"]["demo"]["engineering"],
            "editor"
        );
    }

    #[test]
    fn alice_is_editor_and_bob_admin() {
        let roles: Vec<&str> = demo_users().iter().map(role_of).collect();
        assert_eq!(roles, ["editor", "admin"]);
    }
}
