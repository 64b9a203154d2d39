//! SAML from the outside: a browser, an IdP's messages, and usher between them and the app.

pub(crate) mod corpus;
mod logout;
pub(crate) mod logout_corpus;
mod refusals;
mod sign_in;
pub(crate) mod through;

use jiff::Timestamp;
use url::Url;
use usher::certificate::Certificate;
use usher::demo::saml::{Response, SentRequest, TestSamlIdp, form, read_request};

use crate::support::browser::Browser;
use crate::support::company::{Changes, Company, page};
use crate::support::wire::Answer;

/// The OIDC company, with a SAML IdP called Globex beside its own.
pub(crate) struct Globex {
    pub(crate) company: Company,
    pub(crate) idp: TestSamlIdp,
}

/// What a story changes in the config of Globex.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Lines under `saml:` besides its metadata.
    pub(crate) saml: Vec<&'static str>,
    /// Lines of the IdP besides `saml`.
    pub(crate) idp: Vec<&'static str>,
    /// Lines of the OIDC IdP besides `oidc`.
    pub(crate) acme: Vec<&'static str>,
    /// Whole entries of `identity_providers`, already indented.
    pub(crate) more_idps: String,
}

/// The config entry of a SAML IdP.
pub(crate) fn entry(id: &str, label: &str, idp: &TestSamlIdp, settings: &Settings) -> String {
    let lines = |indent: usize, lines: &[&str]| -> String {
        let lines = lines.iter().map(|line| format!("{:indent$}{line}\n", ""));
        lines.collect()
    };
    format!(
        "  - id: {id}\n    label: {label}\n{}    saml:\n      metadata_url: {}\n{}",
        lines(4, &settings.idp),
        idp.entity_id(),
        lines(6, &settings.saml)
    )
}

/// An IdP that serves its metadata.
pub(crate) async fn idp() -> TestSamlIdp {
    TestSamlIdp::start(([127, 0, 0, 1], 0).into())
        .await
        .unwrap()
}

impl Globex {
    pub(crate) async fn open() -> Self {
        Self::open_with(Settings::default()).await
    }

    pub(crate) async fn open_with(settings: Settings) -> Self {
        Self::open_at(idp().await, settings).await
    }

    pub(crate) async fn open_at(idp: TestSamlIdp, settings: Settings) -> Self {
        let mut more_idps = entry("globex", "Globex", &idp, &settings);
        more_idps.push_str(&settings.more_idps);
        let changes = Changes {
            idp: settings
                .acme
                .iter()
                .map(|line| (*line).to_owned())
                .collect(),
            more_idps,
            group_roles: vec!["globex: { Editors: editor, Admins: admin }".to_owned()],
            provisioning: vec!["default_role: viewer".to_owned()],
            ..Changes::default()
        };
        let company = Company::open_with(changes).await;
        Self { company, idp }
    }

    pub(crate) fn browser(&self) -> Browser {
        self.company.browser()
    }

    /// Begins a sign-in that returns to `path`, and reads the request that the browser is sent away with.
    pub(crate) async fn begin(&self, browser: &mut Browser, path: &str) -> SentRequest {
        let answer = browser.open(&start("globex", path)).await.unwrap();
        sent(&answer)
    }

    /// A good answer of Globex to a request, about Ann, an editor.
    pub(crate) fn answer(&self, request: &SentRequest) -> Response {
        let mut response = Response::to(request, &self.idp.entity_id(), Timestamp::now());
        describe(&mut response);
        response
    }

    /// A good answer of Globex that nobody asked for.
    pub(crate) fn unsolicited(&self) -> Response {
        let (idp, now) = (self.idp.entity_id(), Timestamp::now());
        let mut response =
            Response::unsolicited(&idp, &entity_id("globex"), acs("globex").as_str(), now);
        describe(&mut response);
        response
    }

    /// Signs in with this browser as whom `change` makes of the answer, as far as the answer of the ACS.
    pub(crate) async fn sign_in(
        &self,
        browser: &mut Browser,
        path: &str,
        change: impl FnOnce(&mut Response),
    ) -> Answer {
        let request = self.begin(browser, path).await;
        let mut response = self.answer(&request);
        change(&mut response);
        post(browser, &response, request.relay_state.as_deref()).await
    }

    /// A certificate of usher's metadata: the first of that use.
    pub(crate) async fn certificate(&self, usage: &str) -> Certificate {
        let xml = self.metadata().await.text();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let descriptor = document
            .descendants()
            .find(|node| node.attribute("use") == Some(usage))
            .unwrap();
        let certificate = descriptor
            .descendants()
            .find(|node| node.tag_name().name() == "X509Certificate")
            .unwrap();
        Certificate::from_text(certificate.text().unwrap()).unwrap()
    }

    pub(crate) async fn metadata(&self) -> Answer {
        let url = page("/_usher/saml/globex/metadata");
        self.browser().open(&url).await.unwrap()
    }
}

fn describe(response: &mut Response) {
    let assertion = &mut response.assertion;
    assertion.attribute("mail", &["ann@globex.example"]);
    assertion.attribute("displayName", &["Ann Globex"]);
    assertion.attribute("groups", &["Editors", "Staff"]);
}

/// usher's entity ID for an IdP.
pub(crate) fn entity_id(idp: &str) -> String {
    page(&format!("/_usher/saml/{idp}/metadata")).into()
}

/// Where an IdP's answers are posted.
pub(crate) fn acs(idp: &str) -> Url {
    page(&format!("/_usher/saml/{idp}/acs"))
}

/// The URL that starts at an IdP.
pub(crate) fn start(idp: &str, path: &str) -> Url {
    let mut url = page(&format!("/_usher/sign-in/{idp}"));
    url.query_pairs_mut().append_pair("return_to", path);
    url
}

/// The request in an answer, whichever binding carries it.
pub(crate) fn sent(answer: &Answer) -> SentRequest {
    let text = match answer.header("location") {
        Some(location) => location,
        None => answer.text(),
    };
    read_request(&text).unwrap_or_else(|error| panic!("{error}: {} {text}", answer.status))
}

/// Posts a response to the ACS that it is made for, as a page of the IdP does.
pub(crate) async fn post(
    browser: &mut Browser,
    response: &Response,
    relay_state: Option<&str>,
) -> Answer {
    let url = Url::parse(response.destination.as_deref().unwrap()).unwrap();
    let xml = response.to_xml().unwrap();
    let form = form("SAMLResponse", xml.as_bytes(), relay_state);
    post_form(browser, &url, &form).await
}

/// Posts a form from another site: only cookies that are `SameSite=None` come along.
pub(crate) async fn post_form(browser: &mut Browser, url: &Url, form: &str) -> Answer {
    let is_none = |line: &str| line.to_ascii_lowercase().contains("samesite=none");
    let all = std::mem::take(&mut browser.cookies);
    let (sent, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| is_none(&one.line));
    browser.cookies = sent;
    let fields = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "https://idp.test"),
    ];
    let answer = browser
        .send(url, "POST", &fields, Some(form))
        .await
        .unwrap();
    let set = answer.all("set-cookie");
    for cookie in kept {
        let begins = format!("{}=", cookie.name);
        if !set.iter().any(|line| line.starts_with(&begins)) {
            browser.cookies.push(cookie);
        }
    }
    answer
}

/// Whether an answer makes a session.
pub(crate) fn makes_session(answer: &Answer) -> bool {
    let set = answer.all("set-cookie");
    set.iter()
        .any(|line| line.starts_with("__Host-usher=") && !line.starts_with("__Host-usher=;"))
}
