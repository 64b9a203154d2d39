//! Files and what the config gives, and what becomes known of certificates.

use super::*;

#[tokio::test]
async fn a_changed_file_is_read_again_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("idp.xml");
    let source = || {
        new(SamlSource::File {
            path: path.clone(),
            entity_id: None,
        })
    };
    assert!(source().unwrap_err().contains("idp.xml"));
    std::fs::write(&path, metadata("", &[])).unwrap();
    assert!(source().unwrap_err().contains("no signing certificate"));
    std::fs::write(&path, metadata("", &[FIRST])).unwrap();
    let source = source().unwrap();
    let now = at("01T00:00:00");
    assert_eq!(
        keys(&source.current(now).await.unwrap()),
        certificates(&[FIRST])
    );
    std::fs::write(&path, metadata("", &[SECOND])).unwrap();
    source.current(at("01T00:00:59")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(keys(&source.known().unwrap()), certificates(&[FIRST]));
    source.tend(at("01T00:01:00"));
    until(|| keys(&source.known().unwrap()) == certificates(&[SECOND])).await;
    std::fs::write(&path, "<half").unwrap();
    source.tend(at("01T00:02:01"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        keys(&source.current(at("01T00:02:02")).await.unwrap()),
        certificates(&[SECOND])
    );
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(Duration::from_millis(2000)).await;
    source.tend(at("01T00:03:02"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    source.current(at("01T00:03:03")).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("idp.xml");
    std::fs::File::create(&path)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let why = new(SamlSource::File {
        path,
        entity_id: None,
    })
    .unwrap_err();
    assert!(why.contains("16777216"), "{why}");
}

fn given(sso_url: &str, slo_url: Option<&str>, keys: &[TestKey]) -> Result<Source, String> {
    new(SamlSource::Given {
        entity_id: "https://idp.example".to_owned(),
        sso_url: Url::parse(sso_url).unwrap(),
        slo_url: slo_url.map(|url| Url::parse(url).unwrap()),
        certificates: certificates(keys),
    })
}

#[tokio::test]
async fn what_the_config_gives_is_metadata_by_the_configured_binding() {
    let slo = Some("https://idp.example/slo");
    let source = given("https://idp.example/sso", slo, &[FIRST, SECOND]).unwrap();
    let metadata = source.current(at("01T00:00:00")).await.unwrap();
    assert_eq!(metadata.sso[0].binding, Binding::Post);
    assert_eq!(metadata.slo[0].location.as_str(), "https://idp.example/slo");
    assert_eq!(keys(&metadata), certificates(&[FIRST, SECOND]));
    assert!(
        source
            .refresh_for_unknown_key(at("01T01:00:00"))
            .await
            .is_none()
    );
    source.tend(at("09T00:00:00"));
    source.current(at("09T00:00:00")).await.unwrap();
    given("http://idp.example/sso", None, &[FIRST]).unwrap_err();
    given(
        "https://idp.example/sso",
        Some("http://idp.example/slo"),
        &[FIRST],
    )
    .unwrap_err();
    given("https://idp.example/sso", None, &[]).unwrap_err();
}

#[tokio::test]
async fn the_ends_of_certificates_are_in_the_metrics() {
    let (url, served) = server(metadata("", &[FIRST])).await;
    let metrics: Arc<Metrics> = Arc::default();
    let source = Source::new(
        &IdpId::new("globex"),
        &config(SamlSource::Url {
            url,
            entity_id: None,
        }),
        Outbound::new(&[]).unwrap(),
        Arc::clone(&metrics),
        at("01T00:00:00"),
    )
    .unwrap();
    let printed = || {
        let mut registry = prometheus_client::registry::Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    let line = |key: TestKey| {
        let certificate = Certificate::from_text(key.certificate_pem()).unwrap();
        format!(
            "usher_saml_idp_certificate_expires_timestamp_seconds{{idp=\"globex\",fingerprint=\"{}\"}} {}\n",
            certificate.fingerprint(),
            certificate.not_after().as_second()
        )
    };
    assert!(!printed().contains(&line(FIRST)));
    source.current(at("01T00:00:00")).await.unwrap();
    assert!(printed().contains(&line(FIRST)), "{}", printed());
    served.set(200, metadata("", &[SECOND]));
    source.tend(at("02T00:00:00"));
    until(|| printed().contains(&line(SECOND))).await;
    assert!(!printed().contains(&line(FIRST)), "{}", printed());
    assert!(
        printed().contains("usher_saml_metadata_fetches_total{of=\"globex\",outcome=\"ok\"} 2")
    );
}

#[test]
fn a_certificate_is_warned_of_thirty_days_before_its_end() {
    let certificate = Certificate::from_text(FIRST.certificate_pem()).unwrap();
    let end = certificate.not_after();
    let day = |days: i64| {
        end.checked_sub(SignedDuration::from_hours(24 * days))
            .unwrap()
    };
    let source = given("https://idp.example/sso", None, &[FIRST]).unwrap();
    let metadata = source.known().unwrap();
    assert!(expiry::certificates(&metadata, day(31)).is_empty());
    let said = |now| expiry::certificates(&metadata, now).join("\n");
    assert!(said(day(30)).contains("ends at"), "{}", said(day(30)));
    assert!(said(day(30)).contains(&certificate.fingerprint()));
    assert!(said(day(1)).contains("nobody can sign in then"));
    assert!(said(end).contains("has ended"));
}
