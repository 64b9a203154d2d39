//! Documents that are no XML, or more of it than a message has any use for.

use usher::idp::saml::Check;

use super::surgery::{forged, signed, swap};
use super::{Case, Setting};

/// A good answer with a document type in front.
fn with_doctype(s: &Setting, doctype: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?>{doctype}{}", s.with(|_| {})).into_bytes()
}

/// With an entity in place of the person.
fn with_entity(s: &Setting, doctype: &str, entity: &str) -> Vec<u8> {
    let xml = swap(&s.with(|_| {}), "ann-0001", entity);
    format!("<?xml version=\"1.0\"?>{doctype}{xml}").into_bytes()
}

fn prolog(s: &Setting, prolog: &str) -> Vec<u8> {
    format!("{prolog}{}", s.with(|_| {})).into_bytes()
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn filled(s: &Setting, before: &str, filling: &str, count: usize) -> Vec<u8> {
    let xml = s.with(|_| {});
    swap(&xml, before, &format!("{}{before}", filling.repeat(count))).into_bytes()
}

/// So many attributes in the start tag of the response.
fn attributes(s: &Setting, count: usize, one: fn(usize) -> String) -> Vec<u8> {
    let many: String = (0..count).map(one).collect();
    let xml = s.with(|_| {});
    swap(&xml, "<samlp:Response ", &format!("<samlp:Response{many} ")).into_bytes()
}

fn nested(s: &Setting, count: usize, open: fn(usize) -> String) -> Vec<u8> {
    let opened: String = (0..count).map(open).collect();
    let closed = "</d>".repeat(count);
    let xml = s.with(|_| {});
    let status = "<samlp:Status>";
    let content = format!("<samlp:Extensions>{opened}{closed}</samlp:Extensions>{status}");
    swap(&xml, status, &content).into_bytes()
}

fn raw(s: &Setting, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    change(s.with(|_| {}).into_bytes())
}

/// Bytes in place of the person.
fn named(s: &Setting, bytes: &[u8]) -> Vec<u8> {
    let xml = s.with(|_| {});
    let (before, after) = xml.split_once("ann-0001").unwrap();
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

fn laughs() -> String {
    let mut text = String::from("<!DOCTYPE r [<!ENTITY a0 \"ha\">");
    for n in 1..12 {
        let previous = format!("&a{};", n - 1).repeat(10);
        text.push_str(&format!("<!ENTITY a{n} \"{previous}\">"));
    }
    text + "]>"
}

/// What the scan says, and the parser behind it does not.
const NO_CHARACTER: &str = "a character that XML does not have";

const fn bad(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Xml, make)
}

pub(super) const CASES: &[Case] = &[
    bad("empty", |_| Vec::new()),
    bad("spaces", |_| b"  \n  ".to_vec()),
    bad("text", |_| b"SAMLResponse".to_vec()),
    bad("json", |_| b"{\"Response\":{}}".to_vec()),
    bad("html", |_| {
        b"<html><body><p>Sign in<br></body></html>".to_vec()
    }),
    bad("comment_in_name_id", |s| {
        forged(s, "ann-0001", "ann<!-- -->-0001")
    }),
    bad("comment_cuts_name_id", |s| {
        let xml = s.with(|r| {
            r.assertion
                .name_id("root@corp.test.evil.test", usher::demo::saml::EMAIL)
        });
        swap(
            &xml,
            "root@corp.test.evil.test",
            "root@corp.test<!---->.evil.test",
        )
        .into_bytes()
    }),
    bad("comment_in_issuer", |s| {
        forged(s, "</saml:Issuer>", "<!-- --></saml:Issuer>")
    }),
    bad("comment_in_attribute_value", |s| {
        forged(s, "ann@corp", "ann<!---->@corp")
    }),
    bad("comment_in_digest", |s| {
        forged(s, "</ds:DigestValue>", "<!-- AAAA --></ds:DigestValue>")
    }),
    bad("comment_before_digest", |s| {
        forged(s, "<ds:DigestValue>", "<ds:DigestValue><!-- A -->")
    }),
    bad("comment_in_signature_value", |s| {
        forged(s, "</ds:SignatureValue>", "<!-- --></ds:SignatureValue>")
    }),
    bad("comment_in_audience", |s| {
        forged(s, "</saml:Audience>", "<!-- --></saml:Audience>")
    }),
    bad("comment_before_the_root", |s| prolog(s, "<!-- -->")),
    bad("comment_after_the_root", |s| {
        forged(s, "</samlp:Response>", "</samlp:Response><!-- -->")
    }),
    bad("cdata_in_name_id", |s| {
        forged(s, "ann-0001", "<![CDATA[ann-0001]]>")
    }),
    bad("cdata_in_digest", |s| {
        forged(s, "<ds:DigestValue>", "<ds:DigestValue><![CDATA[]]>")
    }),
    bad("instruction_in_name_id", |s| {
        forged(s, "ann-0001", "ann<?x y?>-0001")
    }),
    bad("instruction_in_digest", |s| {
        forged(s, "<ds:DigestValue>", "<ds:DigestValue><?x y?>")
    }),
    bad("instruction_before_the_root", |s| {
        prolog(
            s,
            "<?xml-stylesheet type=\"text/xsl\" href=\"http://127.0.0.1:9/\"?>",
        )
    }),
    bad("declaration_in_the_middle", |s| {
        forged(s, "<samlp:Status>", "<?xml version=\"1.0\"?><samlp:Status>")
    }),
    bad("doctype", |s| with_doctype(s, "<!DOCTYPE Response>")),
    bad("doctype_lower_case", |s| {
        with_doctype(s, "<!doctype Response>")
    }),
    bad("doctype_after_the_root", |s| {
        forged(s, "</samlp:Response>", "</samlp:Response><!DOCTYPE r>")
    }),
    bad("doctype_shadow", |s| {
        with_doctype(
            s,
            "<!DOCTYPE Response [<!ATTLIST Response ID CDATA #IMPLIED><!-- <Response> -->]>",
        )
    }),
    bad("attlist_default", |s| {
        with_doctype(
            s,
            "<!DOCTYPE r [<!ATTLIST saml:Assertion ID CDATA \"_evil\">]>",
        )
    }),
    bad("external_dtd", |s| {
        with_doctype(s, &format!("<!DOCTYPE r SYSTEM \"{}/evil.dtd\">", s.trap))
    }),
    bad("external_dtd_public", |s| {
        with_doctype(
            s,
            &format!("<!DOCTYPE r PUBLIC \"-//x\" \"{}/evil.dtd\">", s.trap),
        )
    }),
    bad("xxe_file", |s| {
        with_entity(
            s,
            "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>",
            "&x;",
        )
    }),
    bad("xxe_http", |s| {
        with_entity(
            s,
            &format!("<!DOCTYPE r [<!ENTITY x SYSTEM \"{}/x\">]>", s.trap),
            "&x;",
        )
    }),
    bad("xxe_parameter", |s| {
        with_doctype(
            s,
            &format!("<!DOCTYPE r [<!ENTITY % x SYSTEM \"{}/x\"> %x;]>", s.trap),
        )
    }),
    bad("entity_internal", |s| {
        with_entity(s, "<!DOCTYPE r [<!ENTITY x \"root-0001\">]>", "&x;")
    }),
    bad("entity_undeclared", |s| forged(s, "ann-0001", "&root;")),
    bad("billion_laughs", |s| with_entity(s, &laughs(), "&a11;")),
    bad("quadratic_blowup", |s| {
        let long = "a".repeat(50_000);
        with_entity(
            s,
            &format!("<!DOCTYPE r [<!ENTITY a \"{long}\">]>"),
            &"&a;".repeat(50_000),
        )
    }),
    Case::refused("xinclude", Check::Signature, |s| {
        let include = "<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\" parse=\"text\"></xi:include>";
        forged(s, "ann@corp.test", include)
    }),
    bad("utf16_prolog", |s| {
        prolog(s, "<?xml version=\"1.0\" encoding=\"UTF-16\"?>")
    }),
    bad("utf16_little", |s| {
        utf16(&format!("\u{feff}{}", s.with(|_| {})), u16::to_le_bytes)
    }),
    bad("utf16_big", |s| {
        utf16(&format!("\u{feff}{}", s.with(|_| {})), u16::to_be_bytes)
    }),
    bad("utf16_without_mark", |s| {
        utf16(&s.with(|_| {}), u16::to_le_bytes)
    }),
    bad("utf32", |s| {
        s.with(|_| {})
            .chars()
            .flat_map(|c| u32::from(c).to_be_bytes())
            .collect()
    }),
    bad("encoding_utf7", |s| {
        prolog(s, "<?xml version=\"1.0\" encoding=\"UTF-7\"?>")
    }),
    bad("encoding_latin1", |s| {
        prolog(s, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>")
    }),
    bad("encoding_ebcdic", |s| {
        prolog(s, "<?xml version=\"1.0\" encoding=\"IBM037\"?>")
    }),
    bad("utf7_text", |_| {
        b"+ADw-samlp:Response+AD4-+ADw-/samlp:Response+AD4-".to_vec()
    }),
    bad("version_11", |s| prolog(s, "<?xml version=\"1.1\"?>")),
    bad("mark_twice", |s| prolog(s, "\u{feff}\u{feff}")),
    bad("nul_bytes", |s| named(s, b"ann\0-0001")),
    bad("nul_at_the_end", |s| {
        raw(s, |mut xml| {
            xml.push(0);
            xml
        })
    }),
    bad("control_character", |s| named(s, b"ann\x08-0001")).saying(NO_CHARACTER),
    bad("character_reference_to_nul", |s| named(s, b"ann&#0;-0001")),
    bad("character_reference_to_control", |s| {
        named(s, b"ann&#x1F;-0001")
    }),
    bad("character_reference_to_surrogate", |s| {
        named(s, b"ann&#xD800;-0001")
    }),
    bad("utf8_overlong", |s| named(s, b"ann\xc0\xbc-0001")),
    bad("utf8_surrogate", |s| named(s, b"ann\xed\xa0\x80-0001")),
    bad("utf8_cut", |s| named(s, b"ann\xe2\x82")),
    bad("noncharacter", |s| named(s, "ann\u{ffff}".as_bytes())).saying(NO_CHARACTER),
    bad("depth_49", |s| nested(s, 47, |_| "<d>".to_owned())),
    bad("depth_100000", |s| nested(s, 100_000, |_| "<d>".to_owned())),
    bad("depth_without_end", |_| "<d>".repeat(300_000).into_bytes()),
    bad("attributes_33", |s| {
        attributes(s, 27, |n| format!(" a{n}=\"\""))
    }),
    bad("attributes_85000", |s| {
        attributes(s, 85_000, |n| format!(" a{n}=\"\""))
    }),
    bad("attributes_of_namespaces", |s| {
        attributes(s, 28, |n| format!(" xmlns:a{n}=\"urn:{n}\""))
    }),
    bad("namespaces_65", |s| {
        nested(s, 32, |n| format!("<d xmlns:a{n}=\"u\" xmlns:b{n}=\"u\">"))
    }),
    bad("namespaces_nested", |s| {
        nested(s, 10_000, |n| format!("<d xmlns:n{n}=\"u\">"))
    }),
    bad("attribute_twice", |s| {
        forged(s, "<saml:Assertion ", "<saml:Assertion ID=\"_evil\" ")
    }),
    bad("attribute_twice_by_prefix", |s| {
        let twice = "<saml:Subject xmlns:a=\"u\" xmlns:b=\"u\" a:x=\"1\" b:x=\"2\">";
        forged(s, "<saml:Subject>", twice)
    }),
    bad("prefix_unbound", |s| {
        forged(s, "<samlp:Status>", "<x:y></x:y><samlp:Status>")
    }),
    bad("prefix_xml_rebound", |s| {
        forged(
            s,
            "<samlp:Response ",
            "<samlp:Response xmlns:xml=\"urn:x\" ",
        )
    }),
    bad("prefix_xmlns_bound", |s| {
        forged(
            s,
            "<samlp:Response ",
            "<samlp:Response xmlns:xmlns=\"urn:x\" ",
        )
    }),
    bad("name_with_two_colons", |s| {
        forged(s, "<samlp:Status>", "<samlp:a:b/><samlp:Status>")
    }),
    bad("name_that_begins_with_a_colon", |s| {
        let odd = "<samlp:Extensions><:d></:d></samlp:Extensions><samlp:Status>";
        forged(s, "<samlp:Status>", odd)
    }),
    bad("huge", |s| {
        filled(
            s,
            "<samlp:Status>",
            "<samlp:Extensions></samlp:Extensions>",
            30_000,
        )
    }),
    bad("huge_text", |s| {
        filled(s, "</saml:AttributeValue>", "a", 1 << 20)
    }),
    bad("huge_spaces", |s| filled(s, "<samlp:Status>", " ", 1 << 20)),
    bad("huge_name", |s| {
        let name = "n".repeat(1 << 20);
        forged(
            s,
            "<samlp:Status>",
            &format!("<{name}></{name}><samlp:Status>"),
        )
    }),
    Case::refused("signatures_2000", Check::Shape, |s| {
        let parts = signed(s);
        let small = "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo></ds:SignedInfo></ds:Signature>";
        parts.around(&parts.assertion.replacen(
            "<saml:Subject>",
            &format!("{}<saml:Subject>", small.repeat(2000)),
            1,
        ))
    }),
    bad("elements_200000", |s| {
        filled(s, "<samlp:Status>", "<d/>", 200_000)
    }),
    bad("elements_33000", |s| {
        filled(s, "<samlp:Status>", "<d/>", 33_000)
    }),
    bad("equal_signs_33000", |s| {
        filled(s, "</saml:AttributeValue>", "=", 33_000)
    }),
    Case::refused("elements_30000", Check::Shape, |s| {
        filled(s, "<samlp:Status>", "<d/>", 30_000)
    }),
    Case::refused("assertions_5000", Check::Shape, |s| {
        filled(
            s,
            "</samlp:Response>",
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>",
            10_000,
        )
    }),
    bad("truncated", |s| raw(s, |xml| xml[..xml.len() / 2].to_vec())),
    bad("truncated_at_the_end_tag", |s| {
        raw(s, |xml| xml[..xml.len() - 17].to_vec())
    })
    .saying("an element does not end"),
    bad("truncated_by_one", |s| {
        raw(s, |xml| xml[..xml.len() - 1].to_vec())
    }),
    bad("trailing_text", |s| {
        raw(s, |xml| [xml, b"more".to_vec()].concat())
    }),
    bad("trailing_element", |s| {
        raw(s, |xml| [xml, b"<more/>".to_vec()].concat())
    })
    .saying("something stands outside the root element"),
    bad("trailing_response", |s| {
        raw(s, |xml| [xml.clone(), xml].concat())
    }),
    bad("leading_text", |s| prolog(s, "text")),
    bad("leading_element", |s| prolog(s, "<first/>")),
    bad("end_tag_of_another", |s| {
        forged(s, "</saml:Subject>", "</saml:Subjekt>")
    }),
    bad("less_than_in_attribute", |s| {
        forged(s, "Version=\"2.0\"", "Version=\"<\"")
    }),
    bad("attribute_without_quotes", |s| {
        forged(s, "Version=\"2.0\"", "Version=2.0")
    }),
    bad("attributes_without_space", |s| {
        forged(s, "\" Version=", "\"Version=")
    }),
    bad("end_of_cdata_in_text", |s| {
        forged(s, "ann-0001", "ann]]>-0001")
    }),
    bad("ampersand_alone", |s| forged(s, "ann-0001", "ann & bob")),
    bad("tag_without_name", |s| {
        forged(s, "<samlp:Status>", "< ><samlp:Status>")
    }),
    bad("markup_declaration", |s| {
        forged(s, "<samlp:Status>", "<!ELEMENT a ANY><samlp:Status>")
    }),
];
