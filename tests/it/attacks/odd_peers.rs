//! Peers that do not speak HTTP as they should: silent addresses and bad TLS.

/// An address where connections are never accepted nor refused: the queue is full.
pub(super) fn blackhole() -> (std::net::SocketAddr, Box<dyn std::any::Any + Send>) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _pending = filler.connect(&address.into());
        held.push(filler);
    }
    (address, Box::new(held))
}

pub(super) fn tls_fault(words: &str) -> Option<rustls::ServerConfig> {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    match words {
        "self-signed" | "client cert refused" => {}
        "expired" => {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        "wrong name" => {
            params = rcgen::CertificateParams::new(vec!["other.test".to_owned()]).unwrap();
        }
        _ => return None,
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Some(
        config
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap(),
    )
}

pub(super) async fn one_answer_server(
    bytes: Vec<u8>,
    open: &mut Vec<Box<dyn std::any::Any + Send>>,
) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0_u8; 4096];
            let _read = stream.read(&mut hello).await;
            let _written = stream.write_all(&bytes).await;
        }
    });
    open.push(Box::new(task));
    address
}
