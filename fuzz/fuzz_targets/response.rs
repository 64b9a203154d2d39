//! No response is accepted that says something else than a seed, unless it was signed here: input that begins with `A` is an
//! assertion that is signed and put into a good response, so that every check of the profile is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::demo::saml::{Response, insert_after_issuer};
use usher::idp::saml::check::Steps;
use usher::idp::saml::response::{Expected, Origin, verify};
use usher_fuzz::fixture::{ACS, IDP, NAME_ID, REQUEST, SP, now};
use usher_fuzz::{CERTIFICATES, SP_KEYS, canonical, signed};

fuzz_target!(|data: &[u8]| {
    let origins = [Origin::Requested(REQUEST), Origin::Unsolicited];
    let Some(assertion) = data.strip_prefix(b"A") else {
        for origin in origins {
            if let Ok(assertion) = verify(data, &expected(origin), &mut Steps::default()) {
                assert_eq!(assertion.name_id().value, NAME_ID);
            }
        }
        return;
    };
    let Some(plain) = canonical(assertion) else {
        return;
    };
    let Some(signature) = signed(&plain) else {
        return;
    };
    let response = Response::new(IDP, SP, ACS, REQUEST, now());
    let xml = response.unsigned_around(&insert_after_issuer(&plain, &signature));
    if let Ok(assertion) = verify(
        xml.as_bytes(),
        &expected(Origin::Requested(REQUEST)),
        &mut Steps::default(),
    ) {
        assert!(!assertion.name_id().value.chars().any(char::is_control));
    }
});

fn expected(origin: Origin<'_>) -> Expected<'_> {
    Expected {
        idp: IDP,
        certificates: &CERTIFICATES,
        sp: SP,
        acs: ACS,
        origin,
        keys: &SP_KEYS,
        authenticated_within: jiff::SignedDuration::from_hours(24),
        authn_context: &[],
        now: now(),
    }
}
