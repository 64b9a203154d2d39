//! Hostile logout messages by both bindings, each with what must refuse it, and good ones that must be taken.

use jiff::Timestamp;
use usher::certificate::Certificate;
use usher::demo::saml::{
    ContentCipher, Digest, Encryption, KeyTransport, LogoutRequest, LogoutResponse, NameId,
    PERSISTENT, SAML, SignatureAlgorithm as By, SignatureOptions, TestKey, at, deflate,
    encode_base64, insert_after_issuer, percent_encode, redirect_query, signed_query,
};
use usher::idp::saml::binding::{Message, redirect};
use usher::idp::saml::logout::{Arrived, Expected, LogoutStatus, verify_request, verify_response};
use usher::idp::saml::{Check, Refused};

use super::corpus::our_keys;

/// What a logout message is about.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Entity ID of the IdP.
    pub(crate) idp: String,
    /// Where it is sent to.
    pub(crate) slo: String,
    /// Whom it is about.
    pub(crate) name_id: NameId,
    /// Which of the IdP's sessions.
    pub(crate) session_index: Option<String>,
    /// `ID` of usher's own request, for answers.
    pub(crate) request: String,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Setting {
    fn offline() -> Self {
        Self {
            idp: "https://idp.test/metadata".to_owned(),
            slo: "https://app.test/_usher/saml/idp1/slo".to_owned(),
            name_id: NameId::new("ann-0001", PERSISTENT),
            session_index: Some("_session".to_owned()),
            request: "_0123456789abcdef0123456789abcdef".to_owned(),
            now: Timestamp::from_second(1_795_000_000).unwrap(),
        }
    }

    /// A good request, not signed yet.
    pub(crate) fn request(&self) -> LogoutRequest {
        let index = self.session_index.as_deref();
        LogoutRequest::new(&self.idp, &self.slo, &self.name_id, index, self.now)
    }

    fn response(&self) -> LogoutResponse {
        LogoutResponse::new(&self.idp, &self.slo, &self.request, self.now)
    }
}

/// How a message comes.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// The XML of the POST binding.
    Post(Vec<u8>),
    /// The raw query of the Redirect binding.
    Query(String),
}

/// What must refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing: it is good.
    Taken,
    /// It cannot be read.
    Malformed,
    /// A check.
    Refused(Check),
}

/// One message.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) fate: Fate,
    pub(crate) trusted: &'static [TestKey],
    pub(crate) make: fn(&Setting) -> Sent,
}

const fn case(name: &'static str, fate: Fate, make: fn(&Setting) -> Sent) -> Case {
    Case {
        name,
        fate,
        trusted: &[TestKey::IDP, TestKey::IDP_NEXT],
        make,
    }
}

const fn at_check(name: &'static str, check: Check, make: fn(&Setting) -> Sent) -> Case {
    case(name, Fate::Refused(check), make)
}

const fn malformed(name: &'static str, make: fn(&Setting) -> Sent) -> Case {
    case(name, Fate::Malformed, make)
}

const fn good(name: &'static str, make: fn(&Setting) -> Sent) -> Case {
    case(name, Fate::Taken, make)
}

const RSA: (TestKey, By) = (TestKey::IDP, By::RsaSha256);

fn signed_with(key: TestKey) -> Option<SignatureOptions> {
    Some(SignatureOptions::of(key))
}

/// A request posted, signed in the usual way, good but for one thing.
fn posted(s: &Setting, change: impl FnOnce(&mut LogoutRequest)) -> Sent {
    Sent::Post(xml(s, change).into_bytes())
}

fn xml(s: &Setting, change: impl FnOnce(&mut LogoutRequest)) -> String {
    let mut request = s.request();
    request.signature = signed_with(TestKey::IDP);
    change(&mut request);
    request.to_xml().unwrap()
}

/// A response posted, good but for one thing.
fn answered(s: &Setting, change: impl FnOnce(&mut LogoutResponse)) -> Sent {
    let mut response = s.response();
    response.signature = signed_with(TestKey::IDP);
    change(&mut response);
    Sent::Post(response.to_xml().unwrap().into_bytes())
}

/// A query with a relay state, good but for one thing in its message.
fn queried(s: &Setting, change: impl FnOnce(&mut LogoutRequest)) -> Sent {
    Sent::Query(query(s, Some(RSA), change))
}

fn query(
    s: &Setting,
    by: Option<(TestKey, By)>,
    change: impl FnOnce(&mut LogoutRequest),
) -> String {
    let mut request = s.request();
    change(&mut request);
    let xml = request.to_xml().unwrap();
    redirect_query("SAMLRequest", &xml, Some("state"), by).unwrap()
}

fn signed_by(s: &Setting, key: TestKey, by: By) -> Sent {
    Sent::Query(query(s, Some((key, by)), |_| {}))
}

/// A good query, changed after it was signed.
fn changed(s: &Setting, change: impl FnOnce(String) -> String) -> Sent {
    Sent::Query(change(query(s, Some(RSA), |_| {})))
}

fn swap(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

/// A good query's parameters by name.
fn part<'a>(query: &'a str, name: &str) -> &'a str {
    let named = |pair: &&str| pair.split('=').next() == Some(name);
    query.split('&').find(named).unwrap()
}

/// A query around these bytes as the message, signed.
fn around(message: &[u8]) -> Sent {
    let message = percent_encode(&encode_base64(message));
    let algorithm = percent_encode(By::RsaSha256.uri());
    let text = format!("SAMLRequest={message}&SigAlg={algorithm}");
    Sent::Query(signed_query(&text, RSA.0, RSA.1).unwrap())
}

/// Signed over something else than what is sent.
fn signed_over(s: &Setting, change: impl FnOnce(&str) -> String) -> Sent {
    let plain = query(s, Some(RSA), |_| {});
    let (sent, _) = plain.split_once("&Signature=").unwrap();
    let signature = TestKey::IDP
        .sign(By::RsaSha256, change(sent).as_bytes())
        .unwrap();
    Sent::Query(format!(
        "{sent}&Signature={}",
        percent_encode(&encode_base64(&signature))
    ))
}

/// Someone else, after it was signed.
fn forged(s: &Setting, change: impl FnOnce(&str) -> String) -> Sent {
    Sent::Post(change(&xml(s, |_| {})).into_bytes())
}

/// The signed request within another, which the attacker wrote.
fn wrapped(s: &Setting, place: fn(&str, &str) -> String) -> Sent {
    let signed = xml(s, |_| {});
    let evil = xml(s, |r| {
        r.signature = None;
        r.name_ids = vec![NameId::new("root-0001", PERSISTENT)];
    });
    Sent::Post(place(&evil, &signed).into_bytes())
}

fn own(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// By the POST binding.
const POSTED: &[Case] = &[
    at_check("post_unsigned", Check::Signature, |s| {
        posted(s, |r| r.signature = None)
    }),
    at_check("post_tampered_name_id", Check::Signature, |s| {
        forged(s, |xml| swap(xml, "ann-0001", "root-0001"))
    }),
    at_check("post_tampered_session_index", Check::Signature, |s| {
        forged(s, |xml| {
            swap(xml, "<samlp:SessionIndex>", "<samlp:SessionIndex>x")
        })
    }),
    at_check("post_session_index_removed", Check::Signature, |s| {
        let index = s.session_index.clone().unwrap_or_default();
        forged(s, |xml| {
            swap(
                xml,
                &format!("<samlp:SessionIndex>{index}</samlp:SessionIndex>"),
                "",
            )
        })
    }),
    at_check("post_wrong_key", Check::Signature, |s| {
        posted(s, |r| r.signature = signed_with(TestKey::ATTACKER))
    }),
    at_check("post_other_idp", Check::Signature, |s| {
        posted(s, |r| r.signature = signed_with(TestKey::OTHER_IDP))
    }),
    at_check("post_weak_key", Check::Signature, |s| {
        posted(s, |r| r.signature = signed_with(TestKey::WEAK))
    }),
    at_check("post_sha1", Check::Signature, |s| {
        posted(s, |r| {
            r.signature = Some(SignatureOptions::of(TestKey::IDP).by(By::RsaSha1, Digest::Sha1));
        })
    }),
    at_check("post_hmac", Check::Signature, |s| {
        posted(s, |r| {
            let options = SignatureOptions::of(TestKey::IDP);
            r.signature = Some(options.by(By::HmacSha256, Digest::Sha256));
        })
    }),
    Case {
        trusted: &[TestKey::EXPIRED],
        ..at_check("post_expired_certificate", Check::CertificateDates, |s| {
            posted(s, |r| r.signature = signed_with(TestKey::EXPIRED))
        })
    },
    at_check("post_two_signatures", Check::Shape, |s| {
        let once = xml(s, |_| {});
        let (_, rest) = once.split_once("<ds:Signature ").unwrap();
        let (inner, _) = rest.split_once("</ds:Signature>").unwrap();
        let signature = format!("<ds:Signature {inner}</ds:Signature>");
        Sent::Post(insert_after_issuer(&once, &signature).into_bytes())
    }),
    at_check("post_signature_in_extensions", Check::Shape, |s| {
        forged(s, |xml| {
            let xml = swap(xml, "<ds:Signature ", "<samlp:Extensions><ds:Signature ");
            swap(
                &xml,
                "</ds:Signature>",
                "</ds:Signature></samlp:Extensions>",
            )
        })
    }),
    at_check("post_wrapped_in_extensions", Check::Shape, |s| {
        wrapped(s, |evil, signed| {
            insert_after_issuer(
                evil,
                &format!("<samlp:Extensions>{signed}</samlp:Extensions>"),
            )
        })
    }),
    at_check("post_wrapped_in_object", Check::Signature, |s| {
        wrapped(s, |evil, signed| {
            let (before, rest) = signed.split_once("<ds:Signature ").unwrap();
            let (inner, after) = rest.split_once("</ds:Signature>").unwrap();
            let plain = format!("{before}{after}");
            let signature =
                format!("<ds:Signature {inner}<ds:Object>{plain}</ds:Object></ds:Signature>");
            insert_after_issuer(evil, &signature)
        })
    }),
    at_check("post_missing_destination", Check::Destination, |s| {
        posted(s, |r| r.destination = None)
    }),
    at_check("post_other_destination", Check::Destination, |s| {
        posted(s, |r| r.destination = own("https://other.test/slo"))
    }),
    at_check("post_missing_issuer", Check::Issuer, |s| {
        posted(s, |r| r.issuer = None)
    }),
    at_check("post_other_issuer", Check::Issuer, |s| {
        posted(s, |r| r.issuer = own("https://other.test"))
    }),
    at_check("post_old_without_not_on_or_after", Check::Time, |s| {
        posted(s, |r| {
            r.not_on_or_after = None;
            r.issue_instant = Some(at(s.now, -400));
        })
    }),
    at_check("post_expired", Check::Time, |s| {
        posted(s, |r| r.not_on_or_after = Some(at(s.now, -90)))
    }),
    at_check("post_valid_for_a_year", Check::Time, |s| {
        posted(s, |r| r.not_on_or_after = Some(at(s.now, 365 * 86_400)))
    }),
    at_check("post_issued_yesterday", Check::Time, |s| {
        posted(s, |r| r.issue_instant = Some(at(s.now, -86_400)))
    }),
    at_check("post_issued_tomorrow", Check::Time, |s| {
        posted(s, |r| r.issue_instant = Some(at(s.now, 86_400)))
    }),
    at_check("post_missing_issue_instant", Check::Time, |s| {
        posted(s, |r| r.issue_instant = None)
    }),
    at_check("post_timezone", Check::Time, |s| {
        posted(s, |r| {
            r.not_on_or_after = Some(at(s.now, 300).replace('Z', "+00:00"))
        })
    }),
    at_check("post_version_1_1", Check::Version, |s| {
        posted(s, |r| r.version = own("1.1"))
    }),
    at_check("post_missing_id", Check::Signature, |s| {
        posted(s, |r| r.id = None)
    }),
    at_check("post_id_crlf", Check::Shape, |s| {
        posted(s, |r| r.id = own("_a\r\nX: y"))
    }),
    at_check("post_missing_name_id", Check::NameId, |s| {
        posted(s, |r| r.name_ids.clear())
    }),
    at_check("post_empty_name_id", Check::NameId, |s| {
        posted(s, |r| r.name_ids = vec![NameId::new("", PERSISTENT)])
    }),
    at_check("post_two_name_ids", Check::Shape, |s| {
        posted(s, |r| r.name_ids.push(NameId::new("root-0001", PERSISTENT)))
    }),
    at_check("post_name_id_with_newline", Check::NameId, |s| {
        posted(s, |r| r.name_ids = vec![NameId::new("a\nb", PERSISTENT)])
    }),
    at_check("post_empty_session_index", Check::Shape, |s| {
        posted(s, |r| r.session_indexes = vec![String::new()])
    }),
    at_check("post_session_indexes_of_many", Check::Shape, |s| {
        posted(s, |r| r.session_indexes = vec!["_i".to_owned(); 5000])
    }),
    at_check("post_encrypted_id_rsa_1_5", Check::Decryption, |s| {
        posted(s, |r| {
            r.name_id_encryption = Some(Encryption {
                transport: KeyTransport::Rsa15,
                ..Encryption::to(TestKey::SP)
            });
        })
    }),
    at_check("post_encrypted_id_for_another", Check::Decryption, |s| {
        posted(s, |r| {
            r.name_id_encryption = Some(Encryption::to(TestKey::OTHER_IDP))
        })
    }),
    at_check("post_encrypted_id_beside_a_name_id", Check::NameId, |s| {
        posted(s, |r| {
            let name = format!("<saml:NameID xmlns:saml=\"{SAML}\">root-0001</saml:NameID>");
            let encrypted = Encryption::to(TestKey::SP).encrypt(&name).unwrap();
            r.raw_after = encrypted.element("EncryptedID", false);
        })
    }),
    at_check("post_comment_in_name_id", Check::Xml, |s| {
        forged(s, |xml| swap(xml, "ann-0001", "ann<!---->-0001"))
    }),
    at_check("post_doctype", Check::Xml, |s| {
        forged(s, |xml| format!("<!DOCTYPE a>{xml}"))
    }),
    at_check("post_trailing", Check::Xml, |s| {
        forged(s, |xml| format!("{xml}<a/>"))
    }),
    at_check("post_depth", Check::Xml, |s| {
        let deep = "<a>".repeat(50_000) + &"</a>".repeat(50_000);
        forged(s, |xml| insert_after_issuer(xml, &deep))
    }),
    at_check("post_unknown_element", Check::Shape, |s| {
        posted(s, |r| {
            r.raw_after = "<x:y xmlns:x=\"urn:x\"></x:y>".to_owned()
        })
    }),
    at_check("post_another_root", Check::Shape, |s| {
        forged(s, |xml| {
            xml.replace("samlp:LogoutRequest", "samlp:AuthnRequest")
        })
    }),
    at_check("post_deflated", Check::Xml, |s| {
        Sent::Post(deflate(xml(s, |_| {}).as_bytes()).unwrap())
    }),
];

/// By the Redirect binding.
const REDIRECTED: &[Case] = &[
    at_check("redirect_unsigned", Check::Signature, |s| {
        Sent::Query(query(s, None, |_| {}))
    }),
    malformed("redirect_sigalg_missing", |s| {
        changed(s, |query| {
            query.replace(&format!("&{}", part(&query, "SigAlg")), "")
        })
    }),
    malformed("redirect_signature_missing", |s| {
        changed(s, |query| {
            query.replace(&format!("&{}", part(&query, "Signature")), "")
        })
    }),
    at_check("redirect_signature_empty", Check::Signature, |s| {
        changed(s, |query| {
            query.replace(part(&query, "Signature"), "Signature=")
        })
    }),
    malformed("redirect_signature_no_base64", |s| {
        changed(s, |query| {
            query.replace(part(&query, "Signature"), "Signature=*")
        })
    }),
    at_check("redirect_tampered", Check::Signature, |s| {
        let evil = query(s, None, |r| {
            r.name_ids = vec![NameId::new("root-0001", PERSISTENT)]
        });
        let evil = part(&evil, "SAMLRequest").to_owned();
        changed(s, |query| query.replace(part(&query, "SAMLRequest"), &evil))
    }),
    at_check("redirect_relay_state_swapped", Check::Signature, |s| {
        changed(s, |query| {
            swap(&query, "RelayState=state", "RelayState=other")
        })
    }),
    at_check("redirect_relay_state_removed", Check::Signature, |s| {
        changed(s, |query| swap(&query, "&RelayState=state", ""))
    }),
    at_check("redirect_relaystate_unsigned", Check::Signature, |s| {
        let xml = s.request().to_xml().unwrap();
        let query = redirect_query("SAMLRequest", &xml, None, Some(RSA)).unwrap();
        Sent::Query(format!("{query}&RelayState=state"))
    }),
    at_check("redirect_wrong_key", Check::Signature, |s| {
        signed_by(s, TestKey::ATTACKER, By::RsaSha256)
    }),
    at_check("redirect_other_idp", Check::Signature, |s| {
        signed_by(s, TestKey::OTHER_IDP, By::RsaSha256)
    }),
    at_check("redirect_weak_key", Check::Signature, |s| {
        signed_by(s, TestKey::WEAK, By::RsaSha256)
    }),
    malformed("redirect_sha1", |s| signed_by(s, TestKey::IDP, By::RsaSha1)),
    malformed("redirect_hmac", |s| {
        signed_by(s, TestKey::IDP, By::HmacSha256)
    }),
    Case {
        trusted: &[TestKey::EXPIRED],
        ..at_check(
            "redirect_expired_certificate",
            Check::CertificateDates,
            |s| signed_by(s, TestKey::EXPIRED, By::RsaSha256),
        )
    },
    at_check(
        "redirect_algorithm_of_another_hash",
        Check::Signature,
        |s| changed(s, |query| swap(&query, "rsa-sha256", "rsa-sha512")),
    ),
    at_check(
        "redirect_signed_over_the_decoded_query",
        Check::Signature,
        |s| {
            signed_over(s, |query| {
                percent_encoding::percent_decode_str(query)
                    .decode_utf8_lossy()
                    .into_owned()
            })
        },
    ),
    at_check(
        "redirect_signed_over_lower_case_escapes",
        Check::Signature,
        |s| signed_over(s, |query| query.replace("%2F", "%2f").replace("%3A", "%3a")),
    ),
    at_check(
        "redirect_signed_over_another_order",
        Check::Signature,
        |s| {
            signed_over(s, |query| {
                query.split('&').rev().collect::<Vec<_>>().join("&")
            })
        },
    ),
    at_check(
        "redirect_signed_without_relay_state",
        Check::Signature,
        |s| signed_over(s, |query| query.replace("&RelayState=state", "")),
    ),
    at_check("redirect_signed_without_sigalg", Check::Signature, |s| {
        signed_over(s, |query| {
            query.split("&SigAlg=").next().unwrap().to_owned()
        })
    }),
    at_check("redirect_signed_as_a_response", Check::Signature, |s| {
        signed_over(s, |query| query.replace("SAMLRequest", "SAMLResponse"))
    }),
    at_check("redirect_escapes_in_another_case", Check::Signature, |s| {
        changed(s, |query| {
            let algorithm = part(&query, "SigAlg").to_owned();
            query.replace(&algorithm, &algorithm.replace("%3A", "%3a"))
        })
    }),
    malformed("redirect_dup_saml_request", |s| {
        changed(s, |query| {
            format!("{query}&{}", part(&query, "SAMLRequest"))
        })
    }),
    malformed("redirect_dup_saml_request_first", |s| {
        let evil = query(s, None, |r| {
            r.name_ids = vec![NameId::new("root-0001", PERSISTENT)]
        });
        changed(s, |query| format!("{}&{query}", part(&evil, "SAMLRequest")))
    }),
    malformed("redirect_dup_sigalg", |s| {
        changed(s, |query| format!("{query}&{}", part(&query, "SigAlg")))
    }),
    malformed("redirect_dup_relay_state", |s| {
        changed(s, |query| format!("{query}&RelayState=other"))
    }),
    malformed("redirect_relay_state_without_a_value", |s| {
        let xml = s.request().to_xml().unwrap();
        let query = redirect_query("SAMLRequest", &xml, Some(""), Some(RSA)).unwrap();
        Sent::Query(swap(&query, "&RelayState=&", "&RelayState&"))
    }),
    malformed("redirect_dup_signature", |s| {
        changed(s, |query| format!("{query}&{}", part(&query, "Signature")))
    }),
    malformed("redirect_request_and_response", |s| {
        changed(s, |query| format!("{query}&SAMLResponse=AAAA"))
    }),
    malformed("redirect_name_with_escapes", |s| {
        changed(s, |query| swap(&query, "SAMLRequest=", "%53AMLRequest="))
    }),
    malformed("redirect_no_message", |_| {
        Sent::Query("RelayState=state".to_owned())
    }),
    malformed("redirect_encoding_of_another_kind", |s| {
        changed(s, |query| format!("{query}&SAMLEncoding=urn%3Anone"))
    }),
    malformed("redirect_deflate_bomb", |_| {
        around(&deflate(&vec![b' '; 8 << 20]).unwrap())
    }),
    malformed("redirect_inflates_beyond_the_limit", |s| {
        let xml = s.request().to_xml().unwrap() + &" ".repeat(256 * 1024);
        around(&deflate(xml.as_bytes()).unwrap())
    }),
    malformed("redirect_deflate_trailing", |s| {
        let mut message = deflate(s.request().to_xml().unwrap().as_bytes()).unwrap();
        message.extend(b"more");
        around(&message)
    }),
    malformed("redirect_deflate_cut", |s| {
        let message = deflate(s.request().to_xml().unwrap().as_bytes()).unwrap();
        around(&message[..message.len() / 2])
    }),
    malformed("redirect_not_deflated", |s| {
        around(s.request().to_xml().unwrap().as_bytes())
    }),
    malformed("redirect_zlib", |s| {
        let raw = deflate(s.request().to_xml().unwrap().as_bytes()).unwrap();
        around(&[b"\x78\x9c".to_vec(), raw].concat())
    }),
    malformed("redirect_empty", |_| around(b"")),
    malformed("redirect_broken_escape", |s| {
        changed(s, |query| format!("{query}%2"))
    }),
    malformed("redirect_relay_state_of_a_page", |s| {
        let xml = s.request().to_xml().unwrap();
        let state = "a".repeat(20_000);
        Sent::Query(redirect_query("SAMLRequest", &xml, Some(&state), Some(RSA)).unwrap())
    }),
    malformed("post_param_on_redirect", |s| {
        let message = percent_encode(&encode_base64(xml(s, |_| {}).as_bytes()));
        Sent::Query(format!("SAMLRequest={message}"))
    }),
    at_check(
        "redirect_enveloped_signature_alone",
        Check::Signature,
        |s| Sent::Query(query(s, None, |r| r.signature = signed_with(TestKey::IDP))),
    ),
    at_check("redirect_enveloped_signature_too", Check::Signature, |s| {
        queried(s, |r| r.signature = signed_with(TestKey::IDP))
    }),
    at_check("redirect_missing_destination", Check::Destination, |s| {
        queried(s, |r| r.destination = None)
    }),
    at_check("redirect_other_destination", Check::Destination, |s| {
        queried(s, |r| r.destination = own("https://other.test/slo"))
    }),
    at_check("redirect_missing_issuer", Check::Issuer, |s| {
        queried(s, |r| r.issuer = None)
    }),
    at_check("redirect_old_without_not_on_or_after", Check::Time, |s| {
        queried(s, |r| {
            r.not_on_or_after = None;
            r.issue_instant = Some(at(s.now, -400));
        })
    }),
    at_check("redirect_expired", Check::Time, |s| {
        queried(s, |r| r.not_on_or_after = Some(at(s.now, -90)))
    }),
    at_check("redirect_missing_id", Check::Shape, |s| {
        queried(s, |r| r.id = None)
    }),
    at_check("redirect_doctype", Check::Xml, |s| {
        let xml = format!("<!DOCTYPE a>{}", s.request().to_xml().unwrap());
        around(&deflate(xml.as_bytes()).unwrap())
    }),
];

/// Answers.
const ANSWERS: &[Case] = &[
    at_check("answer_unsigned", Check::Signature, |s| {
        answered(s, |r| r.signature = None)
    }),
    at_check("answer_wrong_key", Check::Signature, |s| {
        answered(s, |r| r.signature = signed_with(TestKey::ATTACKER))
    }),
    at_check("answer_wrong_in_response_to", Check::InResponseTo, |s| {
        answered(s, |r| r.in_response_to = own("_other"))
    }),
    at_check("answer_missing_in_response_to", Check::InResponseTo, |s| {
        answered(s, |r| r.in_response_to = None)
    }),
    at_check("answer_missing_destination", Check::Destination, |s| {
        answered(s, |r| r.destination = None)
    }),
    at_check("answer_missing_issuer", Check::Issuer, |s| {
        answered(s, |r| r.issuer = None)
    }),
    at_check("answer_other_issuer", Check::Issuer, |s| {
        answered(s, |r| r.issuer = own("https://other.test"))
    }),
    at_check("answer_old", Check::Time, |s| {
        answered(s, |r| r.issue_instant = Some(at(s.now, -86_400)))
    }),
    at_check("answer_missing_status", Check::Status, |s| {
        answered(s, |r| r.status = None)
    }),
    at_check("answer_version_1_1", Check::Version, |s| {
        answered(s, |r| r.version = own("1.1"))
    }),
];

/// What must be taken.
const GOOD: &[Case] = &[
    good("good_post", |s| posted(s, |_| {})),
    good("good_redirect", |s| queried(s, |_| {})),
    // As Keycloak sends it.
    good("good_post_without_not_on_or_after", |s| {
        posted(s, |r| r.not_on_or_after = None)
    }),
    good("good_redirect_without_not_on_or_after", |s| {
        queried(s, |r| r.not_on_or_after = None)
    }),
    good("good_redirect_without_relay_state", |s| {
        let xml = s.request().to_xml().unwrap();
        Sent::Query(redirect_query("SAMLRequest", &xml, None, Some(RSA)).unwrap())
    }),
    good("good_redirect_sha512", |s| {
        signed_by(s, TestKey::IDP, By::RsaSha512)
    }),
    good("good_redirect_next_key", |s| {
        signed_by(s, TestKey::IDP_NEXT, By::RsaSha256)
    }),
    good("good_redirect_lower_case_escapes", |s| {
        let plain = query(s, Some(RSA), |_| {});
        let (sent, _) = plain.split_once("&Signature=").unwrap();
        let lower = sent
            .replace("%2F", "%2f")
            .replace("%3A", "%3a")
            .replace("%2B", "%2b");
        Sent::Query(signed_query(&lower, RSA.0, RSA.1).unwrap())
    }),
    good("good_all_sessions", |s| {
        posted(s, |r| r.session_indexes.clear())
    }),
    good("good_encrypted_id", |s| {
        posted(s, |r| {
            r.name_id_encryption = Some(Encryption::to(TestKey::SP))
        })
    }),
    good("good_encrypted_id_cbc", |s| {
        posted(s, |r| {
            r.name_id_encryption = Some(Encryption {
                content: ContentCipher::Aes256Cbc,
                ..Encryption::to(TestKey::SP)
            });
        })
    }),
    good("good_answer", |s| answered(s, |_| {})),
    good("good_answer_redirect", |s| {
        let xml = s.response().to_xml().unwrap();
        Sent::Query(redirect_query("SAMLResponse", &xml, Some("state"), Some(RSA)).unwrap())
    }),
    good("good_answer_of_failure", |s| {
        answered(s, |r| {
            r.status = own("urn:oasis:names:tc:SAML:2.0:status:Responder")
        })
    }),
];

/// All that must be refused.
pub(crate) fn hostile() -> Vec<Case> {
    [POSTED, REDIRECTED, ANSWERS].concat()
}

/// Whether a message reads as an answer; what reads as nothing is a request.
fn is_answer(arrived: &Arrived) -> bool {
    match arrived {
        Arrived::Post(xml) => String::from_utf8_lossy(xml).contains("LogoutResponse"),
        Arrived::Redirect(received) => received.message == Message::Response,
    }
}

fn judged(case: &Case, setting: &Setting) -> Result<Option<LogoutStatus>, Fate> {
    let arrived = match (case.make)(setting) {
        Sent::Post(xml) => Arrived::Post(xml),
        Sent::Query(query) => {
            Arrived::Redirect(redirect::decode(&query).map_err(|_| Fate::Malformed)?)
        }
    };
    let certificates: Vec<_> = case
        .trusted
        .iter()
        .map(|key| Certificate::from_text(key.certificate_pem()).unwrap())
        .collect();
    let expected = Expected {
        idp: &setting.idp,
        certificates: &certificates,
        slo: &setting.slo,
        keys: &our_keys(),
        now: setting.now,
    };
    let refused = |refused: Refused| Fate::Refused(refused.check);
    if is_answer(&arrived) {
        let status = verify_response(&arrived, &expected, &setting.request).map_err(refused)?;
        return Ok(Some(status));
    }
    verify_request(&arrived, &expected).map_err(refused)?;
    Ok(None)
}

#[test]
fn every_logout_message_meets_its_fate() {
    let setting = Setting::offline();
    let all = hostile();
    assert!(all.len() >= 30, "{} hostile messages", all.len());
    let mut wrong = Vec::new();
    for case in all.iter().chain(GOOD) {
        let met = match judged(case, &setting) {
            Ok(_) => Fate::Taken,
            Err(fate) => fate,
        };
        if met != case.fate {
            wrong.push(format!("{}: {met:?}, not {:?}", case.name, case.fate));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn an_answer_of_failure_is_no_success() {
    let setting = Setting::offline();
    let status = |name: &str| {
        let case = GOOD.iter().find(|case| case.name == name).unwrap();
        judged(case, &setting).unwrap()
    };
    assert_eq!(status("good_answer"), Some(LogoutStatus::Success));
    assert_eq!(
        status("good_answer_of_failure"),
        Some(LogoutStatus::Partial)
    );
}
