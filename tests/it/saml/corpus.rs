//! Hostile responses, each with the check that must refuse it, and good ones that must be accepted.

mod documents;
mod encrypted;
mod good;
mod limits;
mod profile;
mod run;
mod signatures;
mod stories;
mod surgery;
mod wrapping;

use jiff::Timestamp;
use usher::demo::saml::{Response, TestKey};
use usher::idp::saml::Check;

pub(crate) use run::our_keys;

/// What a response answers to: who asked, whom, and when.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Entity ID of the IdP.
    pub(crate) idp: String,
    /// Entity ID of usher.
    pub(crate) sp: String,
    /// Where it is posted to.
    pub(crate) acs: String,
    /// `ID` of the request.
    pub(crate) request: String,
    /// Where a listener waits that nobody must ask.
    pub(crate) trap: String,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Setting {
    /// One that needs no server.
    pub(crate) fn offline() -> Self {
        Self {
            idp: "https://idp.test/metadata".to_owned(),
            sp: "https://app.test/_usher/saml/idp1/metadata".to_owned(),
            acs: "https://app.test/_usher/saml/idp1/acs".to_owned(),
            request: "_0123456789abcdef0123456789abcdef".to_owned(),
            trap: "http://127.0.0.1:9".to_owned(),
            now: Timestamp::from_second(1_795_000_000).unwrap(),
        }
    }

    /// A good answer.
    pub(crate) fn answer(&self) -> Response {
        let mut response = Response::new(&self.idp, &self.sp, &self.acs, &self.request, self.now);
        response.assertion.attribute("mail", &["ann@corp.test"]);
        response
    }

    /// A good answer that nobody asked for.
    pub(crate) fn unasked(&self) -> Response {
        let mut response = Response::unsolicited(&self.idp, &self.sp, &self.acs, self.now);
        response.assertion.attribute("mail", &["ann@corp.test"]);
        response
    }

    /// The XML of an answer that is good but for one thing.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Response)) -> String {
        let mut response = self.answer();
        change(&mut response);
        response.to_xml().unwrap()
    }
}

/// One message.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: &'static str,
    /// The check that must refuse it; none: it must be accepted.
    pub(crate) check: Option<Check>,
    /// The keys whose certificates the IdP has.
    pub(crate) trusted: &'static [TestKey],
    /// Whether nobody asked for it.
    pub(crate) unsolicited: bool,
    /// What the refusal must say: where another check would refuse it too, at the same place of the order.
    pub(crate) says: &'static str,
    /// Writes it.
    pub(crate) make: fn(&Setting) -> Vec<u8>,
}

/// The certificates of the IdP where a case says nothing else.
pub(crate) const TRUSTED: &[TestKey] = &[TestKey::IDP, TestKey::IDP_NEXT];

impl Case {
    /// One that must be refused there.
    const fn refused(name: &'static str, check: Check, make: fn(&Setting) -> Vec<u8>) -> Self {
        Self {
            name,
            check: Some(check),
            trusted: TRUSTED,
            unsolicited: false,
            says: "",
            make,
        }
    }

    /// One that must be accepted.
    const fn good(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Self {
        Self {
            name,
            check: None,
            trusted: TRUSTED,
            unsolicited: false,
            says: "",
            make,
        }
    }

    /// With other certificates of the IdP.
    const fn trusting(mut self, trusted: &'static [TestKey]) -> Self {
        self.trusted = trusted;
        self
    }

    /// In these words.
    const fn saying(mut self, words: &'static str) -> Self {
        self.says = words;
        self
    }

    /// Nobody asked.
    const fn unasked(mut self) -> Self {
        self.unsolicited = true;
        self
    }
}

/// All that must be refused.
pub(crate) fn hostile() -> Vec<Case> {
    [
        signatures::CASES,
        wrapping::CASES,
        documents::CASES,
        encrypted::CASES,
        profile::CASES,
    ]
    .concat()
}

/// All that must be accepted.
pub(crate) fn good() -> Vec<Case> {
    good::CASES.to_vec()
}
