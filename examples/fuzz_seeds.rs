//! Writes the seeds of the fuzz targets: `cargo run --example fuzz_seeds` fills `fuzz/seeds` anew.

#[path = "../fuzz/src/fixture.rs"]
#[allow(
    unreachable_pub,
    reason = "public for the targets, in a crate of their own"
)]
mod fixture;

use std::fs;
use std::io;
use std::path::Path;

use fixture::{ACS, IDP, NAME_ID, REQUEST, SLO, SP, now};
use usher::demo::saml::{
    ContentCipher, Digest, Encryption, KeyInfo, LogoutRequest, LogoutResponse, NameId, PERSISTENT,
    Response, SignatureAlgorithm, SignatureOptions, Signed, TestKey, TestMetadata, redirect_query,
};

fn main() -> io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let responses = responses()?;
    for (name, response) in &responses {
        let xml = response.to_xml().map_err(io::Error::other)?;
        write(&seeds, "response", name, &xml)?;
        if response.encryption.is_none() {
            for target in ["scan", "c14n", "signature"] {
                write(&seeds, target, name, &xml)?;
            }
        }
        if ASSERTIONS.contains(name) {
            let assertion = response.assertion.to_xml().map_err(io::Error::other)?;
            let name = format!("{name}-assertion");
            write(&seeds, "response", &name, &format!("A{assertion}"))?;
            write(&seeds, "signature", &name, &format!("S{assertion}"))?;
        }
    }
    let metadata = TestMetadata::new(IDP, "https://idp.example/sso").to_xml();
    let metadata = metadata.map_err(io::Error::other)?;
    write(&seeds, "scan", "metadata", &metadata)?;
    write(&seeds, "c14n", "metadata", &metadata)?;
    for (name, text) in markup() {
        write(&seeds, "scan", name, text)?;
        write(&seeds, "c14n", name, text)?;
    }
    queries(&seeds)
}

/// Those whose assertions differ in more than the times.
const ASSERTIONS: [&str; 4] = [
    "assertion-signed",
    "prefix-list",
    "unsolicited",
    "encrypted-id",
];

fn write(seeds: &Path, target: &str, name: &str, text: &str) -> io::Result<()> {
    let folder = seeds.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), text)
}

/// Each of a kind; all assert the same NameID.
fn responses() -> io::Result<Vec<(&'static str, Response)>> {
    let mut good = Response::new(IDP, SP, ACS, REQUEST, now());
    good.assertion.name_id(NAME_ID, PERSISTENT);
    good.assertion.attribute("mail", &["ann@globex.example"]);
    good.assertion
        .attribute("groups", &["engineering", "admins & \"owners\""]);
    let of = |change: &dyn Fn(&mut Response)| {
        let mut response = good.clone();
        change(&mut response);
        response
    };
    let p256 =
        SignatureOptions::of(TestKey::P256).by(SignatureAlgorithm::EcdsaSha256, Digest::Sha256);
    let unsolicited = Response::unsolicited(IDP, SP, ACS, now());
    Ok(vec![
        ("assertion-signed", good.clone()),
        (
            "response-signed",
            of(&|response| response.signed = Signed::Response),
        ),
        (
            "both-signed",
            of(&|response| response.signed = Signed::Both),
        ),
        ("p256", of(&|response| response.sign_with(&p256))),
        (
            "unsigned",
            of(&|response| response.signed = Signed::Nothing),
        ),
        (
            "no-key-info",
            of(&|response| response.assertion_signature.key_info = KeyInfo::Absent),
        ),
        (
            "attacker",
            of(&|response| response.sign_with(&SignatureOptions::of(TestKey::ATTACKER))),
        ),
        (
            "sha-512",
            of(&|response| {
                response.sign_with(
                    &SignatureOptions::of(TestKey::IDP)
                        .by(SignatureAlgorithm::RsaSha512, Digest::Sha512),
                );
            }),
        ),
        (
            "prefix-list",
            of(&|response| {
                response.assertion.typed_values = true;
                response.assertion_signature.prefixes = Some("xs".to_owned());
            }),
        ),
        (
            "denied",
            of(&|response| {
                response.status = Some("urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned());
                response.status_message = Some("No.".to_owned());
                response.has_assertion = false;
            }),
        ),
        ("unsolicited", unsolicited),
        (
            "encrypted-gcm",
            of(&|response| response.encryption = Some(Encryption::to(TestKey::SP))),
        ),
        (
            "encrypted-cbc",
            of(&|response| {
                response.signed = Signed::Both;
                response.encryption = Some(Encryption {
                    content: ContentCipher::Aes128Cbc,
                    ..Encryption::to(TestKey::SP)
                });
            }),
        ),
        (
            "encrypted-id",
            of(&|response| {
                response.assertion.name_id_encryption = Some(Encryption::to(TestKey::SP));
            }),
        ),
    ])
}

/// What the messages do not have.
fn markup() -> [(&'static str, &'static str); 6] {
    [
        (
            "declaration",
            "<?xml version='1.0' encoding='UTF-8' standalone='no'?>\r\n<a/>",
        ),
        (
            "namespaces",
            "<a xmlns='u' xmlns:b='v'><b:c xmlns=''><d b:e='' a='' xmlns:b='w' b:f='1'/></b:c></a>",
        ),
        (
            "white-space",
            "<a b='\r\n\t&#13;&#10;&#9; &quot;'>\r\n\r&#13;]] &gt;\u{85}</a >",
        ),
        (
            "comments",
            "<!-- b --><a>c<!-- d --><![CDATA[<e>&f;]]>g</a><!-- h -->",
        ),
        (
            "references",
            "<a b='&lt;&gt;&amp;&apos;&quot;'>&#65;&#x1F600;&#x0010FFFF;</a>",
        ),
        ("refused", "<!DOCTYPE a [<!ENTITY b 'c'>]><a><?d e?>&b;</a>"),
    ]
}

fn queries(seeds: &Path) -> io::Result<()> {
    let name_id = NameId::new(NAME_ID, PERSISTENT);
    let request = LogoutRequest::new(IDP, SLO, &name_id, Some("_session"), now()).to_xml();
    let request = request.map_err(io::Error::other)?;
    let response = LogoutResponse::new(IDP, SLO, REQUEST, now()).to_xml();
    let response = response.map_err(io::Error::other)?;
    let rsa = Some((TestKey::IDP, SignatureAlgorithm::RsaSha256));
    let p256 = Some((TestKey::P256, SignatureAlgorithm::EcdsaSha256));
    for (name, parameter, xml, relay_state, signer) in [
        ("request", "SAMLRequest", &request, Some("state"), rsa),
        ("response", "SAMLResponse", &response, None, rsa),
        ("p256", "SAMLRequest", &request, Some("a b+c%&"), p256),
        ("unsigned", "SAMLRequest", &request, None, None),
    ] {
        let query =
            redirect_query(parameter, xml, relay_state, signer).map_err(io::Error::other)?;
        write(seeds, "redirect", name, &query)?;
        // As some IdPs spell it.
        let lower: String = query
            .split('%')
            .enumerate()
            .map(|(index, part)| match (index, part.split_at_checked(2)) {
                (1.., Some((escape, rest))) => format!("%{}{rest}", escape.to_lowercase()),
                _ => part.to_owned(),
            })
            .collect();
        write(seeds, "redirect", &format!("{name}-lower"), &lower)?;
    }
    Ok(())
}
