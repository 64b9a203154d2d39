//! What is on this machine: certificate files, keys, the store's folder.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::Lines;
use crate::certificate;
use crate::config::{Config, StoreConfig, TlsFiles};

/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// The listener's certificate: readable, belongs to its key, in its time, for every host.
pub(super) fn tls(config: &Config, now: Timestamp, lines: &mut Lines) {
    let Some(files) = &config.listen.tls else {
        return;
    };
    let leaf = match pair(files) {
        Ok(leaf) => leaf,
        Err(why) => return lines.fail("tls", why),
    };
    let file = files.certificate.display();
    match certificate::validity(&leaf) {
        None => lines.warn("tls", format!("{file}: its dates cannot be read")),
        Some((from, _)) if now < from => {
            lines.fail("tls", format!("{file} is valid from {from} only"));
        }
        Some((_, until)) if now > until => {
            lines.fail("tls", format!("{file} has expired at {until}"));
        }
        Some((_, until)) if until.duration_since(now).unsigned_abs() < SOON => {
            lines.warn("tls", format!("{file} expires soon, at {until}"));
        }
        Some((_, until)) => lines.fine(
            "tls",
            format!("{file} belongs to its key and is valid until {until}"),
        ),
    }
    hosts(config, &leaf, lines);
}

fn pair(files: &TlsFiles) -> Result<CertificateDer<'static>, String> {
    let shown = files.certificate.display();
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let leaf = chain
        .first()
        .cloned()
        .ok_or_else(|| format!("{shown} holds no certificate in PEM"))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| format!("{} cannot be read: {error}", files.key.display()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let key = files.key.display();
        format!("{shown} and {key} do not go together: {error}")
    })?;
    Ok(leaf)
}

fn hosts(config: &Config, leaf: &CertificateDer<'_>, lines: &mut Lines) {
    let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
        return;
    };
    for site in &config.sites {
        let host = &site.public_url.host;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let named = name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        if !named {
            lines.warn("tls", format!("the certificate is not for {host}"));
        }
    }
}

/// Where the keys of sealed cookies come from.
pub(super) fn keys(config: &Config, lines: &mut Lines) {
    match (config.seal_keys.len(), &config.store) {
        (0, StoreConfig::Memory) => lines.warn(
            "cookie key",
            "made anew at each start, since the store is memory",
        ),
        (0, StoreConfig::Sqlite(_)) => lines.fine("cookie key", "made by usher, kept in the store"),
        (given, _) => lines.fine("cookie key", format!("{given} given, the first one seals")),
    }
}

/// Whether the store's file can be there. It is not opened: a running usher may be using it.
pub(super) fn store(config: &Config, lines: &mut Lines) {
    let path = match &config.store {
        StoreConfig::Memory => {
            return lines.warn("store", "memory: a restart signs everybody out");
        }
        StoreConfig::Sqlite(path) => path,
    };
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let writable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|metadata| !metadata.permissions().readonly())
    };
    if path.is_dir() {
        lines.fail("store", format!("{shown} is a folder, not a file"));
    } else if !folder.is_dir() {
        lines.fail(
            "store",
            format!("the folder {} is not there", folder.display()),
        );
    } else if !writable(folder) || (path.exists() && !writable(path)) {
        lines.fail("store", format!("{shown} cannot be written"));
    } else if path.exists() {
        lines.fine("store", format!("{shown} is there"));
    } else {
        lines.fine("store", format!("{shown} will be made at the first start"));
    }
}
