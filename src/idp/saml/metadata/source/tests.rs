#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::certificate::Certificate;
use crate::config::{SamlAttributes, SamlBinding, SamlPreset, SamlSource};
use crate::demo::saml::TestKey;
use crate::idp::saml::metadata::idp::Binding;

const FIRST: TestKey = TestKey::IDP;
const SECOND: TestKey = TestKey::IDP_NEXT;

/// What the IdP's server answers now, and how often it was asked.
#[derive(Debug)]
struct Served {
    status: Mutex<u16>,
    body: Mutex<Vec<u8>>,
    asked: AtomicUsize,
    delay: Mutex<Duration>,
}

impl Served {
    fn set(&self, status: u16, body: impl Into<Vec<u8>>) {
        *self.status.lock().unwrap() = status;
        *self.body.lock().unwrap() = body.into();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn server(body: String) -> (Url, Arc<Served>) {
    // Another test may have installed it: one is as good as the other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let served = Arc::new(Served {
        status: Mutex::new(200),
        body: Mutex::new(body.into_bytes()),
        asked: AtomicUsize::new(0),
        delay: Mutex::new(Duration::ZERO),
    });
    let shared = Arc::clone(&served);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let served = Arc::clone(&shared);
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                served.asked.fetch_add(1, Ordering::SeqCst);
                let delay = *served.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                let status = *served.status.lock().unwrap();
                let body = served.body.lock().unwrap().clone();
                let head = format!(
                    "HTTP/1.1 {status} x\r\nlocation: https://elsewhere.example/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            });
        }
    });
    (
        Url::parse(&format!("http://{address}/metadata")).unwrap(),
        served,
    )
}

fn metadata(attributes: &str, certificates: &[TestKey]) -> String {
    let keys: String = certificates
        .iter()
        .map(|key| {
            let base64 = key.certificate_base64();
            format!("<KeyDescriptor><KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data><X509Certificate>{base64}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>")
        })
        .collect();
    format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"https://idp.example\" {attributes}><IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\">{keys}<SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"https://idp.example/sso\"/></IDPSSODescriptor></EntityDescriptor>"
    )
}

fn config(source: SamlSource) -> SamlConfig {
    SamlConfig {
        source,
        metadata_certificates: Vec::new(),
        binding: SamlBinding::Post,
        sign_requests: true,
        name_id_format: None,
        authn_context: Vec::new(),
        force_authn: false,
        max_age: std::time::Duration::from_secs(86_400),
        is_passive: false,
        idp_initiated: false,
        attributes: SamlAttributes {
            preset: SamlPreset::Usual,
            email: None,
            name: None,
            given_name: None,
            family_name: None,
            groups: None,
            groups_separator: None,
            username: None,
            subject: None,
        },
    }
}

fn at(text: &str) -> Timestamp {
    format!("2027-01-{text}Z").parse().unwrap()
}

fn new(source: SamlSource) -> Result<Source, String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Source::new(
        &IdpId::new("globex"),
        &config(source),
        Outbound::new(&[]).unwrap(),
        Arc::default(),
        at("01T00:00:00"),
    )
}

fn of_url(url: &Url) -> Source {
    new(SamlSource::Url {
        url: url.clone(),
        entity_id: None,
    })
    .unwrap()
}

fn keys(metadata: &IdpMetadata) -> Vec<Certificate> {
    metadata.certificates.clone()
}

fn certificates(keys: &[TestKey]) -> Vec<Certificate> {
    keys.iter()
        .map(|key| Certificate::from_text(key.certificate_pem()).unwrap())
        .collect()
}

/// Waits until what was begun behind the scenes is done.
async fn until(what: impl Fn() -> bool) {
    for _ in 0..200 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come");
}

async fn unavailable(source: &Source, now: Timestamp) -> String {
    let error = source.current(now).await.unwrap_err();
    let SamlError::Unavailable(why) = error else {
        panic!("{error}");
    };
    why
}

#[tokio::test]
async fn nothing_is_fetched_before_it_is_needed_and_once_for_all_who_come() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    *served.delay.lock().unwrap() = Duration::from_millis(50);
    let source = of_url(&url);
    assert!(source.known().is_none() && served.asked() == 0);
    let now = at("01T00:00:00");
    for found in futures_util::future::join_all((0..20).map(|_| source.current(now))).await {
        assert_eq!(found.unwrap().entity_id, "https://idp.example");
    }
    source.current(at("01T00:59:59")).await.unwrap();
    assert_eq!(served.asked(), 1);
    assert!(source.known().is_some());
}

#[tokio::test]
async fn a_refresh_makes_nobody_wait() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    let source = of_url(&url);
    source.current(at("01T00:00:00")).await.unwrap();
    served.set(200, metadata("", &[FIRST, SECOND]));
    *served.delay.lock().unwrap() = Duration::from_millis(200);
    let now = at("01T01:00:00");
    // The answer comes 200 ms later: who gets the old keys has not waited.
    let old = source.current(now).await.unwrap();
    assert_eq!(keys(&old), certificates(&[FIRST]));
    let both = certificates(&[FIRST, SECOND]);
    until(|| keys(&source.known().unwrap()) == both).await;
    assert_eq!(served.asked(), 2);
}

#[tokio::test]
async fn cache_duration_counts_within_bounds() {
    for (duration, early, late) in [
        ("PT20M", "01T00:19:59", "01T00:20:00"),
        ("PT1S", "01T00:04:59", "01T00:05:00"),
        ("P1Y", "07T23:59:59", "08T00:00:00"),
    ] {
        let attribute = format!("cacheDuration=\"{duration}\"");
        let (url, served) = server(metadata(&attribute, &[FIRST])).await;
        let source = of_url(&url);
        source.current(at("01T00:00:00")).await.unwrap();
        source.current(at(early)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(served.asked(), 1, "{duration}");
        source.tend(at(late));
        until(|| served.asked() == 2).await;
    }
}

#[tokio::test]
async fn a_failed_refresh_keeps_the_last_good_keys() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    let source = of_url(&url);
    source.current(at("01T00:00:00")).await.unwrap();
    let html = "<!DOCTYPE html><html>maintenance</html>".to_owned();
    let no_keys = metadata("", &[]);
    let other = metadata("", &[SECOND]).replace(
        "https://idp.example\"",
        "https://idp.example\" validUntil=\"2026-01-01T00:00:00Z\"",
    );
    let answers = [
        (500, metadata("", &[SECOND])),
        (302, String::new()),
        (200, html),
        (200, no_keys),
        (200, other),
    ];
    for (hour, (status, body)) in (1..).zip(answers) {
        served.set(status, body);
        let now = at(&format!("01T{hour:02}:00:00"));
        let before = served.asked();
        assert_eq!(
            keys(&source.current(now).await.unwrap()),
            certificates(&[FIRST])
        );
        until(|| served.asked() == before + 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(keys(&source.known().unwrap()), certificates(&[FIRST]));
        // A failed one is not tried again with every sign-in.
        source.current(now).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(served.asked(), before + 1);
        // What failed is remembered for two seconds.
        tokio::time::sleep(Duration::from_millis(2000)).await;
    }
}

#[tokio::test]
async fn what_is_over_counts_no_more_even_if_there_is_nothing_newer() {
    let (url, served) = server(metadata("validUntil=\"2027-01-02T00:00:00Z\"", &[FIRST])).await;
    let source = of_url(&url);
    source.current(at("01T00:00:00")).await.unwrap();
    served.set(503, "");
    source.current(at("01T23:59:59")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let why = unavailable(&source, at("02T00:00:00")).await;
    assert!(why.contains("503"), "{why}");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    served.set(200, metadata("", &[FIRST]));
    source.current(at("02T00:00:01")).await.unwrap();
}

#[tokio::test]
async fn it_is_refreshed_well_before_it_is_over() {
    let (url, served) = server(metadata("validUntil=\"2027-01-01T00:30:00Z\"", &[FIRST])).await;
    let source = of_url(&url);
    source.current(at("01T00:00:00")).await.unwrap();
    source.tend(at("01T00:14:59"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(served.asked(), 1);
    source.tend(at("01T00:16:00"));
    until(|| served.asked() == 2).await;
}

#[tokio::test]
async fn without_any_metadata_the_idp_is_not_available() {
    let (url, served) = server(metadata("", &[])).await;
    let now = at("01T00:00:00");
    let why = unavailable(&of_url(&url), now).await;
    assert!(
        why.contains("no signing certificate") && why.contains(url.as_str()),
        "{why}"
    );
    served.set(301, "");
    let why = unavailable(&of_url(&url), now).await;
    assert!(why.contains("https://elsewhere.example/"), "{why}");
    let nowhere = Url::parse("http://127.0.0.1:9/metadata").unwrap();
    unavailable(&of_url(&nowhere), now).await;
}

#[tokio::test]
async fn a_document_of_50_mib_is_refused() {
    let (url, served) = server(String::new()).await;
    served.set(200, vec![b' '; 50 * 1024 * 1024]);
    let why = unavailable(&of_url(&url), at("01T00:00:00")).await;
    assert!(why.contains("larger than"), "{why}");
}

#[tokio::test]
async fn an_unknown_key_leads_to_one_fetch_and_then_to_none_for_a_while() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    let source = of_url(&url);
    source.current(at("01T00:00:00")).await.unwrap();
    // The keys are the same: there is nothing newer to try with.
    assert!(
        source
            .refresh_for_unknown_key(at("01T00:10:00"))
            .await
            .is_none()
    );
    assert_eq!(served.asked(), 2);
    served.set(200, metadata("", &[SECOND]));
    assert!(
        source
            .refresh_for_unknown_key(at("01T00:10:29"))
            .await
            .is_none()
    );
    assert_eq!(served.asked(), 2);
    *served.delay.lock().unwrap() = Duration::from_millis(50);
    let now = at("01T00:10:31");
    let callers = (0..10).map(|_| source.refresh_for_unknown_key(now));
    for found in futures_util::future::join_all(callers).await {
        assert_eq!(keys(&found.unwrap()), certificates(&[SECOND]));
    }
    assert_eq!(served.asked(), 3);
    // Who verified with the old keys just before gets the new ones, too.
    assert!(
        source
            .refresh_for_unknown_key(at("01T00:10:32"))
            .await
            .is_some()
    );
    assert_eq!(served.asked(), 3);
}

#[tokio::test]
async fn a_failed_fetch_for_an_unknown_key_changes_nothing() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    let source = of_url(&url);
    source.current(at("01T00:00:00")).await.unwrap();
    served.set(500, "");
    assert!(
        source
            .refresh_for_unknown_key(at("01T00:10:00"))
            .await
            .is_none()
    );
    assert_eq!(
        keys(&source.current(at("01T00:10:00")).await.unwrap()),
        certificates(&[FIRST])
    );
}

#[tokio::test]
async fn after_a_reload_what_was_known_counts_where_the_config_is_the_same() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    let former = of_url(&url);
    former.current(at("01T00:00:00")).await.unwrap();
    served.set(500, "");
    let same = of_url(&url);
    same.take_over(&former);
    same.current(at("01T00:00:01")).await.unwrap();
    let mut stricter = config(SamlSource::Url {
        url: url.clone(),
        entity_id: None,
    });
    stricter.metadata_certificates = certificates(&[FIRST]);
    let stricter = Source::new(
        &IdpId::new("globex"),
        &stricter,
        Outbound::new(&[]).unwrap(),
        Arc::default(),
        at("01T00:00:00"),
    )
    .unwrap();
    stricter.take_over(&former);
    assert!(stricter.known().is_none());
    let another = new(SamlSource::Url {
        url,
        entity_id: Some("https://idp.example".to_owned()),
    })
    .unwrap();
    another.take_over(&former);
    assert!(another.known().is_none());
}

#[test]
fn what_is_done_once_in_a_while_is_not_done_between() {
    let last = Last::default();
    let hour = SignedDuration::from_hours(1);
    assert!(last.is_over(hour, at("02T10:00:00")));
    assert!(!last.is_over(hour, at("02T10:59:59")));
    assert!(last.is_over(hour, at("02T11:00:00")));
    // A clock that was set back.
    assert!(last.is_over(hour, at("01T00:00:00")));
}

mod kinds;
