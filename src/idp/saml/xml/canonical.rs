//! Exclusive XML Canonicalization 1.0 without comments (W3C, 18 July 2002) of one element with all that is below it.

use super::{Node, NodeId};

/// The canonical octets of `element`, leaving out the subtree `without` (the enveloped signature), with `prefixes` of the
/// `InclusiveNamespaces PrefixList` treated as inclusive canonicalization does (`#default` is the empty prefix).
pub fn exclusive(_element: Node<'_, '_>, _without: Option<NodeId>, _prefixes: &[&str]) -> Vec<u8> {
    todo!()
}
