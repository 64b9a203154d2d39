//! One reading of an IdP's metadata: from a file or a URL into what counts, and for how long.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use bytes::Bytes;
use http::header::{ACCEPT, LOCATION};
use http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::idp::{Endpoint, IdpMetadata, Wanted, check_location, read};
use super::shown;
use crate::certificate::Certificate;
use crate::config::{SamlConfig, SamlSource};
use crate::idp::cached::FetchError;
use crate::idp::saml::xml::Limits;
use crate::outbound::{Answer, Outbound, OutboundError};
use crate::trace::Call;

/// For one fetch.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// How long fetched metadata counts as new where it does not say (`cacheDuration`).
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(1);
/// `cacheDuration` counts within these bounds: no flood of fetches, and new keys are seen within a week.
const FRESH_AT_LEAST: SignedDuration = SignedDuration::from_mins(5);
const FRESH_AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Between two looks at a file.
const FILE_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Where the metadata comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The config itself.
    Given,
    /// A file.
    File(PathBuf),
    /// A URL.
    Url(Url),
}

/// What is read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) origin: Origin,
    entity_id: Option<String>,
    signed_by: Vec<Certificate>,
}

/// Metadata that was read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) metadata: Arc<IdpMetadata>,
    /// When the signing certificates changed for the last time.
    pub(super) changed_at: Timestamp,
    /// When it is read again; none: never.
    refresh_at: Option<Timestamp>,
    digest: Option<Digest>,
}

impl Loaded {
    /// What the config gives.
    pub(super) fn given(metadata: IdpMetadata, now: Timestamp) -> Self {
        Self {
            metadata: Arc::new(metadata),
            changed_at: now,
            refresh_at: None,
            digest: None,
        }
    }

    /// Whether its `validUntil` has not come.
    pub(super) fn counts(&self, now: Timestamp) -> bool {
        self.metadata.valid_until.is_none_or(|until| now < until)
    }

    /// Whether it should be read again.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.refresh_at.is_some_and(|at| at <= now)
    }

    /// Whether it was read from other bytes than `former`.
    pub(super) fn differs_from(&self, former: &Self) -> bool {
        !Arc::ptr_eq(&self.metadata, &former.metadata)
    }
}

impl Plan {
    /// What the config says; with the metadata itself where that is given.
    pub(super) fn new(config: &SamlConfig) -> Result<(Self, Option<IdpMetadata>), String> {
        let (origin, entity_id, given) = match &config.source {
            SamlSource::Url { url, entity_id } => (Origin::Url(url.clone()), entity_id, None),
            SamlSource::File { path, entity_id } => (Origin::File(path.clone()), entity_id, None),
            SamlSource::Given { .. } => (Origin::Given, &None, Some(given(config)?)),
        };
        let plan = Self {
            origin,
            entity_id: entity_id.clone(),
            signed_by: config.metadata_certificates.clone(),
        };
        Ok((plan, given))
    }

    /// Where from, for a log.
    pub(super) fn place(&self) -> String {
        match &self.origin {
            Origin::Given => "the config".to_owned(),
            Origin::File(path) => format!("the metadata file {}", path.display()),
            Origin::Url(url) => format!("the metadata at {url}"),
        }
    }

    /// Reads a file now; blocks.
    pub(super) fn load_file(&self, path: &Path, now: Timestamp) -> Result<Loaded, String> {
        let place = |why: String| format!("{}: {why}", self.place());
        let bytes = read_file(path).map_err(place)?;
        self.take(&bytes, None, now).map_err(place)
    }

    /// Reads it anew. What was read from the same bytes before is kept.
    pub(super) async fn load(
        &self,
        outbound: &Outbound,
        former: Option<Former>,
        now: Timestamp,
    ) -> Result<Loaded, FetchError> {
        let place = |why: String| format!("{}: {why}", self.place());
        let useless = |why: String| FetchError::Useless(place(why));
        let document = match &self.origin {
            Origin::Given => return Err(FetchError::NotNow),
            Origin::File(_) => Bytes::new(),
            Origin::Url(url) => {
                fetch(url, outbound)
                    .await
                    .map_err(|error| match error {
                        FetchError::NoContact(why) => FetchError::NoContact(place(why)),
                        FetchError::Useless(why) => FetchError::Useless(place(why)),
                        FetchError::NotNow => FetchError::NotNow,
                    })?
                    .body
            }
        };
        let plan = self.clone();
        // Federations publish megabytes: the threads that serve requests must not parse them.
        let work = tokio::task::spawn_blocking(move || match &plan.origin {
            Origin::File(path) => plan.take(&read_file(path)?, former, now),
            Origin::Url(_) | Origin::Given => plan.take(&document, former, now),
        });
        let loaded = work.await.map_err(|error| useless(error.to_string()))?;
        loaded.map_err(useless)
    }

    fn take(
        &self,
        document: &[u8],
        former: Option<Former>,
        now: Timestamp,
    ) -> Result<Loaded, String> {
        let digest = digest(&SHA256, document);
        let unchanged = former.as_ref().filter(|former| {
            let same = former.digest.as_ref().map(Digest::as_ref) == Some(digest.as_ref());
            same && former.metadata.valid_until.is_none_or(|until| now < until)
        });
        let metadata = match unchanged {
            Some(former) => Arc::clone(&former.metadata),
            None => Arc::new(read(
                document,
                &Wanted {
                    entity_id: self.entity_id.as_deref(),
                    signed_by: &self.signed_by,
                    now,
                },
            )?),
        };
        let same_keys =
            former.filter(|former| former.metadata.certificates == metadata.certificates);
        Ok(Loaded {
            refresh_at: Some(self.refresh_at(&metadata, now)),
            changed_at: same_keys.map_or(now, |former| former.changed_at),
            metadata,
            digest: Some(digest),
        })
    }

    /// Well before `validUntil`, so that a failure or two do no harm.
    fn refresh_at(&self, metadata: &IdpMetadata, now: Timestamp) -> Timestamp {
        let wait = match self.origin {
            Origin::File(_) => FILE_AGAIN,
            Origin::Url(_) | Origin::Given => metadata
                .cache_for
                .and_then(|time| SignedDuration::try_from(time).ok())
                .unwrap_or(FRESH_FOR)
                .clamp(FRESH_AT_LEAST, FRESH_AT_MOST),
        };
        let wait = match metadata.valid_until {
            Some(until) => wait.min(until.duration_since(now) / 2).max(FILE_AGAIN),
            None => wait,
        };
        now.checked_add(wait).unwrap_or(Timestamp::MAX)
    }
}

/// What was read before.
pub(super) struct Former {
    metadata: Arc<IdpMetadata>,
    digest: Option<Digest>,
    changed_at: Timestamp,
}

impl From<&Loaded> for Former {
    fn from(loaded: &Loaded) -> Self {
        Self {
            metadata: Arc::clone(&loaded.metadata),
            digest: loaded.digest,
            changed_at: loaded.changed_at,
        }
    }
}

/// What an admin page shows, as metadata.
fn given(config: &SamlConfig) -> Result<IdpMetadata, String> {
    let SamlSource::Given {
        entity_id,
        sso_url,
        slo_url,
        certificates,
    } = &config.source
    else {
        return Err("the config gives no endpoints".to_owned());
    };
    if certificates.is_empty() {
        return Err("the IdP has no signing certificate".to_owned());
    }
    let binding = config.binding.into();
    let endpoint = |name: &str, url: &Url| {
        check_location(url).map_err(|why| format!("`{name}` {why}"))?;
        Ok::<_, String>(Endpoint {
            binding,
            location: url.clone(),
            response_location: url.clone(),
        })
    };
    Ok(IdpMetadata {
        entity_id: entity_id.clone(),
        sso: vec![endpoint("sso_url", sso_url)?],
        slo: slo_url
            .iter()
            .map(|url| endpoint("slo_url", url))
            .collect::<Result<_, _>>()?,
        certificates: certificates.clone(),
        wants_signed_requests: false,
        name_id_formats: Vec::new(),
        valid_until: None,
        cache_for: None,
        skipped: Vec::new(),
    })
}

fn read_file(path: &Path) -> Result<Bytes, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let limit = Limits::METADATA.bytes as u64;
    let mut bytes = Vec::new();
    // One byte more, by which the scan sees that it is too large.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(bytes.into())
}

/// The document at a URL: status 200 or an error. The answer's `Date` tells whether the clocks agree.
pub(super) async fn fetch(url: &Url, outbound: &Outbound) -> Result<Answer, FetchError> {
    let request = Request::get(url.as_str())
        .header(
            ACCEPT,
            "application/samlmetadata+xml, application/xml;q=0.9, text/xml;q=0.8, */*;q=0.1",
        )
        .extension(Call::to_idp("metadata"))
        .body(Bytes::new())
        .map_err(|error| FetchError::Useless(error.to_string()))?;
    match outbound.send(request, Limits::METADATA.bytes, WITHIN).await {
        Ok(answer) if answer.status == StatusCode::OK => Ok(answer),
        Ok(answer) if answer.status.is_redirection() => {
            let to = answer.headers.get(LOCATION);
            let to = to.and_then(|to| to.to_str().ok()).unwrap_or_default();
            Err(FetchError::Useless(format!(
                "it redirects to {}: if that is right, write that URL",
                shown(to)
            )))
        }
        Ok(answer) => Err(FetchError::Useless(format!("status {}", answer.status))),
        Err(error @ (OutboundError::Connect(_) | OutboundError::Timeout(_))) => {
            Err(FetchError::NoContact(error.to_string()))
        }
        Err(error @ (OutboundError::TooLarge(_) | OutboundError::Invalid(_))) => {
            Err(FetchError::Useless(error.to_string()))
        }
    }
}
