//! The Redirect binding: what is decoded is bounded, what is signed is a part of the query as it was sent, and what usher
//! encodes is decoded to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use url::Url;
use usher::idp::saml::binding::{Outgoing, redirect};

fuzz_target!(|data: &[u8]| {
    let Ok(query) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(received) = redirect::decode(query) else {
        return;
    };
    assert!(received.xml.len() <= redirect::INFLATED);
    if let Some(signed) = &received.signed {
        let signed = std::str::from_utf8(&signed.bytes).expect("a part of the query");
        for part in signed.split('&') {
            assert!(
                query.split('&').any(|other| other == part),
                "not as it was sent"
            );
        }
    }
    let Ok(xml) = std::str::from_utf8(&received.xml) else {
        return;
    };
    let to = Url::parse("https://idp.example/slo?tenant=1").expect("a URL");
    let sent = redirect::encode(
        &to,
        received.message,
        xml,
        received.relay_state.as_deref(),
        None,
    );
    let Ok(Outgoing::Redirect(url)) = sent else {
        panic!("not encoded")
    };
    // What is encoded may be longer than what came: then it is refused.
    if let Ok(again) = redirect::decode(url.query().unwrap_or_default()) {
        assert_eq!(
            (again.message, &again.xml, &again.relay_state),
            (received.message, &received.xml, &received.relay_state)
        );
    }
});
