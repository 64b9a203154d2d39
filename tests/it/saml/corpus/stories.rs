//! Good responses that come where, or when, they must not count: each to a running usher, none makes a session.

use usher::demo::saml::{Response, SentRequest, TestSamlIdp, encode_base64, form, percent_encode};

use super::super::{Globex, Settings, acs, entry, makes_session, post, post_form, start};
use crate::support::browser::Browser;
use crate::support::wire::Answer;

/// One browser on its way, and the good answer that its IdP made.
struct Begun {
    browser: Browser,
    request: SentRequest,
    response: Response,
}

impl Begun {
    fn xml(&self) -> String {
        self.response.to_xml().unwrap()
    }

    fn relay_state(&self) -> Option<&str> {
        self.request.relay_state.as_deref()
    }

    async fn arrive(&mut self) -> Answer {
        let relay_state = self.request.relay_state.clone();
        post(&mut self.browser, &self.response, relay_state.as_deref()).await
    }

    /// The answer as a form of one's own.
    async fn submit(&mut self, to: &str, form: &str) -> Answer {
        post_form(&mut self.browser, &acs(to), form).await
    }

    fn form(&self) -> String {
        form("SAMLResponse", self.xml().as_bytes(), self.relay_state())
    }
}

async fn begin(globex: &Globex) -> Begun {
    let mut browser = globex.browser();
    let request = globex.begin(&mut browser, "/").await;
    let response = globex.answer(&request);
    Begun {
        browser,
        request,
        response,
    }
}

/// What came of each story, by its name.
struct Told(Vec<String>);

impl Told {
    /// The last answer of a story makes no session and is no failure of usher.
    fn refused(&mut self, name: &str, answer: &Answer) {
        if makes_session(answer) || answer.status >= 500 || answer.status == 200 {
            self.0.push(format!("{name}: status {}", answer.status));
        }
    }
}

async fn open() -> (Globex, TestSamlIdp) {
    let other = super::super::idp().await;
    let settings = Settings::default();
    let mut more_idps = entry("initech", "Initech", &other, &settings);
    let portal = Settings {
        saml: vec!["idp_initiated: true"],
        ..Settings::default()
    };
    let globex = super::super::idp().await;
    more_idps.push_str(&entry("portal", "Portal", &globex, &portal));
    let settings = Settings {
        more_idps,
        ..Settings::default()
    };
    (Globex::open_at(globex, settings).await, other)
}

async fn used_twice(globex: &Globex, told: &mut Told) {
    let mut first = begin(globex).await;
    let stolen = first.browser.clone();
    let (form, used) = (first.form(), first.response.assertion.id.clone());
    assert!(makes_session(&first.arrive().await), "a good answer counts");
    let again = first.arrive().await;
    told.refused("replay_in_the_same_browser", &again);

    first.browser = stolen.clone();
    let again = first.arrive().await;
    told.refused("replay_with_the_stolen_state_cookie", &again);

    first.browser = stolen;
    first.response = globex.answer(&first.request);
    let again = first.arrive().await;
    told.refused("second_assertion_to_one_request", &again);

    let mut other = begin(globex).await;
    let again = other.submit("globex", &form).await;
    told.refused("replay_in_another_browser", &again);

    let mut other = begin(globex).await;
    other.response.assertion.id = used;
    let again = other.arrive().await;
    told.refused("assertion_id_used_before", &again);
}

async fn of_others(globex: &Globex, told: &mut Told) {
    // Login CSRF: the answer of the attacker's own sign-in, in the victim's browser.
    let attacker = begin(globex).await;
    let mut victim = begin(globex).await;
    let answer = victim.submit("globex", &attacker.form()).await;
    told.refused("login_csrf", &answer);

    let mut victim = begin(globex).await;
    let xml = attacker.xml();
    let own = form("SAMLResponse", xml.as_bytes(), victim.relay_state());
    let answer = victim.submit("globex", &own).await;
    told.refused("login_csrf_with_own_relay_state", &answer);

    let mut bare = begin(globex).await;
    bare.browser.cookies.clear();
    let answer = bare.arrive().await;
    told.refused("no_cookie", &answer);

    let mut tabs = begin(globex).await;
    let second = globex.begin(&mut tabs.browser, "/other").await;
    let swapped = form(
        "SAMLResponse",
        tabs.xml().as_bytes(),
        second.relay_state.as_deref(),
    );
    let answer = tabs.submit("globex", &swapped).await;
    told.refused("relay_state_of_another_tab", &answer);
}

async fn relay_states(globex: &Globex, told: &mut Told) {
    for relay_state in [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "javascript:alert(1)",
        "/ok\r\nSet-Cookie: a=b",
        "",
    ] {
        let mut begun = begin(globex).await;
        let own = form("SAMLResponse", begun.xml().as_bytes(), Some(relay_state));
        let answer = begun.submit("globex", &own).await;
        told.refused(&format!("relay_state {relay_state:?}"), &answer);
        if answer.header("location").is_some()
            || answer
                .header("set-cookie")
                .is_some_and(|line| line.starts_with("a="))
        {
            told.0
                .push(format!("relay_state {relay_state:?} leads somewhere"));
        }
    }
    let mut begun = begin(globex).await;
    let own = form("SAMLResponse", begun.xml().as_bytes(), None);
    let answer = begun.submit("globex", &own).await;
    told.refused("relay_state_missing", &answer);
}

async fn at_other_idps(globex: &Globex, told: &mut Told) {
    let mut begun = begin(globex).await;
    let form = begun.form();
    let answer = begun.submit("initech", &form).await;
    told.refused("posted_to_another_idp", &answer);

    // Both sign-ins are under way in one browser; the answer of the one comes with the relay state of the other.
    let mut begun = begin(globex).await;
    let at_initech = begun.browser.open(&start("initech", "/")).await.unwrap();
    let other = super::super::sent(&at_initech);
    let mixed = super::super::form(
        "SAMLResponse",
        begun.xml().as_bytes(),
        other.relay_state.as_deref(),
    );
    let answer = begun.submit("initech", &mixed).await;
    told.refused("mix_up_of_two_sign_ins", &answer);

    let mut response = globex.answer(&other);
    response.destination = Some(acs("initech").to_string());
    let xml = response.to_xml().unwrap();
    let mixed = super::super::form("SAMLResponse", xml.as_bytes(), other.relay_state.as_deref());
    let answer = begun.submit("initech", &mixed).await;
    told.refused("assertion_of_one_idp_for_another", &answer);

    let mut begun = begin(globex).await;
    let form = begun.form();
    for idp in ["acme", "nobody", "portal"] {
        let answer = begun.submit(idp, &form).await;
        told.refused(&format!("posted_to_{idp}"), &answer);
    }
}

async fn unasked(globex: &Globex, told: &mut Told) {
    let mut browser = globex.browser();
    let answer = post(&mut browser, &globex.unsolicited(), Some("/")).await;
    told.refused("unsolicited_where_it_is_not_allowed", &answer);

    // Where it is allowed, an answer to a request is none that nobody asked for.
    let mut begun = begin(globex).await;
    begun.browser.cookies.clear();
    let mut response = globex.unsolicited();
    // Another person than who signed in before: an address belongs to one.
    response.assertion.attributes.clear();
    response
        .assertion
        .attribute("mail", &["pia@globex.example"]);
    let portal = acs("portal").to_string();
    response.destination = Some(portal.clone());
    for confirmation in &mut response.assertion.confirmations {
        confirmation.recipient = Some(portal.clone());
        confirmation.in_response_to = Some(begun.request.id.clone());
    }
    if let Some(conditions) = &mut response.assertion.conditions {
        conditions.audiences = vec![vec![super::super::entity_id("portal")]];
    }
    let answer = post(&mut begun.browser, &response, None).await;
    told.refused("stolen_answer_at_the_portal", &answer);

    for confirmation in &mut response.assertion.confirmations {
        confirmation.in_response_to = None;
    }
    let good = post(&mut globex.browser(), &response, Some("https://evil.test/")).await;
    assert!(
        makes_session(&good),
        "what comes from the portal counts: {}",
        good.status
    );
    let location = good.header("location").unwrap_or_default();
    if location.contains("evil") {
        told.0
            .push(format!("unsolicited_relay_state leads to {location}"));
    }
    let again = post(&mut globex.browser(), &response, None).await;
    told.refused("unsolicited_replay", &again);
}

async fn forms(globex: &Globex, told: &mut Told) {
    let mut begun = begin(globex).await;
    let (good, xml) = (begun.form(), begun.xml());
    let state = percent_encode(begun.relay_state().unwrap_or_default());
    let bodies = [
        ("field_twice", format!("{good}&SAMLResponse=AAAA")),
        ("relay_state_twice", format!("{good}&RelayState=other")),
        (
            "no_base64",
            format!("SAMLResponse=%3C%3E&RelayState={state}"),
        ),
        (
            "not_encoded",
            format!("SAMLResponse={}&RelayState={state}", percent_encode(&xml)),
        ),
        ("encoded_twice", {
            let twice = encode_base64(encode_base64(xml.as_bytes()).as_bytes());
            format!("SAMLResponse={}&RelayState={state}", percent_encode(&twice))
        }),
        ("deflated", {
            let deflated = usher::demo::saml::deflate(xml.as_bytes()).unwrap();
            format!(
                "SAMLResponse={}&RelayState={state}",
                percent_encode(&encode_base64(&deflated))
            )
        }),
        ("as_a_request", good.replace("SAMLResponse", "SAMLRequest")),
        ("artifact", format!("SAMLart=AAQAAA&RelayState={state}")),
        (
            "field_in_lower_case",
            good.replace("SAMLResponse", "samlresponse"),
        ),
        ("empty_field", format!("SAMLResponse=&RelayState={state}")),
        ("empty", String::new()),
        (
            "huge",
            format!("SAMLResponse={}&RelayState={state}", "A".repeat(300 * 1024)),
        ),
    ];
    for (name, body) in bodies {
        let answer = begun.submit("globex", &body).await;
        told.refused(name, &answer);
    }
    let mut by_get = acs("globex");
    by_get.set_query(Some(&good));
    let answer = begun.browser.open(&by_get).await.unwrap();
    told.refused("by_get", &answer);

    // After all of that, the good one still counts: nothing was used up, and usher refuses for the right reasons.
    assert!(makes_session(&begun.arrive().await));
}

#[tokio::test]
async fn a_good_response_counts_once_and_only_where_it_was_asked_for() {
    let (globex, _other) = open().await;
    let mut told = Told(Vec::new());
    used_twice(&globex, &mut told).await;
    of_others(&globex, &mut told).await;
    relay_states(&globex, &mut told).await;
    at_other_idps(&globex, &mut told).await;
    unasked(&globex, &mut told).await;
    forms(&globex, &mut told).await;
    assert!(told.0.is_empty(), "{}", told.0.join("\n"));
}
