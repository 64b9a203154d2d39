//! What ends soon: the signing certificates of an IdP, and its metadata itself.

use jiff::{SignedDuration, Timestamp};

use super::IdpMetadata;

/// So long before its end, a certificate is worth a word.
pub const WARN_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// A sentence for each certificate that has ended or ends within [`WARN_BEFORE`].
pub fn certificates(metadata: &IdpMetadata, now: Timestamp) -> Vec<String> {
    let lasts = |end: Timestamp| end.duration_since(now) > WARN_BEFORE;
    let has_successor = metadata
        .certificates
        .iter()
        .any(|certificate| certificate.not_before() <= now && lasts(certificate.not_after()));
    metadata
        .certificates
        .iter()
        .filter(|certificate| !lasts(certificate.not_after()))
        .map(|certificate| {
            let (end, name) = (certificate.not_after(), certificate.fingerprint());
            let verb = if end <= now { "has ended" } else { "ends" };
            let then = if has_successor {
                "another one lasts longer"
            } else {
                "without another one, nobody can sign in then"
            };
            format!("the signing certificate {name} of the IdP {verb} at {end}; {then}")
        })
        .collect()
}
