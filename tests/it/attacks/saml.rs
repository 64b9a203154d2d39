//! SAML: the IdP `idp1`, whose answers are the corpus, posted as a browser does; logout messages; metadata that goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use url::Url;
use usher::demo::saml::{
    MetadataFault, NameId, PERSISTENT, TestKey, TestMetadata, TestSamlIdp, deflate, encode_base64,
    percent_encode,
};

use super::{
    flow::{self, Until},
    run::{Done, Run, Stop},
    steps::Step,
    world::{ORIGIN, site},
};
use crate::saml::corpus::{self, Case, Setting};
use crate::saml::logout_corpus::{self, Sent};
use crate::saml::through;
use crate::support::browser::{Browser, redirect};

/// What a row changes in the config of `idp1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SamlSettings {
    /// Whether the metadata must be signed by the IdP.
    pub(super) signed_metadata: bool,
    /// The entity that is asked for.
    pub(super) entity_id: Option<String>,
}

/// The keys of the IdP: usher is told of all, so that also the wrong ones are refused for what they are.
const KEYS: [TestKey; 4] = [
    TestKey::IDP,
    TestKey::IDP_NEXT,
    TestKey::EXPIRED,
    TestKey::P256,
];

/// Other names of cases.
const ALIASES: [(&str, &str); 22] = [
    ("valid", "assertion_signed"),
    ("valid_assertion_signed", "assertion_signed"),
    ("valid_response_signed", "response_signed"),
    ("valid_both_signed", "both_signed"),
    ("valid_encrypted", "encrypted_gcm_256_oaep_sha256"),
    ("unsigned", "no_signature"),
    ("stripped", "signature_stripped"),
    ("sha1", "sha1_both"),
    ("rsa_sha1", "sha1_signature"),
    ("hmac_with_cert", "hmac_sha256_with_the_certificate"),
    ("comment_in_nameid", "comment_in_name_id"),
    ("cdata_in_nameid", "cdata_in_name_id"),
    ("two_signed_info", "two_signed_infos"),
    ("audience_wrong", "audience_other"),
    ("recipient_wrong", "recipient_other"),
    ("destination_wrong", "destination_other"),
    ("destination_missing", "destination_missing_signed"),
    ("in_response_to_wrong", "in_response_to_of_response_other"),
    (
        "in_response_to_missing",
        "in_response_to_of_response_missing",
    ),
    ("issuer_wrong", "issuer_of_assertion_other"),
    ("idp_mix_up", "mix_up_by_key"),
    ("unsolicited_when_disabled", "idp_initiated_when_disabled"),
];

/// Cases that are a story of several messages.
const STORIES: [&str; 6] = [
    "replay",
    "replay_in_another_browser",
    "no_cookie",
    "other_browser",
    "relay_state_of_another_tab",
    "request_id_reuse",
];

/// The case of this name in the corpus.
fn named(name: &str) -> Option<Case> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, name)| name);
    let mut all = corpus::hostile().into_iter().chain(corpus::good());
    all.find(|case| case.name == name)
}

/// The logout message of this name.
fn logout_named(name: &str) -> Option<logout_corpus::Case> {
    let names = match name {
        "sig_over_reordered" => ["redirect_signed_over_another_order"; 3].map(str::to_owned),
        _ => [
            name.to_owned(),
            format!("redirect_{name}"),
            format!("post_{name}"),
        ],
    };
    logout_corpus::hostile()
        .into_iter()
        .find(|case| names.iter().any(|name| name == case.name))
}

/// Starts the IdP that rows call `idp1`.
pub(super) async fn idp() -> TestSamlIdp {
    let idp = TestSamlIdp::start(([127, 0, 0, 1], 0).into())
        .await
        .unwrap();
    restore(&idp);
    idp
}

/// The IdP as it is at the start.
pub(super) fn restore(idp: &TestSamlIdp) {
    let url = idp.entity_id();
    let mut metadata = TestMetadata::new(&url, url.trim_end_matches("/metadata"));
    metadata.keys = KEYS.map(|key| (Some("signing".to_owned()), key)).to_vec();
    idp.set_metadata(metadata);
    idp.set_fault(MetadataFault::Nothing);
}

/// The lines of the config: our keys, and the two IdPs. `portal` lets people in who come from there.
pub(super) fn keys() -> String {
    let pair = |key: TestKey| {
        format!(
            "    - certificate: {}\n      key: {}\n",
            serde_json::json!(key.certificate_pem()),
            serde_json::json!(key.key_pem())
        )
    };
    format!("  saml:\n{}{}", pair(TestKey::SP), pair(TestKey::SP_NEXT))
}

/// The entries of `identity_providers`.
pub(super) fn entries(idp: &TestSamlIdp, settings: &SamlSettings) -> String {
    let url = idp.entity_id();
    let mut more = String::new();
    if settings.signed_metadata {
        let certificate = serde_json::json!(TestKey::IDP.certificate_pem());
        more.push_str(&format!("      metadata_certificates: [{certificate}]\n"));
    }
    if let Some(entity) = &settings.entity_id {
        more.push_str(&format!("      entity_id: {entity}\n"));
    }
    format!(
        "  - id: idp1\n    label: idp1\n    saml:\n      metadata_url: {url}\n{more}\
         \x20 - id: portal\n    label: portal\n    saml:\n      metadata_url: {url}\n      idp_initiated: true\n"
    )
}

/// Counts who asks it for anything.
async fn trap(run: &mut Run<'_>) -> (String, Arc<AtomicU32>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let hits = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&hits);
    let task = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    run.open.push(Box::new(AbortOnDrop(task)));
    (format!("http://{address}"), hits)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn acs(idp: &str) -> Url {
    site(&format!("/_usher/saml/{idp}/acs"))
}

impl Run<'_> {
    /// `saml_case`: a message by its name. `saml_start`: a sign-in that stops at the IdP.
    pub(super) async fn saml_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        let name = step.text(verb).unwrap_or_default().to_owned();
        match verb {
            "saml_start" => return self.saml_start(&name).await,
            "relay_state" => {
                self.kept.insert("relay_state".to_owned(), name);
                return Ok(());
            }
            _ => {}
        }
        let relay_state = step.text("relay_state").map(str::to_owned);
        let relay_state = relay_state.or_else(|| self.kept.get("relay_state").cloned());
        if let Some(outcome) = self.metadata_case(&name).await {
            return outcome;
        }
        if name.starts_with("deflate_bomb") {
            return self.saml_bomb().await;
        }
        if STORIES.contains(&name.as_str()) {
            return self.saml_story(&name).await;
        }
        if name == "idp_initiated_relaystate_url" {
            let case = named("idp_initiated_when_disabled").ok_or("no case")?;
            return self.response(case, Some("https://evil.test/")).await;
        }
        if let Some(case) = named(&name) {
            self.response(case, relay_state.as_deref()).await?;
            // The same words where the IdP may begin by itself.
            return match relay_state {
                Some(relay_state) => self.through_portal(&relay_state).await,
                None => Ok(()),
            };
        }
        match logout_named(&name) {
            Some(case) => self.logout_message(case).await,
            None => Err(Stop::Fail(format!("unknown saml_case {name:?}"))),
        }
    }

    async fn saml_start(&mut self, name: &str) -> Done {
        let mut browser = self.world.browser().await?;
        let begun = through::begin(&mut browser, &flow::start_url("idp1")).await?;
        self.kept.insert("saml.id".to_owned(), begun.request.id);
        let relay_state = begun.request.relay_state.unwrap_or_default();
        self.kept.insert("saml.relay_state".to_owned(), relay_state);
        name.clone_into(&mut self.current);
        self.browsers.insert(name.to_owned(), browser);
        Ok(())
    }

    fn saml_setting(&self, request: &str, trap: &str) -> Setting {
        Setting {
            idp: self.world.saml.entity_id(),
            sp: format!("{ORIGIN}/_usher/saml/idp1/metadata"),
            acs: acs("idp1").to_string(),
            request: request.to_owned(),
            trap: trap.to_owned(),
            now: Timestamp::now(),
        }
    }

    /// Begins a sign-in and answers it with this case.
    async fn response(&mut self, case: Case, relay_state: Option<&str>) -> Done {
        let mut browser = self.world.browser().await?;
        let begun = through::begin(&mut browser, &flow::start_url("idp1")).await?;
        let (address, hits) = trap(self).await;
        let setting = self.saml_setting(&begun.request.id, &address);
        let own = begun.request.relay_state.clone();
        let xml = (case.make)(&setting);
        let relay_state = relay_state.map(str::to_owned).or(own);
        self.deliver(browser, "idp1", &xml, relay_state.as_deref())
            .await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let hits = hits.load(Ordering::Relaxed).to_string();
        self.values.insert("ssrf_sink_hits".to_owned(), hits);
        let own = relay_state.as_deref() == begun.request.relay_state.as_deref();
        self.names_the_check(&case, own).await;
        Ok(())
    }

    /// The log says why it was refused; it is written a moment later.
    async fn names_the_check(&mut self, case: &Case, own_relay_state: bool) {
        let Some(check) = case.check.filter(|_| own_relay_state) else {
            return;
        };
        let status = self.last.as_ref().map_or(0, |answer| answer.status);
        // A form that is larger than any is refused before that.
        if status == 413 {
            return;
        }
        for _ in 0..200 {
            if self.log().contains(check.code()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let problem = format!("the log does not name the check {:?}", check.code());
        self.problems.push(problem);
    }

    /// Posts a response and goes where usher leads.
    async fn deliver(
        &mut self,
        mut browser: Browser,
        idp: &str,
        xml: &[u8],
        relay_state: Option<&str>,
    ) -> Done {
        let to = acs(idp);
        browser.hops.clear();
        let sent = Instant::now();
        let answer = through::post(&mut browser, &to, xml, relay_state).await;
        self.answer_took = Some(sent.elapsed());
        let next = answer.as_ref().and_then(|answer| redirect(&to, answer));
        let flow = match next.filter(flow::is_own) {
            Some(next) => flow::walk(&mut browser, &next, Until::Answered).await,
            None => flow::Flow {
                next: answer.as_ref().and_then(|answer| redirect(&to, answer)),
                answer,
                form: None,
            },
        };
        self.finished("ann", idp, browser, flow, None).await
    }

    /// An answer that nobody asked for, where that is allowed.
    async fn through_portal(&mut self, relay_state: &str) -> Done {
        let browser = self.world.browser().await?;
        let mut setting = self.saml_setting("", "http://127.0.0.1:9");
        setting.sp = format!("{ORIGIN}/_usher/saml/portal/metadata");
        setting.acs = acs("portal").to_string();
        let xml = setting
            .unasked()
            .to_xml()
            .map_err(|error| error.to_string())?;
        self.deliver(browser, "portal", xml.as_bytes(), Some(relay_state))
            .await?;
        let status = self.last.as_ref().map_or(0, |answer| answer.status);
        if !(300..400).contains(&status) && status != 200 {
            self.problems
                .push(format!("from the portal: status {status}"));
        }
        Ok(())
    }

    /// Sends a logout message to a usher where somebody is signed in, who must stay so.
    async fn logout_message(&mut self, case: logout_corpus::Case) -> Done {
        let good = named("valid").ok_or("no case")?;
        self.response(good, None).await?;
        let person = self
            .browsers
            .get("ann")
            .cloned()
            .ok_or("nobody signed in")?;
        let slo = site("/_usher/saml/idp1/slo");
        let setting = logout_corpus::Setting {
            idp: self.world.saml.entity_id(),
            slo: slo.to_string(),
            name_id: NameId::new("ann-0001", PERSISTENT),
            session_index: None,
            request: "_none".to_owned(),
            now: Timestamp::now(),
        };
        self.note_process();
        let mut browser = self.world.browser().await?;
        let sent = Instant::now();
        let answer = match (case.make)(&setting) {
            Sent::Query(query) => {
                let mut url = slo.clone();
                url.set_query(Some(&query));
                browser.open(&url).await
            }
            Sent::Post(xml) => {
                let body = usher::demo::saml::form("SAMLRequest", &xml, None);
                browser.submit(&slo, &body).await
            }
        };
        self.answer_took = Some(sent.elapsed());
        self.refused_logout(answer.as_ref().map_or(0, |answer| answer.status));
        if !flow::is_valid(self.world, &person).await? {
            self.problems
                .push("the logout message signed somebody out".to_owned());
        }
        self.last = answer;
        "nobody".clone_into(&mut self.current);
        self.browsers.insert("nobody".to_owned(), browser);
        Ok(())
    }

    fn refused_logout(&mut self, status: u16) {
        if !(400..500).contains(&status) {
            self.problems
                .push(format!("the logout message was answered with {status}"));
        }
    }

    /// A query that inflates to as much as fits into a request head, and one that is longer than any.
    pub(super) async fn saml_bomb(&mut self) -> Done {
        let bomb = |mebibytes: usize| {
            let deflated =
                deflate(&vec![b' '; mebibytes << 20]).map_err(|error| error.to_string())?;
            Ok::<_, String>(percent_encode(&encode_base64(&deflated)))
        };
        let (small, large) = (bomb(12)?, bomb(64)?);
        self.world.usher().await?;
        self.note_process();
        let began = Instant::now();
        let mut browser = self.world.browser().await?;
        for message in [&small, &large] {
            for parameter in ["SAMLRequest", "SAMLResponse"] {
                let mut url = site("/_usher/saml/idp1/slo");
                url.set_query(Some(&format!("{parameter}={message}")));
                let answer = browser.open(&url).await;
                self.refused_logout(answer.as_ref().map_or(0, |answer| answer.status));
                self.last = answer;
            }
        }
        self.answer_took = Some(began.elapsed());
        "nobody".clone_into(&mut self.current);
        self.browsers.insert("nobody".to_owned(), browser);
        Ok(())
    }

    /// A good response that comes where, or when, it must not count.
    async fn saml_story(&mut self, name: &str) -> Done {
        let mut browser = self.world.browser().await?;
        let begun = through::begin(&mut browser, &flow::start_url("idp1")).await?;
        let request = begun.request;
        let good = named("valid").ok_or("no case")?;
        let xml = (good.make)(&self.saml_setting(&request.id, ""));
        let relay_state = request.relay_state.as_deref();
        match name {
            "no_cookie" | "other_browser" => {
                let mut other = self.world.browser().await?;
                if name == "other_browser" {
                    through::begin(&mut other, &flow::start_url("idp1")).await?;
                }
                self.deliver(other, "idp1", &xml, relay_state).await
            }
            "relay_state_of_another_tab" => {
                let second = through::begin(&mut browser, &flow::start_url("idp1")).await?;
                let state = second.request.relay_state;
                self.deliver(browser, "idp1", &xml, state.as_deref()).await
            }
            "request_id_reuse" => {
                self.deliver(browser.clone(), "idp1", &xml, relay_state)
                    .await?;
                // Another assertion to the same request, with the cookie that a thief kept.
                let again = (good.make)(&self.saml_setting(&request.id, ""));
                self.deliver(browser, "idp1", &again, relay_state).await
            }
            _ => {
                let again = if name == "replay" {
                    browser.clone()
                } else {
                    self.world.browser().await?
                };
                self.deliver(browser, "idp1", &xml, relay_state).await?;
                self.deliver(again, "idp1", &xml, relay_state).await
            }
        }
    }

    /// A fault of the metadata; none where the name is of something else.
    async fn metadata_case(&mut self, name: &str) -> Option<Done> {
        let idp = &self.world.saml;
        let mut metadata = idp.metadata();
        let mut settings = SamlSettings::default();
        let mut fault = MetadataFault::Nothing;
        match name {
            "unsigned_when_required" => settings.signed_metadata = true,
            "valid_until_past" => metadata.valid_until = Some("2020-01-01T00:00:00Z".to_owned()),
            "javascript_location" => {
                metadata.sso = vec![("HTTP-Redirect".to_owned(), "javascript:alert(1)".to_owned())];
            }
            "http_location" => {
                let location = "http://idp.example.test/sso".to_owned();
                metadata.sso = vec![("HTTP-Redirect".to_owned(), location)];
            }
            "entity_id_mismatch" => settings.entity_id = Some("https://other.test/idp".to_owned()),
            "50MiB" => fault = MetadataFault::Large(50),
            "no_signing_key" => metadata.keys = vec![(Some("encryption".to_owned()), TestKey::IDP)],
            "xxe" => {
                let plain = metadata.to_xml().unwrap_or_default();
                let doctype = "<!DOCTYPE m [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
                fault = MetadataFault::Text(format!("{doctype}{plain}"));
            }
            "refresh_5xx" => return Some(self.failed_refresh().await),
            _ => return None,
        }
        idp.set_metadata(metadata);
        idp.set_fault(fault);
        Some(self.refused_metadata(settings).await)
    }

    /// usher starts with that metadata, and nobody may get to such an IdP.
    async fn refused_metadata(&mut self, settings: SamlSettings) -> Done {
        self.world.settings.saml = Some(settings);
        self.world.dirty = true;
        self.world.restart().await?;
        let mut browser = self.world.browser().await?;
        let begun = through::begin(&mut browser, &flow::start_url("idp1")).await;
        let outcome = match begun {
            Ok(begun) => format!("accepted, leads to {}", begun.url),
            Err(_) => "refused_or_last_good".to_owned(),
        };
        let status = browser.hops.last().map_or(0, |hop| hop.answer.status);
        if status < 400 {
            self.problems
                .push(format!("the sign-in was answered with {status}"));
        }
        self.values.insert("metadata".to_owned(), outcome);
        self.keep_locations(&browser);
        self.note_process();
        Ok(())
    }

    /// usher has the metadata; then the IdP's server fails, usher reads its config again, and people go on signing in.
    async fn failed_refresh(&mut self) -> Done {
        self.world.dirty = true;
        let good = named("valid").ok_or("no case")?;
        self.response(good, None).await?;
        self.world.saml.set_fault(MetadataFault::Status(503));
        let config = self.world.config();
        self.world.usher().await?.reload_with(&config);
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.response(good, None).await?;
        let person = self
            .browsers
            .get("ann")
            .cloned()
            .ok_or("nobody signed in")?;
        let outcome = if flow::is_valid(self.world, &person).await? {
            "refused_or_last_good"
        } else {
            "lost"
        };
        self.values
            .insert("metadata".to_owned(), outcome.to_owned());
        Ok(())
    }
}
