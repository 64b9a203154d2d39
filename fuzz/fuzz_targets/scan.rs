//! Whatever the bytes are, scan and parser end soon and agree: what is parsed has the shape that the scan bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::idp::saml::xml::{Limits, children, parse, scan, text};

fuzz_target!(|data: &[u8]| {
    for limits in [Limits::MESSAGE, Limits::METADATA] {
        let scanned = scan::scan(data, &limits);
        let parsed = parse(data, &limits);
        let Ok(document) = parsed else { continue };
        assert_eq!(scanned, Ok(document.input_text()));
        let mut deepest = 0;
        for node in document.descendants() {
            deepest = deepest.max(node.ancestors().filter(|above| above.is_element()).count());
            assert!(node.attributes().len() <= limits.attributes);
            assert!(node.namespaces().len() <= limits.namespaces);
            assert!(!node.is_pi());
            assert!(limits.comments || !node.is_comment());
            let _ = (children(node), text(node));
        }
        assert!(deepest <= limits.depth);
    }
});
