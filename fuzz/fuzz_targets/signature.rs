//! Nothing verifies but what was signed. Input that begins with `S` is signed here first, so that what comes after a good
//! `SignedInfo` is reached too: then its canonical form verifies, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::demo::saml::insert_after_issuer;
use usher_fuzz::{KNOWN, canonical, signed, verified};

fuzz_target!(|data: &[u8]| {
    let Some(xml) = data.strip_prefix(b"S") else {
        for octets in verified(data) {
            assert!(KNOWN.contains(octets.as_bytes()), "a forgery");
        }
        return;
    };
    let Some(plain) = canonical(xml) else { return };
    let Some(signature) = signed(&plain) else {
        return;
    };
    let message = insert_after_issuer(&plain, &signature);
    for octets in verified(message.as_bytes()) {
        let octets = octets.as_bytes();
        assert!(
            octets == plain.as_bytes() || KNOWN.contains(octets),
            "a forgery"
        );
    }
});
