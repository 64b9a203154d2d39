//! Counters for the operator. What is counted for each request is kept by each thread on its own
//! and added up when somebody asks; the counters here are for what is rare.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Labels of a thing done with an IdP or an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// IdP or app, by its id in the config (a closed set: never what a client sent).
    pub of: String,
    /// A stable code.
    pub outcome: String,
}

/// The rare counters, and the registry that `/metrics` prints.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Sign-ins by IdP and outcome.
    pub sign_ins: Family<Outcome, Counter>,
    /// Callback tries by app and outcome.
    pub callbacks: Family<Outcome, Counter>,
    /// JWKS fetches by IdP and outcome.
    pub jwks_fetches: Family<Outcome, Counter>,
    /// Renewals by IdP and outcome.
    pub renewals: Family<Outcome, Counter>,
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
            "usher_jwks_fetches",
            "JWKS fetches by IdP and outcome",
            self.jwks_fetches.clone(),
        );
        registry.register(
            "usher_renewals",
            "Attribute renewals by IdP and outcome",
            self.renewals.clone(),
        );
    }
}
