//! A server for the metadata of a test IdP. Its other pages are the browser's: a test reads the request that usher sends there
//! and posts the answer itself.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::TestMetadata;
use crate::demo::serve;

/// What goes wrong when metadata is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetadataFault {
    /// Nothing.
    #[default]
    Nothing,
    /// This status and no metadata.
    Status(u16),
    /// So many MiB of spaces before the metadata.
    Large(usize),
    /// This text instead.
    Text(String),
}

#[derive(Debug)]
struct Shared {
    metadata: Mutex<TestMetadata>,
    fault: Mutex<MetadataFault>,
    asked: AtomicU32,
}

/// A running server. It ends when this value is dropped.
#[derive(Debug)]
pub struct TestSamlIdp {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: AbortHandle,
}

impl Drop for TestSamlIdp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl TestSamlIdp {
    /// Listens and serves on the caller's runtime. Port 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let shared = Arc::new(Shared {
            metadata: Mutex::new(TestMetadata::new(&format!("{url}/metadata"), &url)),
            fault: Mutex::default(),
            asked: AtomicU32::new(0),
        });
        let router = Router::new()
            .route("/metadata", get(metadata))
            .with_state(Arc::clone(&shared));
        Ok(Self {
            shared,
            address,
            server: serve::spawn(listener, router),
        })
    }

    /// Its entity ID, which is the URL of its metadata.
    pub fn entity_id(&self) -> String {
        format!("http://{}/metadata", self.address)
    }

    /// Where it takes requests.
    pub fn sso_url(&self) -> String {
        format!("http://{}/sso", self.address)
    }

    /// Where it takes logout messages.
    pub fn slo_url(&self) -> String {
        format!("http://{}/slo", self.address)
    }

    /// What its metadata says now.
    pub fn metadata(&self) -> TestMetadata {
        let metadata = self.shared.metadata.lock();
        metadata.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes its metadata.
    pub fn set_metadata(&self, metadata: TestMetadata) {
        let mut known = self
            .shared
            .metadata
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = metadata;
    }

    /// What goes wrong from now on.
    pub fn set_fault(&self, fault: MetadataFault) {
        *self
            .shared
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How often metadata was asked for.
    pub fn asked(&self) -> u32 {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

async fn metadata(State(shared): State<Arc<Shared>>) -> Response {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let known = shared
        .metadata
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .to_xml();
    let Ok(xml) = known else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let fault = shared
        .fault
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let kind = [(header::CONTENT_TYPE, "application/samlmetadata+xml")];
    match fault {
        MetadataFault::Nothing => (kind, xml).into_response(),
        MetadataFault::Status(status) => {
            let status = StatusCode::from_u16(status);
            status
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
                .into_response()
        }
        MetadataFault::Large(mebibytes) => {
            let filling = Bytes::from(vec![b' '; 1 << 20]);
            let chunks = std::iter::repeat_n(filling, mebibytes).chain([Bytes::from(xml)]);
            let chunks = chunks.map(Ok::<_, std::convert::Infallible>);
            (kind, Body::from_stream(stream::iter(chunks))).into_response()
        }
        MetadataFault::Text(text) => (kind, text).into_response(),
    }
}
