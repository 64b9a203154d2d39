//! One look at a captured response: what was assumed, the steps that passed, and what comes of it.

use jiff::Timestamp;

use super::capture::Capture;
use crate::config::{Config, Idp, SamlConfig};
use crate::identity::{Attributes, Subject};
use crate::idp::saml::attributes;
use crate::idp::saml::check::{Check, Refused, Steps};
use crate::idp::saml::metadata::IdpMetadata;
use crate::idp::saml::response::{self, Expected, Origin, verify};
use crate::idp::saml::xml::{self, Limits, optional_attribute, time};
use crate::keys::saml::SpKeys;

/// What is looked at, and how.
pub(super) struct Given<'a> {
    pub(super) captured: &'a Capture,
    pub(super) config: &'a Config,
    pub(super) idp: &'a Idp,
    pub(super) saml: &'a SamlConfig,
    pub(super) metadata: &'a IdpMetadata,
    pub(super) keys: &'a SpKeys,
    pub(super) at: Option<Timestamp>,
    pub(super) request_id: Option<&'a str>,
    pub(super) acs: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// What was seen.
pub(super) struct Seen {
    pub(super) found_in: &'static str,
    /// What the response was compared with, and where that comes from.
    pub(super) assumed: Vec<(&'static str, String)>,
    pub(super) steps: Steps,
    pub(super) outcome: Result<Who, Refused>,
}

/// Whom an app would hear about.
pub(super) struct Who {
    pub(super) subject: Subject,
    pub(super) attributes: Attributes,
    pub(super) session_index: Option<String>,
    pub(super) authn_context: Option<String>,
    pub(super) session_ends_at: Option<Timestamp>,
    /// Attributes that were sent, by name, with how many values: what could be mapped.
    pub(super) sent: Vec<(String, usize)>,
}

/// What the response says of itself, verified or not.
#[derive(Default)]
struct Claimed {
    issued: Option<Timestamp>,
    in_response_to: Option<String>,
    destination: Option<String>,
}

impl Claimed {
    fn of(bytes: &[u8]) -> Self {
        let Ok(document) = xml::parse(bytes, &Limits::MESSAGE) else {
            return Self::default();
        };
        let root = document.root_element();
        let of = |name| optional_attribute(root, name).map(str::to_owned);
        Self {
            issued: of("IssueInstant").and_then(|text| time::read(&text)),
            in_response_to: of("InResponseTo"),
            destination: of("Destination"),
        }
    }
}

/// Verifies it.
pub(super) fn look(given: &Given<'_>) -> Seen {
    let claimed = Claimed::of(&given.captured.xml);
    let mut assumed = Vec::new();
    let at = match (given.at, claimed.issued) {
        (Some(at), _) => (at, "as --at says"),
        (None, Some(issued)) => (issued, "its own IssueInstant; --at sets another"),
        (None, None) => (given.now, "now, since it has no IssueInstant"),
    };
    assumed.push(("at", format!("{} ({})", at.0, at.1)));
    let (origin, why) = match (given.request_id, claimed.in_response_to.as_deref()) {
        (Some(id), _) => (Origin::Requested(id), "as --request-id says"),
        (None, Some(id)) => (
            Origin::Requested(id),
            "its own InResponseTo; --request-id sets another",
        ),
        (None, None) if given.saml.idp_initiated => (Origin::Unsolicited, "`idp_initiated` is on"),
        (None, None) => (
            Origin::Unsolicited,
            "a running usher refuses it, since `idp_initiated` is off; --request-id names the request",
        ),
    };
    assumed.push(("request", format!("{} ({why})", id_of(origin))));
    let ours = acs_urls(given.config, given.idp);
    let (acs, why) = match (given.acs, claimed.destination.as_ref()) {
        (Some(acs), _) => (acs.to_owned(), "as --acs says"),
        (None, Some(destination)) if ours.contains(destination) => (
            destination.clone(),
            "its own Destination, which is ours; --acs sets another",
        ),
        (None, _) => (
            ours.first().cloned().unwrap_or_default(),
            "the first of ours; --acs sets another",
        ),
    };
    assumed.push(("acs", format!("{acs} ({why})")));
    let sp = given.config.saml_entity_id(&given.idp.id);
    assumed.push(("entity_id", sp.clone()));
    let expected = Expected {
        idp: &given.metadata.entity_id,
        certificates: &given.metadata.certificates,
        sp: &sp,
        acs: &acs,
        origin,
        keys: given.keys,
        authenticated_within: response::authenticated_within(given.saml),
        authn_context: &given.saml.authn_context,
        now: at.0,
    };
    let mut steps = Steps::default();
    let outcome = outcome(given, &expected, &mut steps);
    Seen {
        found_in: given.captured.found_in,
        assumed,
        steps,
        outcome,
    }
}

fn outcome(given: &Given<'_>, expected: &Expected<'_>, steps: &mut Steps) -> Result<Who, Refused> {
    if let (Origin::Unsolicited, false) = (expected.origin, given.saml.idp_initiated) {
        // The verification itself would take it: it is the sign-in that takes no such response.
        verify(&given.captured.xml, expected, steps)?;
        return Err(Refused::at(
            Check::InResponseTo,
            "nobody asked for the response, and `idp_initiated` is off",
        ));
    }
    let assertion = verify(&given.captured.xml, expected, steps)?;
    let names = &given.saml.attributes;
    Ok(Who {
        subject: attributes::subject(&assertion, names, &given.idp.id)?,
        attributes: attributes::map(&assertion, names)?,
        session_index: assertion.session_index().map(str::to_owned),
        authn_context: assertion.authn_context().map(str::to_owned),
        session_ends_at: assertion.session_ends_at(),
        sent: assertion
            .attributes()
            .iter()
            .map(|attribute| (attribute.name.clone(), attribute.values.len()))
            .collect(),
    })
}

fn id_of(origin: Origin<'_>) -> String {
    match origin {
        Origin::Requested(id) => id.to_owned(),
        Origin::Unsolicited => "none".to_owned(),
    }
}

/// The assertion consumer service of each site.
fn acs_urls(config: &Config, idp: &Idp) -> Vec<String> {
    config
        .sign_in_sites()
        .map(|site| {
            let Config { prefix, .. } = config;
            format!("{}{prefix}/saml/{}/acs", site.public_url.origin, idp.id)
        })
        .collect()
}
