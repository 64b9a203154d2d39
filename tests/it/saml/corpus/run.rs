//! Runs the corpus without a server: bytes in, a verdict out.

use std::time::Duration;

use usher::certificate::{self, Certificate};
use usher::demo::saml::TestKey;
use usher::idp::saml::check::Steps;
use usher::idp::saml::response::{Expected, Origin, verify};
use usher::idp::saml::{Refused, VerifiedAssertion};
use usher::keys::saml::{SpKey, SpKeys};
use usher::secret::Secret;

use super::{Case, Setting, good, hostile};

/// What a refusal may take of a processor in a build without optimizations. The limit of 50 ms is measured by
/// `just saml-limits`.
const SLOW: Duration = Duration::from_millis(1000);

/// The processor time of this thread so far: other tests run beside this one. Elsewhere than on Linux, nothing.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn key(of: TestKey) -> SpKey {
    let own = Certificate::from_text(of.certificate_pem()).unwrap();
    let pair = certificate::key_pair(&own, &Secret::new(of.key_pem())).unwrap();
    SpKey::new(own, pair).unwrap()
}

/// Our keys: the one that signs, and an older one.
pub(crate) fn our_keys() -> SpKeys {
    SpKeys::of(vec![key(TestKey::SP), key(TestKey::SP_NEXT)]).unwrap()
}

/// The verdict over a case.
pub(super) fn judged(
    case: &Case,
    setting: &Setting,
    keys: &SpKeys,
    xml: &[u8],
) -> Result<VerifiedAssertion, Refused> {
    let certificates: Vec<_> = case
        .trusted
        .iter()
        .map(|key| Certificate::from_text(key.certificate_pem()).unwrap())
        .collect();
    let expected = Expected {
        idp: &setting.idp,
        certificates: &certificates,
        sp: &setting.sp,
        acs: &setting.acs,
        origin: if case.unsolicited {
            Origin::Unsolicited
        } else {
            Origin::Requested(&setting.request)
        },
        keys,
        authenticated_within: jiff::SignedDuration::from_hours(24),
        authn_context: &[],
        now: setting.now,
    };
    verify(xml, &expected, &mut Steps::default())
}

#[test]
fn the_corpus_is_as_large_as_it_should_be() {
    let mut names: Vec<_> = hostile().iter().map(|case| case.name).collect();
    assert!(names.len() >= 150, "{} hostile responses", names.len());
    assert!(good().len() >= 25, "{} good responses", good().len());
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name comes twice");
}

#[test]
fn every_hostile_response_is_refused_by_the_check_it_names() {
    let (setting, keys) = (Setting::offline(), our_keys());
    let mut wrong = Vec::new();
    for case in hostile() {
        let xml = (case.make)(&setting);
        let began = spent();
        let verdict = judged(&case, &setting, &keys, &xml);
        let took = spent() - began;
        match verdict {
            Ok(assertion) => wrong.push(format!(
                "{}: accepted as {}",
                case.name,
                assertion.name_id().value
            )),
            Err(refused) if Some(refused.check) != case.check => wrong.push(format!(
                "{}: refused at {refused}, not at {:?}",
                case.name, case.check
            )),
            Err(refused) if !refused.detail.contains(case.says) => wrong.push(format!(
                "{}: refused at {refused}, without {:?}",
                case.name, case.says
            )),
            Err(_) if took > SLOW => wrong.push(format!("{}: took {took:?}", case.name)),
            Err(_) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_good_response_is_accepted() {
    let (setting, keys) = (Setting::offline(), our_keys());
    let mut wrong = Vec::new();
    for case in good() {
        let xml = (case.make)(&setting);
        if let Err(refused) = judged(&case, &setting, &keys, &xml) {
            wrong.push(format!("{}: {refused}", case.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
