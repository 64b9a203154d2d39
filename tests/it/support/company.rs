//! A company to try usher with: its IdP, an app with its callback, and usher between them.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use usher::demo::idp::{CLIENT_ID, CLIENT_SECRET, Client, RedirectUris, TestIdp, TestUser};

use super::browser::{Browser, Followed};
use super::callback::{Callback, SECRET};
use super::process::Usher;
use super::recorder::{Recorder, Seen};
use super::wire::Answer;

/// The origin that people see.
pub(crate) const ORIGIN: &str = "https://wiki.test";

/// The origin of the admin pages, where a story has them.
pub(crate) const ADMIN_ORIGIN: &str = "https://usher.test";
/// The token of the admin API in [`admin`].
pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-tests-0123456789";

/// Everything that one story needs.
pub(crate) struct Company {
    pub(crate) idp: TestIdp,
    pub(crate) app: Recorder,
    pub(crate) callback: Callback,
    pub(crate) usher: Usher,
    config: String,
}

/// What a story changes in the config.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Lines under `oidc:`, each `key: value`.
    pub(crate) oidc: Vec<String>,
    /// Lines of the IdP besides `oidc`.
    pub(crate) idp: Vec<String>,
    /// Top-level lines.
    pub(crate) top: Vec<String>,
    /// Lines under `provisioning:`.
    pub(crate) provisioning: Vec<String>,
    /// Lines under `group_roles:` for other IdPs, each `idp: { group: role }`.
    pub(crate) group_roles: Vec<String>,
    /// Whole entries of `identity_providers`, already indented.
    pub(crate) more_idps: String,
    /// Whole entries of `apps`, already indented; `{callback}` is the callback's URL, `{secret}` its secret.
    pub(crate) more_apps: String,
    /// Instead of the callback's own URL.
    pub(crate) callback_url: Option<String>,
    /// Environment variables of usher.
    pub(crate) environment: Vec<(String, String)>,
}

impl Company {
    /// A company as the README describes it.
    pub(crate) async fn open() -> Self {
        Self::open_with(Changes::default()).await
    }

    /// The same with changes.
    pub(crate) async fn open_with(changes: Changes) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        let idp = TestIdp::start(address, people()).await.unwrap();
        Self::open_at(idp, changes).await
    }

    /// The same with an IdP that runs already.
    pub(crate) async fn open_at(idp: TestIdp, changes: Changes) -> Self {
        register(&idp, "acme");
        let app = Recorder::start().await;
        let callback = Callback::start().await;
        let config = config(&idp, &app, &callback, &changes);
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let usher = Usher::start_in(directory, &config, &changes.environment)
            .await
            .unwrap_or_else(|refused| panic!("usher does not start: {refused:?}"));
        Self {
            idp,
            app,
            callback,
            usher,
            config,
        }
    }

    /// The config that usher runs with.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }

    /// A browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.usher.public())
    }

    /// A browser that signed in as somebody and came back to `path`.
    pub(crate) async fn signed_in(&self, username: &str, path: &str) -> (Browser, Followed) {
        let mut browser = self.browser();
        let end = self.sign_in(&mut browser, username, path).await;
        (browser, end)
    }

    /// Signs in with this browser, wherever its redirects lead.
    pub(crate) async fn sign_in(
        &self,
        browser: &mut Browser,
        username: &str,
        path: &str,
    ) -> Followed {
        self.idp.sign_in_as(Some(username));
        browser.follow(&page(path), |_| false, 12).await.unwrap()
    }

    /// Goes as far as the callback, and gives its URL without loading it.
    pub(crate) async fn up_to_callback(
        &self,
        browser: &mut Browser,
        username: &str,
        path: &str,
    ) -> Url {
        self.idp.sign_in_as(Some(username));
        let is_callback = |url: &Url| url.path().ends_with("/callback");
        let followed = browser.follow(&page(path), is_callback, 12).await.unwrap();
        followed
            .stopped_before
            .unwrap_or_else(|| panic!("no callback: {} {}", followed.url, followed.answer.text()))
    }

    /// What the app saw last.
    pub(crate) fn last_seen(&self) -> Seen {
        self.app.seen().pop().expect("the app saw nothing")
    }
}

/// Makes usher known to an IdP, by the URIs that `usher check` prints.
pub(crate) fn register(idp: &TestIdp, id: &str) {
    idp.register(Client {
        redirect_uris: RedirectUris::Exact(
            [ORIGIN, ADMIN_ORIGIN]
                .map(|origin| format!("{origin}/_usher/oidc/{id}/callback"))
                .to_vec(),
        ),
        post_logout_redirect_uris: RedirectUris::Exact(vec![format!("{ORIGIN}/_usher/sign-out")]),
        ..Client::confidential(CLIENT_ID, CLIENT_SECRET)
    });
}

/// The top-level lines of an admin listener whose pages are for Acme's `admins`.
pub(crate) fn admin() -> Vec<String> {
    vec![
        "admin:".to_owned(),
        "  listen: \"127.0.0.1:0\"".to_owned(),
        format!("  public_url: {ADMIN_ORIGIN}"),
        format!("  token: {ADMIN_TOKEN}"),
        "  allow: { groups: { acme: [admins] } }".to_owned(),
    ]
}

/// A page of the app.
pub(crate) fn page(path: &str) -> Url {
    Url::parse(ORIGIN).unwrap().join(path).unwrap()
}

/// Whether an answer shows the refusal with that stable code, as JSON or in the log of usher.
pub(crate) fn is_page(answer: &Answer, status: u16, words: &str) -> bool {
    answer.status == status && answer.is_html() && answer.text().contains(words)
}

/// Waits until `holds`, or fails after `patience`.
pub(crate) async fn eventually(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = tokio::time::Instant::now() + patience;
    while !holds() {
        assert!(
            tokio::time::Instant::now() < until,
            "not within {patience:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One in two groups, one in one group, one without groups, one with an unverified e-mail, one disabled.
pub(crate) fn people() -> Vec<TestUser> {
    let mut unverified = TestUser::new("una", "Una Verified", &["engineering"]);
    unverified.email_verified = Some(false);
    let mut disabled = TestUser::new("dan", "Dan Disabled", &["engineering"]);
    disabled.enabled = false;
    vec![
        TestUser::new("alice", "Alice Adams", &["engineering"]),
        TestUser::new("bob", "Bob Brown", &["engineering", "admins"]),
        TestUser::new("nora", "Nora Nogroup", &[]),
        unverified,
        disabled,
    ]
}

fn lines(indent: usize, lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("{}{line}\n", " ".repeat(indent)))
        .collect()
}

fn config(idp: &TestIdp, app: &Recorder, callback: &Callback, changes: &Changes) -> String {
    let callback_url = changes
        .callback_url
        .clone()
        .unwrap_or_else(|| format!("http://{}/internal/users", callback.address()));
    let more_apps = changes
        .more_apps
        .replace("{callback}", &callback_url)
        .replace("{secret}", SECRET);
    format!(
        "listen: \"127.0.0.1:0\"
public_url: {ORIGIN}
metrics: {{ listen: \"127.0.0.1:0\" }}
store: \"sqlite:{{dir}}/usher.db\"
{top}identity_providers:
  - id: acme
    label: Acme
{idp_lines}    oidc:
      issuer: {issuer}
      client_id: {CLIENT_ID}
      client_secret: {CLIENT_SECRET}
{oidc}{more}apps:
  - id: wiki
    upstream: http://{app}
    access:
      - {{ paths: [/public/**], allow: anyone }}
      - {{ paths: [/admin/**], allow: {{ roles: [admin] }} }}
      - {{ allow: signed_in }}
    provisioning:
      mode: jit
      roles: [viewer, editor, admin]
      group_roles:
        acme: {{ engineering: editor, admins: admin }}
{group_roles}      callback: {{ url: \"{callback_url}\", secret: {SECRET} }}
{provisioning}{more_apps}",
        top = lines(0, &changes.top),
        idp_lines = lines(4, &changes.idp),
        issuer = idp.issuer(),
        oidc = lines(6, &changes.oidc),
        more = changes.more_idps,
        app = app.address(),
        group_roles = lines(8, &changes.group_roles),
        provisioning = lines(6, &changes.provisioning),
    )
}
