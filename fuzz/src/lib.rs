//! What the targets verify with: fixed keys, names and a fixed time, those that `cargo run --example fuzz_seeds` made the
//! seeds with.

#![forbid(unsafe_code)]
#![allow(missing_docs)]

pub mod fixture;

use std::collections::HashSet;
use std::path::Path;
use std::sync::LazyLock;

use usher::certificate::{Certificate, key_pair};
use usher::demo::saml::{Digest, SignatureAlgorithm, SignatureOptions, TestKey};
use usher::idp::saml::signature::{self, SignedOctets};
use usher::idp::saml::xml::{Limits, Node, optional_attribute, parse};
use usher::keys::saml::{SpKey, SpKeys};
use usher::secret::Secret;

/// What the IdP signs with: an RSA key and one on P-256.
pub static CERTIFICATES: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    [TestKey::IDP, TestKey::P256]
        .map(|key| Certificate::from_text(key.certificate_pem()).unwrap())
        .into()
});

/// Our keys.
pub static SP_KEYS: LazyLock<SpKeys> = LazyLock::new(|| {
    let certificate = Certificate::from_text(TestKey::SP.certificate_pem()).unwrap();
    let pair = key_pair(&certificate, &Secret::new(TestKey::SP.key_pem())).unwrap();
    SpKeys::of(vec![SpKey::new(certificate, pair).unwrap()]).unwrap()
});

/// What was signed when the seeds were made: nothing else may ever verify without a signature made here.
pub static KNOWN: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let folders = ["signature", "response"].map(|name| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name)
    });
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let known: HashSet<_> = files
        .flat_map(|file| verified(&std::fs::read(file.unwrap().path()).unwrap()))
        .map(|octets| octets.as_bytes().to_vec())
        .collect();
    assert!(known.len() > 4, "the seeds do not verify");
    known
});

/// Everything in a document whose signature verifies, of the first few signatures.
pub fn verified(xml: &[u8]) -> Vec<SignedOctets> {
    let Ok(document) = parse(xml, &Limits::MESSAGE) else {
        return Vec::new();
    };
    document
        .descendants()
        .filter(Node::is_element)
        .filter_map(|element| Some((element, signature::of(element).ok()??)))
        .take(4)
        .filter_map(|(element, signature)| {
            signature::verify_enveloped(element, signature, &CERTIFICATES, fixture::now()).ok()
        })
        .collect()
}

/// The `ID` of the root of a document in canonical form, and the signature that the IdP's P-256 key makes of it.
pub fn signed(canonical: &str) -> Option<String> {
    let document = parse(canonical.as_bytes(), &Limits::MESSAGE).ok()?;
    let id = optional_attribute(document.root_element(), "ID")?;
    SignatureOptions::of(TestKey::P256)
        .by(SignatureAlgorithm::EcdsaSha256, Digest::Sha256)
        .sign(id, canonical)
        .ok()
}

/// The canonical form of a document.
pub fn canonical(xml: &[u8]) -> Option<String> {
    let document = parse(xml, &Limits::MESSAGE).ok()?;
    let octets = usher::idp::saml::xml::canonical::exclusive(document.root_element(), None, &[]);
    Some(String::from_utf8(octets).expect("canonical form is UTF-8"))
}
