//! Counters for the operator. What is counted for each request is kept by each thread on its own
//! and added up when somebody asks; the counters here are for what is rare.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Labels of a thing done with an IdP or an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// IdP or app, by its id in the config (a closed set: never what a client sent).
    pub of: String,
    /// A stable code.
    pub outcome: String,
}

/// Labels of a signing certificate of a SAML IdP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SigningCertificate {
    idp: String,
    fingerprint: String,
}

/// What became of a span.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SpanOutcome {
    outcome: &'static str,
}

/// When the signing certificates of SAML IdPs expire.
#[derive(Debug, Default)]
pub struct SamlCertificates {
    expire: Family<SigningCertificate, Gauge>,
    known: Mutex<HashMap<String, Vec<SigningCertificate>>>,
}

impl SamlCertificates {
    /// The certificates of an IdP, by fingerprint, with their `notAfter`; those that it had before are forgotten.
    pub fn set(&self, idp: &str, certificates: impl Iterator<Item = (String, Timestamp)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut labels = Vec::new();
        for (fingerprint, not_after) in certificates {
            let certificate = SigningCertificate {
                idp: idp.to_owned(),
                fingerprint,
            };
            let gauge = self.expire.get_or_create(&certificate);
            gauge.set(not_after.as_second());
            labels.push(certificate);
        }
        let former = known.insert(idp.to_owned(), labels.clone());
        for gone in former.into_iter().flatten() {
            if !labels.contains(&gone) {
                self.expire.remove(&gone);
            }
        }
    }

    /// Forgets the certificates of IdPs that are not among these.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|idp, certificates| {
            let stays = is_there(idp);
            if !stays {
                for gone in certificates {
                    self.expire.remove(gone);
                }
            }
            stays
        });
    }
}

/// The rare counters, and the registry that `/metrics` prints.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sign-ins by IdP and outcome.
    pub sign_ins: Family<Outcome, Counter>,
    /// Callback tries by app and outcome.
    pub callbacks: Family<Outcome, Counter>,
    /// Events that came to an end, by app and outcome.
    pub deliveries: Family<Outcome, Counter>,
    /// Events in the outbox that will be tried (again).
    pub outbox_waiting: Gauge,
    /// Events in the outbox that were given up.
    pub outbox_dead: Gauge,
    /// JWKS fetches by IdP and outcome.
    pub jwks_fetches: Family<Outcome, Counter>,
    /// Renewals by IdP and outcome.
    pub renewals: Family<Outcome, Counter>,
    /// Fetches of SAML metadata by IdP and outcome.
    pub saml_metadata_fetches: Family<Outcome, Counter>,
    /// Lines of the audit log that could not be written to its file.
    pub audit_file_failures: Counter,
    spans: Family<SpanOutcome, Counter>,
    /// Expiry of the signing certificates of SAML IdPs.
    pub saml_certificates: SamlCertificates,
}

impl Metrics {
    /// Counts one more.
    pub fn count(family: &Family<Outcome, Counter>, of: &str, outcome: &str) {
        family
            .get_or_create(&Outcome {
                of: of.to_owned(),
                outcome: outcome.to_owned(),
            })
            .inc();
    }

    /// The counter of spans that came to that: `exported`, `failed`, `queue_full`.
    pub fn trace_spans(&self, outcome: &'static str) -> Counter {
        self.spans.get_or_create(&SpanOutcome { outcome }).clone()
    }

    /// Puts the counters into a registry under the names that the README documents.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "usher_sign_ins",
            "Sign-ins by IdP and outcome",
            self.sign_ins.clone(),
        );
        registry.register(
            "usher_callbacks",
            "Provisioning callback tries by app and outcome",
            self.callbacks.clone(),
        );
        registry.register(
            "usher_deliveries",
            "Events for apps that came to an end, by app and outcome",
            self.deliveries.clone(),
        );
        registry.register(
            "usher_outbox_waiting",
            "Events for apps that will be tried (again)",
            self.outbox_waiting.clone(),
        );
        registry.register(
            "usher_outbox_dead",
            "Events for apps that were given up",
            self.outbox_dead.clone(),
        );
        registry.register(
            "usher_jwks_fetches",
            "JWKS fetches by IdP and outcome",
            self.jwks_fetches.clone(),
        );
        registry.register(
            "usher_renewals",
            "Attribute renewals by IdP and outcome",
            self.renewals.clone(),
        );
        registry.register(
            "usher_saml_metadata_fetches",
            "Fetches of SAML metadata by IdP and outcome",
            self.saml_metadata_fetches.clone(),
        );
        registry.register(
            "usher_audit_file_failures",
            "Lines of the audit log that could not be written to its file",
            self.audit_file_failures.clone(),
        );
        registry.register(
            "usher_trace_spans",
            "Spans of traces by what became of them",
            self.spans.clone(),
        );
        registry.register(
            "usher_saml_idp_certificate_expires_timestamp_seconds",
            "When a signing certificate of a SAML IdP expires, in seconds since 1970",
            self.saml_certificates.expire.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn printed(metrics: &Metrics) -> String {
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines()
            .filter(|line| line.starts_with("usher_saml_idp_certificate"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn certificates_that_an_idp_no_longer_has_are_forgotten() {
        let metrics = Metrics::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let of = |names: &[&str]| {
            names
                .iter()
                .map(|name| ((*name).to_owned(), at(7)))
                .collect()
        };
        let set = |idp: &str, names: Vec<_>| metrics.saml_certificates.set(idp, names.into_iter());
        set("globex", of(&["AA", "BB"]));
        set("initech", of(&["CC"]));
        set("globex", of(&["BB"]));
        let line = |idp: &str, fingerprint: &str| {
            format!(
                "usher_saml_idp_certificate_expires_timestamp_seconds{{idp=\"{idp}\",fingerprint=\"{fingerprint}\"}} 7\n"
            )
        };
        let text = printed(&metrics);
        assert!(text.contains(&line("globex", "BB")) && text.contains(&line("initech", "CC")));
        assert_eq!(text.lines().count(), 2, "{text}");
        metrics.saml_certificates.keep_only(|idp| idp == "initech");
        assert_eq!(printed(&metrics), line("initech", "CC"));
    }
}
