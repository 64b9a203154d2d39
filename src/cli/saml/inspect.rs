//! `usher saml inspect`: verifies a captured response offline, exactly as a running usher would, and says which step fails.

mod capture;
mod look;
mod print;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;

use self::look::{Given, look};
use crate::cli::{ConfigFile, say_error};
use crate::config::{self, Config, Idp, IdpProtocol, SamlConfig, SamlSource, StoreConfig};
use crate::idp::saml::metadata::{IdpMetadata, Source};
use crate::keys::saml::SpKeys;
use crate::keys::seal_ring;
use crate::metrics::Metrics;
use crate::outbound::{self, Outbound};
use crate::store::Store;

/// Exit code where nothing can be verified: the file, the config or the metadata cannot be used.
const UNUSABLE: u8 = 2;
/// Bytes of a captured file.
const LIMIT: u64 = 4 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The response: its XML, base64, a posted form, a query or a URL. `-` reads standard input.
    #[arg(value_name = "FILE")]
    capture: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// The identity provider in the config; not needed where only one speaks SAML.
    #[arg(long, value_name = "ID")]
    idp: Option<String>,
    /// The time to verify at, such as 2026-01-31T10:00:00Z. By default the response's own IssueInstant.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The request that it must answer. By default whichever it says that it answers.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// The URL that it was posted to. By default its Destination, if that is one of ours.
    #[arg(long, value_name = "URL")]
    acs: Option<String>,
    /// The identity provider's metadata, instead of what the config names.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
}

/// Exit 0: it is verified, 1: a check failed, 2: it cannot be looked at.
pub(super) async fn inspect(options: &Options) -> ExitCode {
    match inspected(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say_error(&why);
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Prints the result; says whether the response is verified.
async fn inspected(options: &Options) -> Result<bool, String> {
    let bytes = contents(&options.capture)?;
    let captured =
        capture::read(&bytes).map_err(|why| format!("{}: {why}", options.capture.display()))?;
    // Secrets are needed for what is encrypted alone.
    let config = config::load_offline(&options.file.config)
        .map_err(|problems| problems.to_string())?
        .config;
    let (idp, saml) = of_config(&config, options.idp.as_deref())?;
    let now = Timestamp::now();
    let metadata = metadata(idp, saml, options.metadata.as_deref(), now).await?;
    let keys = keys(&config, &captured.xml, now).await?;
    let seen = look(&Given {
        captured: &captured,
        config: &config,
        idp,
        saml,
        metadata: &metadata,
        keys: &keys,
        at: options.at,
        request_id: options.request_id.as_deref(),
        acs: options.acs.as_deref(),
        now,
    });
    print::print(&seen, options.json);
    Ok(seen.outcome.is_ok())
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    let shown = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(shown)?;
        file.take(LIMIT).read_to_end(&mut bytes)
    };
    read.map_err(shown)?;
    Ok(bytes)
}

/// The IdP of that id, or the only one that speaks SAML.
fn of_config<'a>(
    config: &'a Config,
    wanted: Option<&str>,
) -> Result<(&'a Idp, &'a SamlConfig), String> {
    let of_saml: Vec<(&Idp, &SamlConfig)> = config
        .idps
        .iter()
        .filter_map(|idp| match &idp.protocol {
            IdpProtocol::Saml(saml) => Some((&**idp, &**saml)),
            IdpProtocol::Oidc(_) => None,
        })
        .collect();
    let ids: Vec<_> = of_saml.iter().map(|(idp, _)| idp.id.as_str()).collect();
    let ids = ids.join(", ");
    match (wanted, of_saml.as_slice()) {
        (_, []) => Err("no identity provider in the config speaks SAML".to_owned()),
        (None, [one]) => Ok(*one),
        (None, _) => Err(format!("name the identity provider with --idp: {ids}")),
        (Some(id), all) => all
            .iter()
            .find(|(idp, _)| idp.id.as_str() == id)
            .copied()
            .ok_or_else(|| format!("no SAML identity provider has the id {id:?}: there is {ids}")),
    }
}

/// What the IdP publishes: of that file, else as the config says. Only a `metadata_url` is fetched.
async fn metadata(
    idp: &Idp,
    saml: &SamlConfig,
    file: Option<&Path>,
    now: Timestamp,
) -> Result<Arc<IdpMetadata>, String> {
    let mut saml = saml.clone();
    if let Some(path) = file {
        let entity_id = match saml.source {
            SamlSource::Url { entity_id, .. } | SamlSource::File { entity_id, .. } => entity_id,
            SamlSource::Given { entity_id, .. } => Some(entity_id),
        };
        saml.source = SamlSource::File {
            path: path.to_owned(),
            entity_id,
        };
    }
    let outbound = outbound::extra_roots()
        .and_then(|roots| Outbound::new(&roots))
        .map_err(|error| error.to_string())?;
    let metrics = Arc::new(Metrics::default());
    let source = Source::new(&idp.id, &saml, outbound, metrics, now)
        .map_err(|why| format!("the metadata of {}: {why}", idp.id))?;
    source.current(now).await.map_err(|error| {
        format!(
            "the metadata of {}: {error}; --metadata reads it from a file",
            idp.id
        )
    })
}

/// The keys of the config or of the store. Where nothing is encrypted any key will do, and the store is left alone.
async fn keys(config: &Config, xml: &[u8], now: Timestamp) -> Result<SpKeys, String> {
    let shown =
        |error: &dyn std::fmt::Display| format!("the keys of the service provider: {error}");
    let encrypted = memchr::memmem::find(xml, b"EncryptedData").is_some();
    let kept = match &config.store {
        // A store that does not exist yet has no key, and is not made here.
        StoreConfig::Sqlite(path) => path.exists(),
        StoreConfig::Memory => false,
    };
    let store = if encrypted && kept && config.saml_keys.is_empty() {
        &config.store
    } else {
        &StoreConfig::Memory
    };
    let store = Store::open(store).await.map_err(|error| shown(&error))?;
    let ring = seal_ring(&store, &config.seal_keys).await;
    let ring = ring.map_err(|error| shown(&error))?;
    let host = &config.public_url.host;
    // Keys of the config that are not at hand are as good as none.
    match SpKeys::load(&store, &ring, &config.saml_keys, host, now).await {
        Err(_) if !encrypted => SpKeys::load(&store, &ring, &[], host, now).await,
        loaded => loaded,
    }
    .map_err(|error| shown(&error))
}

#[cfg(test)]
mod tests;
