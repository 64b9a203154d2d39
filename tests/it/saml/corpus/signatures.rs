//! Signatures: none, of others, by what is no signature, over something else.

use usher::demo::saml::{
    DS, Digest, ENVELOPED, EXCLUSIVE, KeyInfo, Place, Reference, Response,
    SignatureAlgorithm as By, SignatureOptions, Signed, TestKey, encode_base64,
    insert_after_issuer,
};
use usher::idp::saml::Check;

use super::surgery::{
    ADMIN, cut, forged, other_signature_namespace, signed, signing, swap, take, transform,
    with_object,
};
use super::{Case, Setting};

fn by(key: TestKey) -> SignatureOptions {
    SignatureOptions::of(key)
}

fn idp() -> SignatureOptions {
    by(TestKey::IDP)
}

/// A good answer, signed in a way of one's own.
fn signed_by(s: &Setting, options: &SignatureOptions) -> Vec<u8> {
    s.with(|r| r.sign_with(options)).into_bytes()
}

fn with_key_info(s: &Setting, key: TestKey, key_info: KeyInfo) -> Vec<u8> {
    let mut options = by(key);
    options.key_info = key_info;
    signed_by(s, &options)
}

fn with_reference(s: &Setting, reference: Reference) -> Vec<u8> {
    let mut options = idp();
    options.reference = reference;
    signed_by(s, &options)
}

fn uri(s: &Setting, uri: &str) -> Vec<u8> {
    with_reference(s, Reference::Uri(uri.to_owned()))
}

fn with_transforms(s: &Setting, transforms: Vec<String>) -> Vec<u8> {
    let mut options = idp();
    options.transforms = Some(transforms);
    signed_by(s, &options)
}

/// The usual two transforms, and one more after them.
fn and_transform(s: &Setting, algorithm: &str, content: &str) -> Vec<u8> {
    let more = transform(algorithm, content);
    with_transforms(s, vec![enveloped(), exclusive(), more])
}

fn enveloped() -> String {
    transform(ENVELOPED, "")
}

fn exclusive() -> String {
    transform(EXCLUSIVE, "")
}

fn prefixes(s: &Setting, list: &str) -> Vec<u8> {
    let mut options = idp();
    options.prefixes = Some(list.to_owned());
    signed_by(s, &options)
}

fn canonicalized(s: &Setting, by: &str) -> Vec<u8> {
    let mut options = idp();
    options.canonicalization = by.to_owned();
    signed_by(s, &options)
}

/// The text of the signature value replaced.
fn valued(s: &Setting, change: impl FnOnce(&str) -> String) -> Vec<u8> {
    content(s, "ds:SignatureValue", change)
}

fn content(s: &Setting, tag: &str, change: impl FnOnce(&str) -> String) -> Vec<u8> {
    let xml = s.with(|_| {});
    let (before, element, after) = cut(&xml, tag);
    let inner = &element[tag.len() + 2..element.len() - tag.len() - 3];
    format!("{before}<{tag}>{}</{tag}>{after}", change(inner)).into_bytes()
}

/// Another character in the middle.
fn flipped(base64: &str) -> String {
    let (before, after) = base64.split_at(20);
    let other = if after.starts_with('A') { "B" } else { "A" };
    format!("{before}{other}{}", &after[1..])
}

/// The signature of the assertion stands somewhere else than in it; the assertion says what the attacker likes.
fn elsewhere(s: &Setting, place: impl FnOnce(&mut Response, String)) -> Vec<u8> {
    let (signature, plain) = signed(s).apart();
    let mut response = s.answer();
    response.signed = Signed::Nothing;
    place(&mut response, signature);
    response
        .around(&swap(&plain, "ann-0001", ADMIN))
        .unwrap()
        .into_bytes()
}

/// The signature of the assertion stands within the assertion, but deeper.
fn deeper(s: &Setting, before: &str) -> Vec<u8> {
    let parts = signed(s);
    let (signature, plain) = parts.apart();
    let plain = swap(&plain, "ann-0001", ADMIN);
    parts.around(&swap(&plain, before, &format!("{signature}{before}")))
}

/// Two signatures of the two keys of the IdP.
fn two_signatures(s: &Setting, first: TestKey, second: TestKey) -> Vec<u8> {
    let mut response = s.answer();
    response.sign_with(&by(second));
    let once = response.signed_assertion().unwrap();
    let canonical = response.assertion.to_xml().unwrap();
    let id = response.assertion.id.clone().unwrap();
    let more = by(first).sign(&id, &canonical).unwrap();
    response
        .around(&insert_after_issuer(&once, &more))
        .unwrap()
        .into_bytes()
}

/// Two `SignedInfo`: the one that the IdP signed, and one over what the attacker wrote.
fn two_signed_infos(s: &Setting, evil_first: bool) -> Vec<u8> {
    let parts = signed(s);
    let (signature, plain) = parts.apart();
    let evil = swap(&plain, "ann-0001", ADMIN);
    let id = super::surgery::id_of(&evil).to_owned();
    let own = idp().signed_info(&id, &evil);
    let own = own.replacen(&format!(" xmlns:ds=\"{DS}\""), "", 1);
    let (before, theirs, after) = cut(&signature, "ds:SignedInfo");
    let both = if evil_first {
        format!("{before}{own}{theirs}{after}")
    } else {
        format!("{before}{theirs}{own}{after}")
    };
    parts.around(&insert_after_issuer(&evil, &both))
}

/// Two references in one `SignedInfo`: to the assertion, and to the response.
fn two_references(s: &Setting, swapped: bool) -> Vec<u8> {
    let response = s.answer();
    let canonical = response.assertion.to_xml().unwrap();
    let id = response.assertion.id.clone().unwrap();
    let own = idp().reference_element(&id, &canonical);
    let other = idp().reference_element(&response.id.clone().unwrap(), "<other></other>");
    let both = if swapped { other + &own } else { own + &other };
    let signature = idp().over(&idp().signed_info_with(&both)).unwrap();
    let assertion = insert_after_issuer(&canonical, &signature);
    response.around(&assertion).unwrap().into_bytes()
}

/// The signed digest is that of nothing, as after a canonicalization that failed.
fn digest_of_nothing(s: &Setting) -> Vec<u8> {
    let empty = encode_base64(&Digest::Sha256.of(b""));
    let xml = signing(s, &idp(), |info| {
        let (before, _, after) = cut(&info, "ds:DigestValue");
        format!("{before}<ds:DigestValue>{empty}</ds:DigestValue>{after}")
    });
    // A relative namespace name makes some canonicalizers give up with no octets at all.
    let xml = String::from_utf8(xml).unwrap();
    swap(&xml, "<saml:Subject>", "<saml:Subject xmlns:a=\"a/b\">").into_bytes()
}

/// The signature is over no octets.
fn signature_of_nothing(s: &Setting) -> Vec<u8> {
    let value = TestKey::IDP.sign(By::RsaSha256, b"").unwrap();
    let xml = String::from_utf8(valued(s, |_| encode_base64(&value))).unwrap();
    swap(&xml, "<ds:SignedInfo>", "<ds:SignedInfo xmlns:a=\"a/b\">").into_bytes()
}

/// Signed with `used`, and naming another algorithm.
fn claiming(s: &Setting, used: By, claimed: &str) -> Vec<u8> {
    let options = idp().by(used, Digest::Sha256);
    let xml = s.with(|r| r.sign_with(&options));
    swap(&xml, used.uri(), claimed).into_bytes()
}

fn both_with(s: &Setting, assertion: TestKey, response: TestKey) -> Vec<u8> {
    s.with(|r| {
        r.signed = Signed::Both;
        r.assertion_signature = by(assertion);
        r.response_signature = by(response);
    })
    .into_bytes()
}

/// An ECDSA signature as DER, not as two numbers of fixed length (RFC 4051 2.3.6).
fn ecdsa_in_der(s: &Setting) -> Vec<u8> {
    let options = by(TestKey::P256).by(By::EcdsaSha256, Digest::Sha256);
    let xml = s.with(|r| r.sign_with(&options));
    let (before, element, after) = cut(&xml, "ds:SignatureValue");
    let inner = &element["<ds:SignatureValue>".len()..element.len() - "</ds:SignatureValue>".len()];
    let fixed = usher::demo::saml::decode_base64(inner).unwrap();
    let (r, t) = fixed.split_at(32);
    let number = |n: &[u8]| [vec![2, 33, 0], n.to_vec()].concat();
    let body = [number(r), number(t)].concat();
    let der = [vec![0x30, body.len() as u8], body].concat();
    let value = encode_base64(&der);
    format!("{before}<ds:SignatureValue>{value}</ds:SignatureValue>{after}").into_bytes()
}

const XSLT: &str = "http://www.w3.org/TR/1999/REC-xslt-19991116";
const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";
const STYLESHEET: &str = "<xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\">\
<xsl:template match=\"/\"><xsl:copy-of select=\"document('file:///etc/passwd')\"></xsl:copy-of></xsl:template></xsl:stylesheet>";
const BOMB: &str = "<xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\" version=\"1.0\">\
<xsl:template name=\"t\"><xsl:param name=\"n\"></xsl:param><xsl:if test=\"$n &gt; 0\"><xsl:call-template name=\"t\">\
<xsl:with-param name=\"n\" select=\"$n - 1\"></xsl:with-param></xsl:call-template><xsl:call-template name=\"t\">\
<xsl:with-param name=\"n\" select=\"$n - 1\"></xsl:with-param></xsl:call-template></xsl:if></xsl:template></xsl:stylesheet>";

const fn bad(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Signature, make)
}

const fn misplaced(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Shape, make)
}

pub(super) const CASES: &[Case] = &[
    bad("no_signature", |s| {
        s.with(|r| r.signed = Signed::Nothing).into_bytes()
    }),
    bad("signature_stripped", |s| {
        take(&s.with(|_| {}), "ds:Signature").1.into_bytes()
    }),
    bad("signature_of_response_stripped", |s| {
        take(&s.with(|r| r.signed = Signed::Response), "ds:Signature")
            .1
            .into_bytes()
    }),
    bad("tampered_name_id", |s| forged(s, "ann-0001", ADMIN)),
    bad("tampered_attribute", |s| {
        forged(s, "ann@corp.test", "root@corp.test")
    }),
    bad("tampered_time", |s| {
        let before = format!(
            "SessionNotOnOrAfter=\"{}\"",
            usher::demo::saml::at(s.now, 8 * 3600)
        );
        forged(s, &before, "SessionNotOnOrAfter=\"2099-01-01T00:00:00Z\"")
    }),
    bad("tampered_response", |s| {
        let xml = s.with(|r| r.signed = Signed::Response);
        swap(&xml, "ann-0001", ADMIN).into_bytes()
    }),
    bad("tampered_response_of_both", |s| {
        let xml = s.with(|r| r.signed = Signed::Both);
        swap(&xml, "Version=\"2.0\">", "Version=\"2.0\" Consent=\"x\">").into_bytes()
    }),
    bad("signature_value_tampered", |s| valued(s, flipped)),
    bad("signature_value_empty", |s| valued(s, |_| String::new())).saying("is not base64 alone"),
    bad("signature_value_short", |s| {
        valued(s, |_| encode_base64(&[7; 255]))
    }),
    bad("signature_value_long", |s| {
        valued(s, |_| encode_base64(&[7; 257]))
    }),
    bad("signature_value_zero", |s| {
        valued(s, |_| encode_base64(&[0; 256]))
    }),
    bad("signature_value_one", |s| {
        let mut one = [0; 256];
        one[255] = 1;
        valued(s, |_| encode_base64(&one))
    }),
    bad("signature_value_no_base64", |s| {
        valued(s, |v| v.replace('=', "*"))
    }),
    bad("signature_value_twice", |s| {
        let xml = s.with(|_| {});
        let (before, value, after) = cut(&xml, "ds:SignatureValue");
        format!("{before}{value}{value}{after}").into_bytes()
    }),
    bad("digest_tampered", |s| content(s, "ds:DigestValue", flipped)),
    bad("digest_empty", |s| {
        content(s, "ds:DigestValue", |_| String::new())
    }),
    bad("digest_of_another_length", |s| {
        signing(s, &idp(), |info| {
            let (before, _, after) = cut(&info, "ds:DigestValue");
            format!("{before}<ds:DigestValue>AAAA</ds:DigestValue>{after}")
        })
    }),
    bad("digest_smuggled", |s| {
        content(s, "ds:DigestValue", |v| {
            format!("{v}</ds:DigestValue><ds:DigestValue>{v}")
        })
    }),
    bad("digest_with_an_element", |s| {
        content(s, "ds:DigestValue", |v| {
            format!("<ds:DigestValue>{v}</ds:DigestValue>")
        })
    }),
    bad("digest_of_nothing", digest_of_nothing),
    bad("signature_of_nothing", signature_of_nothing),
    bad("keyinfo_own_cert", |s| signed_by(s, &by(TestKey::ATTACKER))),
    bad("keyinfo_stolen_cert", |s| {
        with_key_info(s, TestKey::ATTACKER, KeyInfo::Certificate(TestKey::IDP))
    }),
    bad("keyinfo_absent_attacker", |s| {
        with_key_info(s, TestKey::ATTACKER, KeyInfo::Absent)
    }),
    bad("keyinfo_own_key_value", |s| {
        let modulus = TestKey::ATTACKER.modulus().unwrap();
        let raw = format!(
            "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
        );
        with_key_info(s, TestKey::ATTACKER, KeyInfo::Raw(raw))
    }),
    bad("keyinfo_name", |s| {
        let raw = "<ds:KeyName>idp</ds:KeyName>".to_owned();
        with_key_info(s, TestKey::ATTACKER, KeyInfo::Raw(raw))
    }),
    bad("retrieval_method_url", |s| {
        let raw = format!(
            "<ds:RetrievalMethod Type=\"http://www.w3.org/2000/09/xmldsig#rawX509Certificate\" URI=\"{}/key\"></ds:RetrievalMethod>",
            s.trap
        );
        with_key_info(s, TestKey::ATTACKER, KeyInfo::Raw(raw))
    }),
    bad("keyinfo_twice", |s| {
        let xml = s.with(|_| {});
        let (before, info, after) = cut(&xml, "ds:KeyInfo");
        format!("{before}{info}{info}{after}").into_bytes()
    }),
    bad("other_idp_key", |s| signed_by(s, &by(TestKey::OTHER_IDP))),
    bad("own_key_of_the_sp", |s| signed_by(s, &by(TestKey::SP))),
    bad("rsa_1024", |s| signed_by(s, &by(TestKey::WEAK))),
    Case::refused("cert_expired_policy", Check::CertificateDates, |s| {
        signed_by(s, &by(TestKey::EXPIRED))
    })
    .trusting(&[TestKey::EXPIRED]),
    Case::refused(
        "cert_expired_beside_a_good_one",
        Check::CertificateDates,
        |s| signed_by(s, &by(TestKey::EXPIRED)),
    )
    .trusting(&[TestKey::IDP, TestKey::EXPIRED]),
    Case::refused("cert_of_the_future", Check::CertificateDates, |s| {
        signed_by(s, &by(TestKey::FUTURE))
    })
    .trusting(&[TestKey::FUTURE]),
    bad("hmac_sha256_with_the_certificate", |s| {
        signed_by(s, &idp().by(By::HmacSha256, Digest::Sha256))
    }),
    bad("hmac_sha1_with_the_certificate", |s| {
        signed_by(s, &idp().by(By::HmacSha1, Digest::Sha1))
    }),
    bad("hmac_of_no_length", |s| {
        let options = idp().by(By::HmacSha256, Digest::Sha256);
        signing(s, &options, |info| {
            let end = format!("{}\">", By::HmacSha256.uri());
            swap(
                &info,
                &end,
                &format!("{end}<ds:HMACOutputLength>0</ds:HMACOutputLength>"),
            )
        })
    }),
    bad("sha1_signature", |s| {
        signed_by(s, &idp().by(By::RsaSha1, Digest::Sha256))
    }),
    bad("sha1_digest", |s| {
        signed_by(s, &idp().by(By::RsaSha256, Digest::Sha1))
    }),
    bad("sha1_both", |s| {
        signed_by(s, &idp().by(By::RsaSha1, Digest::Sha1))
    }),
    bad("sha1_of_the_response", |s| {
        s.with(|r| {
            r.signed = Signed::Both;
            r.response_signature = idp().by(By::RsaSha1, Digest::Sha256);
        })
        .into_bytes()
    }),
    bad("rsa_pss", |s| {
        signed_by(s, &idp().by(By::RsaPssSha256, Digest::Sha256))
    }),
    bad("ecdsa_p521", |s| {
        signed_by(s, &by(TestKey::P521).by(By::EcdsaSha512, Digest::Sha512))
    }),
    bad("algorithm_of_another_hash", |s| {
        claiming(s, By::RsaSha256, By::RsaSha512.uri())
    }),
    bad("algorithm_of_another_key", |s| {
        claiming(s, By::RsaSha256, By::EcdsaSha256.uri())
    }),
    bad("algorithm_unknown", |s| {
        claiming(
            s,
            By::RsaSha256,
            "http://www.w3.org/2001/04/xmldsig-more#none",
        )
    }),
    bad("algorithm_empty", |s| claiming(s, By::RsaSha256, "")),
    bad("algorithm_with_a_space", |s| {
        claiming(
            s,
            By::RsaSha256,
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256 ",
        )
    }),
    bad("digest_md5", |s| {
        forged(
            s,
            Digest::Sha256.uri(),
            "http://www.w3.org/2001/04/xmldsig-more#md5",
        )
    }),
    bad("digest_algorithm_of_another_length", |s| {
        signing(s, &idp(), |info| {
            swap(&info, Digest::Sha256.uri(), Digest::Sha512.uri())
        })
    }),
    bad("ecdsa_in_der", ecdsa_in_der).trusting(&[TestKey::P256]),
    bad("ecdsa_of_zeros", |s| {
        let options = by(TestKey::P256).by(By::EcdsaSha256, Digest::Sha256);
        let xml = s.with(|r| r.sign_with(&options));
        let (before, _, after) = cut(&xml, "ds:SignatureValue");
        let zeros = encode_base64(&[0; 64]);
        format!("{before}<ds:SignatureValue>{zeros}</ds:SignatureValue>{after}").into_bytes()
    })
    .trusting(&[TestKey::P256]),
    bad("ecdsa_with_the_hash_of_another_curve", |s| {
        let options = by(TestKey::P384).by(By::EcdsaSha384, Digest::Sha256);
        let xml = s.with(|r| r.sign_with(&options));
        swap(&xml, By::EcdsaSha384.uri(), By::EcdsaSha256.uri()).into_bytes()
    })
    .trusting(&[TestKey::P384]),
    misplaced("two_signatures", |s| {
        two_signatures(s, TestKey::IDP, TestKey::IDP_NEXT)
    }),
    misplaced("loop_capture_two_sigs", |s| {
        two_signatures(s, TestKey::ATTACKER, TestKey::IDP)
    }),
    misplaced("two_sigs_the_first_is_good", |s| {
        two_signatures(s, TestKey::IDP, TestKey::ATTACKER)
    }),
    bad("both_signed_assertion_by_attacker", |s| {
        both_with(s, TestKey::ATTACKER, TestKey::IDP)
    }),
    bad("both_signed_response_by_attacker", |s| {
        both_with(s, TestKey::IDP, TestKey::ATTACKER)
    }),
    misplaced("signature_in_extensions", |s| {
        elsewhere(s, |r, signature| {
            let extensions = format!("<samlp:Extensions>{signature}</samlp:Extensions>");
            r.raw.push((Place::BeforeStatus, extensions));
        })
    }),
    misplaced("signature_in_status_detail", |s| {
        elsewhere(s, |r, signature| {
            let detail = format!("<samlp:StatusDetail>{signature}</samlp:StatusDetail>");
            r.raw.push((Place::InStatus, detail));
        })
    }),
    bad("signature_of_the_assertion_on_the_response", |s| {
        elsewhere(s, |r, signature| {
            r.raw.push((Place::BeforeStatus, signature))
        })
    }),
    misplaced("signature_in_subject", |s| deeper(s, "</saml:Subject>")),
    misplaced("signature_in_confirmation_data", |s| {
        deeper(s, "</saml:SubjectConfirmationData>")
    }),
    misplaced("signature_in_attribute_value", |s| {
        deeper(s, "</saml:AttributeValue>")
    }),
    misplaced("signature_in_advice", |s| {
        let parts = signed(s);
        let (signature, plain) = parts.apart();
        let plain = swap(&plain, "ann-0001", ADMIN);
        let advice = format!("<saml:Advice>{signature}</saml:Advice><saml:AuthnStatement");
        parts.around(&swap(&plain, "<saml:AuthnStatement", &advice))
    }),
    misplaced("signature_of_another_namespace", |s| {
        other_signature_namespace(&s.with(|_| {})).into_bytes()
    }),
    bad("object_in_the_signature", |s| {
        let parts = signed(s);
        let (signature, plain) = parts.apart();
        parts.around(&insert_after_issuer(
            &plain,
            &with_object(&signature, "<a></a>"),
        ))
    }),
    bad("manifest_in_the_signature", |s| {
        let parts = signed(s);
        let (signature, plain) = parts.apart();
        let manifest = idp().reference_element("x", "<x></x>");
        let signature = with_object(
            &signature,
            &format!("<ds:Manifest>{manifest}</ds:Manifest>"),
        );
        parts.around(&insert_after_issuer(&plain, &signature))
    }),
    bad("two_signed_infos", |s| two_signed_infos(s, false)),
    bad("two_signed_infos_evil_first", |s| two_signed_infos(s, true)),
    bad("two_references", |s| two_references(s, false)),
    bad("two_references_other_first", |s| two_references(s, true)),
    bad("no_reference", |s| {
        signing(s, &idp(), |info| take(&info, "ds:Reference").1)
    }),
    bad("reference_missing", |s| {
        with_reference(s, Reference::Absent)
    }),
    bad("reference_uri_empty_on_assertion", |s| uri(s, "")),
    bad("reference_uri_hash_alone", |s| uri(s, "#")),
    bad("reference_uri_dangling", |s| uri(s, "#_nobody")),
    bad("reference_to_other", |s| {
        let mut response = s.answer();
        let target = format!("#{}", response.id.clone().unwrap());
        let mut options = idp();
        options.reference = Reference::Uri(target);
        response.sign_with(&options);
        response.to_xml().unwrap().into_bytes()
    }),
    bad("reference_uri_external", |s| {
        uri(s, &format!("{}/document", s.trap))
    }),
    bad("reference_uri_file", |s| uri(s, "file:///etc/passwd")),
    bad("reference_uri_xpointer_root", |s| uri(s, "#xpointer(/)")),
    bad("reference_uri_xpointer_id", |s| {
        let mut response = s.answer();
        let id = response.assertion.id.clone().unwrap();
        let mut options = idp();
        options.reference = Reference::Uri(format!("#xpointer(id('{id}'))"));
        response.sign_with(&options);
        response.to_xml().unwrap().into_bytes()
    }),
    bad("transform_xslt_file", |s| {
        and_transform(s, XSLT, STYLESHEET)
    }),
    bad("transform_xslt_bomb", |s| and_transform(s, XSLT, BOMB)),
    bad("transform_xpath_hides_the_subject", |s| {
        and_transform(
            s,
            XPATH,
            "<ds:XPath>not(ancestor-or-self::*[local-name()='Subject'])</ds:XPath>",
        )
    }),
    bad("transform_xpath_filter2", |s| {
        and_transform(
            s,
            "http://www.w3.org/2002/06/xmldsig-filter2",
            "<dsf:XPath xmlns:dsf=\"http://www.w3.org/2002/06/xmldsig-filter2\" Filter=\"subtract\">//*</dsf:XPath>",
        )
    }),
    bad("transform_base64", |s| {
        and_transform(s, "http://www.w3.org/2000/09/xmldsig#base64", "")
    }),
    bad("transform_decrypt", |s| {
        and_transform(s, "http://www.w3.org/2002/07/decrypt#XML", "")
    }),
    bad("transform_with_comments", |s| {
        let comments = transform("http://www.w3.org/2001/10/xml-exc-c14n#WithComments", "");
        with_transforms(s, vec![enveloped(), comments])
    }),
    bad("transform_inclusive", |s| {
        let inclusive = transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "");
        with_transforms(s, vec![enveloped(), inclusive])
    }),
    bad("transforms_swapped", |s| {
        with_transforms(s, vec![exclusive(), enveloped()])
    }),
    bad("transforms_three", |s| {
        with_transforms(s, vec![enveloped(), exclusive(), exclusive()])
    }),
    bad("transforms_enveloped_twice", |s| {
        with_transforms(s, vec![enveloped(), enveloped()])
    }),
    bad("transforms_enveloped_alone", |s| {
        with_transforms(s, vec![enveloped()])
    }),
    bad("transforms_exclusive_alone", |s| {
        with_transforms(s, vec![exclusive()])
    }),
    bad("transforms_exclusive_twice", |s| {
        with_transforms(s, vec![exclusive(), exclusive()])
    }),
    bad("transforms_xpath_for_enveloped", |s| {
        let xpath = transform(XPATH, "<ds:XPath>1</ds:XPath>");
        with_transforms(s, vec![xpath, exclusive()])
    }),
    bad("algorithm_unknown_signed", |s| {
        signing(s, &idp(), |info| {
            swap(&info, By::RsaSha256.uri(), "urn:none")
        })
    }),
    bad("digest_unknown_signed", |s| {
        signing(s, &idp(), |info| {
            swap(&info, Digest::Sha256.uri(), "urn:none")
        })
    }),
    bad("id_in_two_spellings", |s| {
        let response = s.answer();
        let id = response.assertion.id.clone().unwrap();
        let canonical = response.assertion.to_xml().unwrap();
        let both = format!(" ID=\"{id}\" Id=\"_other\"");
        let canonical = swap(&canonical, &format!(" ID=\"{id}\""), &both);
        let signature = idp().sign(&id, &canonical).unwrap();
        let assertion = insert_after_issuer(&canonical, &signature);
        response.around(&assertion).unwrap().into_bytes()
    }),
    bad("transforms_none", |s| with_transforms(s, Vec::new())),
    bad("transforms_a_thousand", |s| {
        with_transforms(s, vec![exclusive(); 1000])
    }),
    bad("enveloped_with_content", |s| {
        with_transforms(
            s,
            vec![transform(ENVELOPED, "<ds:XPath>1</ds:XPath>"), exclusive()],
        )
    }),
    bad("canonicalization_with_comments", |s| {
        canonicalized(s, "http://www.w3.org/2001/10/xml-exc-c14n#WithComments")
    }),
    bad("canonicalization_inclusive", |s| {
        canonicalized(s, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")
    }),
    bad("canonicalization_11", |s| {
        canonicalized(s, "http://www.w3.org/2006/12/xml-c14n11")
    }),
    bad("canonicalization_unknown", |s| {
        canonicalized(s, "urn:nothing")
    }),
    bad("canonicalization_missing", |s| {
        signing(s, &idp(), |info| take(&info, "ds:CanonicalizationMethod").1)
    }),
    bad("prefix_list_of_many", |s| {
        let many: Vec<_> = (0..17).map(|n| format!("p{n}")).collect();
        prefixes(s, &many.join(" "))
    }),
    bad("prefix_list_huge", |s| prefixes(s, &"p ".repeat(100_000))),
];
