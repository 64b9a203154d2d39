//! The listener's certificate: read again when its files change, so that renewing it needs no restart.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::ServeError;
use crate::config::TlsFiles;

/// A certificate in use, with the files that it came from.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsFiles,
    current: Arc<Current>,
    seen: Stamp,
}

/// What tells that a file changed: a renewal may keep the length, and a symlink swap the path.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The certificate that handshakes get.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// Where they cannot be read or do not belong together.
    pub(super) fn load(files: TlsFiles) -> Result<Self, ServeError> {
        let seen = stamp(&files);
        let key = read(&files).map_err(ServeError::Certificate)?;
        Ok(Self {
            current: Arc::new(Current(ArcSwap::from_pointee(key))),
            files,
            seen,
        })
    }

    /// An acceptor that always uses the present certificate: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Where the TLS versions are not available.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, ServeError> {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| ServeError::Certificate(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    #[cfg(test)]
    pub(super) fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.current.0.load().cert.first().cloned()
    }

    /// Reads the files again if they changed. What cannot be used is reported, and the former certificate stays.
    pub(super) fn reload_if_changed(&mut self) {
        let now = stamp(&self.files);
        if now == self.seen {
            return;
        }
        self.seen = now;
        match read(&self.files) {
            Ok(key) => {
                self.current.0.store(Arc::new(key));
                tracing::info!("the certificate was reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the former one stays");
            }
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, String> {
    let told = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| told(&files.certificate, &error))?;
    if chain.is_empty() {
        return Err(told(&files.certificate, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| told(&files.key, &error))?;
    // Fails where the key is not that of the certificate.
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| told(&files.key, &error))
}
