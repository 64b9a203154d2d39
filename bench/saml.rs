//! What the verification of a SAML response costs, beside the bare RSA verification that it cannot do without.
//!
//! `bench/run saml` builds and runs it; every round does each thing once, so that all suffer alike from what else the machine
//! does, and the medians are compared.

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use jiff::{SignedDuration, Timestamp};
use usher::certificate::{Certificate, PublicKey, key_pair};
use usher::demo::saml::{Encryption, Response, Signed, TestKey};
use usher::idp::saml::check::Steps;
use usher::idp::saml::response::{Expected, Origin, verify};
use usher::idp::saml::signature;
use usher::idp::saml::xml::{self, Limits};
use usher::keys::saml::{SpKey, SpKeys};
use usher::secret::Secret;

/// As in usher itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 2000;
const IDP: &str = "https://idp.example";
const SP: &str = "https://wiki.example/_usher/saml/globex/metadata";
const ACS: &str = "https://wiki.example/_usher/saml/globex/acs";
const REQUEST: &str = "_0123456789abcdef0123456789abcdef";
/// Bytes of an assertion, about.
const ASSERTION: usize = 10 * 1024;
/// The goal: at most so many times the bare verification …
const TIMES: f64 = 1.5;
/// … and so much on top.
const MORE: Duration = Duration::from_micros(200);

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let now = Timestamp::now();
    let certificate = Certificate::from_der(&TestKey::IDP.certificate_der())?;
    let keys = keys()?;
    let expected = Expected {
        idp: IDP,
        certificates: std::slice::from_ref(&certificate),
        sp: SP,
        acs: ACS,
        origin: Origin::Requested(REQUEST),
        keys: &keys,
        authenticated_within: SignedDuration::from_hours(24),
        authn_context: &[],
        now,
    };
    let PublicKey::Rsa(rsa) = certificate.key() else {
        return Err("the test key is RSA".into());
    };
    let rsa = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa);
    let message = [7; 800];
    let value = TestKey::IDP.sign(usher::demo::saml::SignatureAlgorithm::RsaSha256, &message)?;

    let assertion = response(now, Signed::Assertion, false)?;
    let both = response(now, Signed::Both, false)?;
    let sealed = response(now, Signed::Assertion, true)?;
    let whole = |xml: &str| -> Done<()> {
        verify(black_box(xml.as_bytes()), &expected, &mut Steps::default())?;
        Ok(())
    };
    let rows = measure(&[
        ("bare RSA-2048 verification", &|| {
            Ok(rsa.verify(black_box(&message), &value)?)
        }),
        ("scan and parse", &|| {
            black_box(xml::parse(assertion.as_bytes(), &Limits::MESSAGE)?);
            Ok(())
        }),
        ("scan, parse, signature", &|| {
            let document = xml::parse(assertion.as_bytes(), &Limits::MESSAGE)?;
            let root = document.root_element();
            let signed = xml::sole(root, xml::ASSERTION, "Assertion")?;
            let value = signature::of(signed)?.ok_or("no signature")?;
            black_box(signature::verify_enveloped(
                signed,
                value,
                expected.certificates,
                now,
            )?);
            Ok(())
        }),
        ("response, assertion signed", &|| whole(&assertion)),
        ("response, both signed", &|| whole(&both)),
        ("response, assertion signed, then encrypted", &|| {
            whole(&sealed)
        }),
    ])?;
    print(&rows, assertion.len())
}

fn keys() -> Done<SpKeys> {
    let certificate = Certificate::from_der(&TestKey::SP.certificate_der())?;
    let pair = key_pair(&certificate, &Secret::new(TestKey::SP.key_pem()))?;
    SpKeys::of(vec![SpKey::new(certificate, pair)?]).ok_or_else(|| "no key".into())
}

fn response(now: Timestamp, signed: Signed, sealed: bool) -> Done<String> {
    let mut response = Response::new(IDP, SP, ACS, REQUEST, now);
    response.signed = signed;
    response.encryption = sealed.then(|| Encryption::to(TestKey::SP));
    let assertion = &mut response.assertion;
    for (name, value) in [
        ("mail", "ann@example.com"),
        ("displayName", "Ann Example"),
        ("uid", "ann"),
    ] {
        assertion.attribute(name, &[value]);
    }
    let mut groups = Vec::new();
    while assertion.to_xml()?.len() < ASSERTION {
        let more = groups.len()..groups.len() + 8;
        groups.extend(more.map(|at| format!("group-{at:04}")));
        let values: Vec<&str> = groups.iter().map(String::as_str).collect();
        assertion
            .attributes
            .retain(|attribute| attribute.name.as_deref() != Some("groups"));
        assertion.attribute("groups", &values);
    }
    Ok(response.to_xml()?)
}

type Action<'a> = (&'static str, &'a dyn Fn() -> Done<()>);

/// The median of each.
fn measure(actions: &[Action<'_>]) -> Done<Vec<(&'static str, Duration)>> {
    let mut taken = vec![Vec::with_capacity(ROUNDS); actions.len()];
    for round in 0..ROUNDS + ROUNDS / 10 {
        for ((_, action), taken) in actions.iter().zip(&mut taken) {
            let start = Instant::now();
            action()?;
            // The first ones warm up.
            if round >= ROUNDS / 10 {
                taken.push(start.elapsed());
            }
        }
    }
    let medians = actions.iter().zip(taken).map(|((name, _), mut taken)| {
        taken.sort_unstable();
        let median = taken.get(taken.len() / 2).copied().unwrap_or_default();
        (*name, median)
    });
    Ok(medians.collect())
}

fn print(rows: &[(&'static str, Duration)], bytes: usize) -> Done<()> {
    let mut out = std::io::stdout().lock();
    let bare = rows.first().map(|(_, median)| *median).unwrap_or_default();
    let goal = bare.mul_f64(TIMES) + MORE;
    writeln!(out, "medians of {ROUNDS}; the response has {bytes} bytes")?;
    writeln!(
        out,
        "goal: {TIMES} × bare + {MORE:?} = {:.1} µs\n",
        micros(goal)
    )?;
    writeln!(out, "| | µs | ÷ bare | goal |\n|---|---|---|---|")?;
    for (name, median) in rows {
        let ratio = median.as_secs_f64() / bare.as_secs_f64();
        let held = match name {
            name if !name.starts_with("response") => "",
            _ if *median <= goal => "holds",
            _ => "missed",
        };
        writeln!(
            out,
            "| {name} | {:.1} | {ratio:.2} | {held} |",
            micros(*median)
        )?;
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
