//! Canonical form is its own canonical form, says what the document said, and stays in proportion to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::idp::saml::xml::{Limits, Node, canonical, parse};

/// The limits of messages for bytes, but with comments and CDATA, which canonical form leaves out and resolves.
const LIMITS: Limits = Limits {
    comments: true,
    ..Limits::MESSAGE
};

/// Declarations that were above may stand in a tag now, and empty tags are two.
const CANONICAL: Limits = Limits {
    bytes: usize::MAX,
    depth: LIMITS.depth,
    attributes: usize::MAX,
    namespaces: usize::MAX,
    uri: usize::MAX,
    nodes: usize::MAX / 8,
    comments: false,
};

fuzz_target!(|data: &[u8]| {
    let Ok(document) = parse(data, &LIMITS) else {
        return;
    };
    let elements: Vec<_> = document.descendants().filter(Node::is_element).collect();
    let last = elements.last().copied();
    for element in [Some(document.root_element()), last].into_iter().flatten() {
        for prefixes in [&[][..], &["a", "b", "#default"]] {
            let octets = canonical::exclusive(element, None, prefixes);
            assert!(octets.len() < 40 * data.len() + 20_000);
            let again = parse(&octets, &CANONICAL).expect("canonical form parses");
            assert_eq!(
                canonical::exclusive(again.root_element(), None, prefixes),
                octets
            );
            assert_eq!(names(element), names(again.root_element()));
        }
    }
    if let Some(hole) = last {
        let octets = canonical::exclusive(document.root_element(), Some(hole.id()), &[]);
        let gone = count(&octets) + hole.descendants().filter(Node::is_element).count();
        assert_eq!(gone, elements.len());
    }
});

fn count(octets: &[u8]) -> usize {
    if octets.is_empty() {
        return 0;
    }
    let document = parse(octets, &CANONICAL).expect("canonical form parses");
    document.descendants().filter(Node::is_element).count()
}

type Names = Vec<(String, String, Vec<(String, String, String)>)>;

/// Expanded names with attributes and their values, in document order.
fn names(element: Node<'_, '_>) -> Names {
    element
        .descendants()
        .filter(Node::is_element)
        .map(|node| {
            let mut attributes: Vec<_> = node
                .attributes()
                .map(|a| {
                    (
                        a.namespace().unwrap_or_default().to_owned(),
                        a.name().to_owned(),
                        a.value().to_owned(),
                    )
                })
                .collect();
            attributes.sort();
            let name = node.tag_name();
            (
                name.namespace().unwrap_or_default().to_owned(),
                name.name().to_owned(),
                attributes,
            )
        })
        .collect()
}
