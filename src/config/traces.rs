//! `traces`.

use http::HeaderName;
use url::Url;

use crate::secret::Secret;

/// Where traces are sent, and how many.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The collector's URL for traces by OTLP over HTTP, `/v1/traces` included.
    pub endpoint: Url,
    /// How many of the traces that begin here are sampled: 0 to 1.
    pub sample: f64,
    /// Header fields for the collector; the values fit into one.
    pub headers: Vec<(HeaderName, Secret)>,
}

impl PartialEq for Traces {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): (&(HeaderName, Secret), &(HeaderName, Secret))| {
            one.0 == other.0 && one.1.expose() == other.1.expose()
        };
        self.endpoint == other.endpoint
            && self.sample == other.sample
            && self.headers.len() == other.headers.len()
            && self.headers.iter().zip(&other.headers).all(same)
    }
}
