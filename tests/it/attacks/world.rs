//! usher with everything around it: two IdPs, the app, its callback, and the config that the
//! catalogue describes.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use url::Url;
use usher::demo::idp::{
    CLIENT_ID, CLIENT_SECRET, Client, ClientAuth, RedirectUris, TestIdp, TestUser,
};
use usher::demo::saml::TestSamlIdp;

use super::{
    admin,
    saml::{self, SamlSettings},
};

use crate::support::{
    browser::Browser,
    callback::{Callback, SECRET},
    process::{Refused, Usher},
    recorder::Recorder,
};

/// The origin that most rows speak to.
pub(super) const ORIGIN: &str = "https://app.test";
/// The audit log, in usher's directory.
const AUDIT_FILE: &str = "audit.jsonl";
/// Names of the people that every IdP knows.
const PEOPLE: [&str; 8] = [
    "alice", "bob", "mallory", "root", "newuser", "bigalice", "nogroups", "slow",
];

/// What a row changes in usher's config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Whether op2 is configured besides op1.
    pub(super) op2: bool,
    /// More lines under `oidc:` of op1.
    pub(super) oidc: BTreeMap<String, String>,
    pub(super) sessions: String,
    /// Instead of the callback double's own URL.
    pub(super) callback_url: Option<String>,
    /// The SAML IdP `idp1`, where a row speaks of SAML.
    pub(super) saml: Option<SamlSettings>,
    /// Whether op1 may write by SCIM.
    pub(super) scim: bool,
    /// More top-level lines.
    pub(super) top: String,
    /// Serve TLS with the files `tls.crt` and `tls.key` of usher's directory.
    pub(super) tls: bool,
    /// Whether the IdPs send `iss` with the code.
    pub(super) response_iss: bool,
    pub(super) environment: Vec<(String, String)>,
    /// Instead of the app's own address.
    pub(super) upstream: Option<std::net::SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            op2: false,
            oidc: BTreeMap::new(),
            sessions: "{ idle_for: 8h, lifetime: 24h }".to_owned(),
            callback_url: None,
            saml: None,
            scim: false,
            top: String::new(),
            tls: false,
            response_iss: true,
            environment: Vec::new(),
            upstream: None,
        }
    }
}

/// What a session's own `/_usher/me` says.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) roles: Vec<String>,
}

/// One usher and its surroundings.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) op1: TestIdp,
    pub(super) op2: TestIdp,
    /// The IdP `idp1`.
    pub(super) saml: TestSamlIdp,
    pub(super) app: Recorder,
    pub(super) callback: Callback,
    directory: Arc<tempfile::TempDir>,
    usher: Option<Usher>,
    /// Signed-in browsers by the actor's name; kept over the variants of a row.
    pub(super) actors: BTreeMap<String, Browser>,
    /// Ids of the SCIM users that were made, by name.
    pub(super) scim: BTreeMap<String, String>,
    /// True once something was done that the next variant must not see.
    pub(super) dirty: bool,
}

impl World {
    /// Everything but usher itself, which starts when it is first needed.
    pub(super) async fn new(settings: Settings) -> Self {
        Self {
            settings,
            op1: idp().await,
            op2: idp().await,
            saml: saml::idp().await,
            app: Recorder::start().await,
            callback: Callback::start().await,
            directory: Arc::new(tempfile::tempdir().unwrap()),
            usher: None,
            actors: BTreeMap::new(),
            scim: BTreeMap::new(),
            dirty: false,
        }
    }

    /// usher, started if it does not run yet.
    pub(super) async fn usher(&mut self) -> Result<&mut Usher, String> {
        if self.usher.is_none() {
            let started = self.start().await;
            self.usher = Some(started.map_err(|e| format!("usher does not start: {e:?}"))?);
        }
        self.usher
            .as_mut()
            .ok_or_else(|| "usher does not run".to_owned())
    }

    /// usher, if it runs.
    pub(super) fn running(&mut self) -> Option<&mut Usher> {
        self.usher.as_mut()
    }

    /// Starts usher; the error is how it refused.
    pub(super) async fn start(&mut self) -> Result<Usher, Refused> {
        if self.settings.tls {
            write_certificate(self.directory.path());
        }
        let config = self.config();
        Usher::start_in(
            Arc::clone(&self.directory),
            &config,
            &self.settings.environment,
        )
        .await
    }

    /// Starts usher with a config text of one's own.
    pub(super) async fn start_with(&self, config: &str) -> Result<Usher, Refused> {
        Usher::start_in(
            Arc::clone(&self.directory),
            config,
            &self.settings.environment,
        )
        .await
    }

    /// Kills usher with SIGKILL and starts it again with the settings of now.
    pub(super) async fn restart(&mut self) -> Result<(), String> {
        self.dirty = true;
        let (config, environment) = (self.config(), self.settings.environment.clone());
        let Some(usher) = self.usher.as_mut() else {
            return Ok(());
        };
        usher
            .restart_with(&config, &environment)
            .await
            .map_err(|e| format!("usher does not start again: {e:?}"))?;
        let address = usher.public();
        self.actors
            .values_mut()
            .for_each(|browser| browser.move_to(address));
        Ok(())
    }

    /// Every line of the audit log.
    pub(super) fn audit(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.directory.path().join(AUDIT_FILE));
        let text = text.unwrap_or_default();
        let lines = text.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// A browser without cookies.
    pub(super) async fn browser(&mut self) -> Result<Browser, String> {
        let mut browser = Browser::new(self.usher().await?.public());
        browser.tls = self.settings.tls;
        Ok(browser)
    }

    /// The IdP of this id.
    pub(super) fn idp(&self, id: &str) -> Result<&TestIdp, String> {
        match id {
            "op1" => Ok(&self.op1),
            "op2" => Ok(&self.op2),
            other => Err(format!("unknown IdP {other}")),
        }
    }

    /// Makes sure that the IdP knows this person.
    pub(super) fn introduce(&self, idp: &str, name: &str) -> Result<(), String> {
        let idp = self.idp(idp)?;
        if idp.user(name).is_none() {
            idp.put_user(person(name));
        }
        Ok(())
    }

    /// Everything as it was at the start, as far as a running usher can forget.
    pub(super) fn reset(&mut self) {
        let response_iss = self.settings.response_iss;
        for idp in [&self.op1, &self.op2] {
            idp.settings(|settings| settings.response_iss = response_iss);
            idp.clear_faults();
            idp.end_sessions();
            PEOPLE.iter().for_each(|name| idp.put_user(person(name)));
        }
        saml::restore(&self.saml);
        self.app.answer_with(None);
        self.app.forget();
        self.callback.behave(None);
    }

    /// usher's config as the catalogue describes it.
    pub(super) fn config(&self) -> String {
        let listen = if self.settings.tls {
            "{ address: \"127.0.0.1:0\", tls: { certificate: \"{dir}/tls.crt\", key: \"{dir}/tls.key\" } }"
        } else {
            "\"127.0.0.1:0\""
        };
        let mut text = format!(
            "listen: {listen}\n\
             public_url: {ORIGIN}\n\
             metrics: {{ listen: \"127.0.0.1:0\" }}\n\
             store: \"sqlite:{{dir}}/usher.db\"\n\
             sessions: {}\n\
             trusted_proxies: [127.0.0.2/32]\n\
             return_to_origins: [\"https://*.apps.test\", \"https://port.test:8080\"]\n{}",
            self.settings.sessions, self.settings.top,
        );
        text.push_str(&admin::block());
        if !text.contains("\naudit:") {
            writeln!(text, "audit: {{ file: \"{{dir}}/{AUDIT_FILE}\" }}").unwrap();
        }
        if self.settings.saml.is_some() && !text.contains("\nkeys:") {
            text.push_str("keys:\n");
            text.push_str(&saml::keys());
        }
        text.push_str("identity_providers:\n");
        self.add_idp(&mut text, "op1", &self.op1, &self.settings.oidc);
        if self.settings.op2 {
            self.add_idp(&mut text, "op2", &self.op2, &BTreeMap::new());
        }
        if let Some(settings) = &self.settings.saml {
            text.push_str(&saml::entries(&self.saml, settings));
        }
        self.add_apps(&mut text);
        text
    }

    fn add_idp(&self, text: &mut String, id: &str, idp: &TestIdp, more: &BTreeMap<String, String>) {
        let mut oidc = BTreeMap::from([
            ("issuer".to_owned(), idp.issuer().to_owned()),
            ("client_id".to_owned(), CLIENT_ID.to_owned()),
            ("client_secret".to_owned(), CLIENT_SECRET.to_owned()),
        ]);
        oidc.extend(more.clone());
        writeln!(text, "  - id: {id}\n    label: {id}\n    oidc:").unwrap();
        for (key, value) in oidc {
            writeln!(text, "      {key}: {value}").unwrap();
        }
        if self.settings.scim && id == "op1" {
            text.push_str(&super::scim::entry());
        }
    }

    fn add_apps(&self, text: &mut String) {
        let upstream = self.settings.upstream.unwrap_or(self.app.address());
        let own = format!("http://{}/internal/users", self.callback.address());
        let callback = self.settings.callback_url.as_ref().unwrap_or(&own);
        write!(
            text,
            "apps:\n  - id: app\n    hosts: [app.test]\n    public_url: https://app.test\n    \
             upstream: http://{upstream}\n    access:\n\
             {RULES}    provisioning:\n      mode: jit\n      roles: [user, admin]\n      \
             default_role: user\n      group_roles: {{ op1: {{ admins: admin }} }}\n      \
             callback: {{ url: \"{callback}\", secret: {SECRET} }}\n\
             \x20 - id: other\n    hosts: [other.test]\n    public_url: https://other.test\n    \
             upstream: http://{upstream}\n    access:\n{RULES}    \
             provisioning: {{ mode: \"off\", roles: [user, admin], default_role: user, \
             group_roles: {{ op1: {{ admins: admin }} }} }}\n\
             \x20 - id: public\n    hosts: [public.test]\n    public_url: https://public.test\n    \
             upstream: http://{upstream}\n    access: [{{ allow: anyone }}]\n"
        )
        .unwrap();
    }
}

/// The catalogue's public patterns and roles as access rules.
const RULES: &str = "      - { paths: [/admin/**], allow: { roles: [admin] } }
      - { paths: [/public/getonly], methods: [GET], allow: anyone }
      - { paths: [/public/getonly], allow: signed_in }
      - { paths: [/public/**], methods: [GET, HEAD, POST], allow: anyone }
      - { paths: [/healthz], methods: [GET], allow: anyone }
      - { paths: [\"/api/*/webhook\"], methods: [GET, POST], allow: anyone }
      - { allow: signed_in }
";

/// The id of the app that serves a host.
pub(super) fn app_id(host: &str) -> &str {
    host.strip_suffix(".test").unwrap_or(host)
}

/// A URL of usher's main site.
pub(super) fn site(path: &str) -> Url {
    Url::parse(ORIGIN).unwrap().join(path).unwrap()
}

async fn idp() -> TestIdp {
    let people = PEOPLE.iter().map(|name| person(name)).collect();
    let idp = TestIdp::start(([127, 0, 0, 1], 0).into(), people)
        .await
        .unwrap();
    idp.register(client(ClientAuth::Basic));
    idp
}

/// usher as the IdP knows it.
pub(super) fn client(auth: ClientAuth) -> Client {
    let hosts = ["app", "other", "public", "admin"];
    let callbacks = hosts.iter().flat_map(|host| {
        ["op1", "op2"].map(|idp| format!("https://{host}.test/_usher/oidc/{idp}/callback"))
    });
    let mut client = Client::confidential(CLIENT_ID, CLIENT_SECRET);
    client.redirect_uris = RedirectUris::Exact(callbacks.collect());
    client.post_logout_redirect_uris = RedirectUris::Exact(registered_after_logout());
    client.auth = auth;
    client
}

/// Where the IdP may send the browser after a sign-out.
pub(super) fn registered_after_logout() -> Vec<String> {
    let hosts = ["app", "other", "public"];
    let paths = [
        "/_usher/sign-out",
        "/_usher/signed-out",
        "/_usher/sign-in",
        "/",
        "",
    ];
    let of = |host: &&str| {
        let host = (*host).to_owned();
        paths.map(|path| format!("https://{host}.test{path}"))
    };
    hosts.iter().flat_map(of).collect()
}

fn person(name: &str) -> TestUser {
    let group = if name == "root" { "admins" } else { "users" };
    let mut user = TestUser::new(name, name, &[group]);
    user.sub = name.to_owned();
    user.email = format!("{name}@corp.test");
    match name {
        "nogroups" => {
            user.groups.clear();
            user.email.clear();
            user.email_verified = None;
        }
        "bigalice" => {
            let pad: Vec<_> = (0..400)
                .map(|n| format!("group-with-a-long-name-{n:05}"))
                .collect();
            user.groups.extend(pad);
        }
        _ => {}
    }
    user
}

fn write_certificate(directory: &std::path::Path) {
    let names = ["app.test", "other.test", "public.test"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
}
