#![allow(clippy::unwrap_used)]

use super::*;

fn message(text: &str) -> Document<'_> {
    parse(text.as_bytes(), &Limits::MESSAGE).unwrap()
}

fn metadata(text: &str) -> Document<'_> {
    parse(text.as_bytes(), &Limits::METADATA).unwrap()
}

#[test]
fn parses_what_is_well_formed_only() {
    assert!(parse(b"\xEF\xBB\xBF<?xml version='1.0'?><a/>", &Limits::MESSAGE).is_ok());
    for text in [
        "<a></b>",
        "<p:a/>",
        "<a b='' b=''/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
        "<a>]]></a>",
        "<a b=''c=''/>",
        "<1/>",
        "<xmlns:a/>",
        "<a xmlns:xml='urn:other'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
    ] {
        let refused = parse(text.as_bytes(), &Limits::MESSAGE);
        assert!(matches!(refused, Err(XmlError::NotWellFormed(_))), "{text}");
    }
    let refused = parse(b"<!DOCTYPE a><a/>", &Limits::MESSAGE);
    assert!(matches!(
        refused,
        Err(XmlError::Scan(ScanError::Forbidden(_)))
    ));
}

#[test]
fn a_complaint_is_short_however_long_the_name() {
    let name = "n".repeat(100_000);
    let text = format!("<{name}></b>");
    let Err(XmlError::NotWellFormed(complaint)) = parse(text.as_bytes(), &Limits::MESSAGE) else {
        panic!("accepted");
    };
    assert_eq!(complaint.len(), COMPLAINT);
    let text = format!("<{name}>b</{name}>");
    let document = message(&text);
    let XmlError::Shape(complaint) = children(document.root_element()).unwrap_err() else {
        panic!("no complaint about the shape");
    };
    assert!(complaint.len() < 120);
}

#[test]
fn tells_elements_by_their_namespace() {
    let document = message("<a xmlns='urn:x'><b xmlns='urn:y'/><b/></a>");
    let root = document.root_element();
    assert!(is(root, "urn:x", "a"));
    assert!(!is(root, "urn:y", "a"));
    assert!(!is(document.root(), "urn:x", "a"));
    assert_eq!(children(root).unwrap().len(), 2);
    assert!(is(sole(root, "urn:y", "b").unwrap(), "urn:y", "b"));
    assert_eq!(one(root, "urn:z", "b"), Ok(None));
    assert!(sole(root, "urn:z", "b").is_err());
    let document = message("<a xmlns='urn:x'><b/><b/></a>");
    assert!(one(document.root_element(), "urn:x", "b").is_err());
    assert!(sole(document.root_element(), "urn:x", "b").is_err());
}

#[test]
fn takes_no_text_between_elements() {
    let document = message("<a> \n<b/>\t\r\n</a>");
    assert_eq!(children(document.root_element()).unwrap().len(), 1);
    let document = message("<a> <b/>c</a>");
    assert!(children(document.root_element()).is_err());
    let document = message("<a> <b/>\u{A0}</a>");
    assert!(children(document.root_element()).is_err());
    let document = metadata("<a><!-- c --><b/><![CDATA[ ]]></a>");
    assert_eq!(children(document.root_element()).unwrap().len(), 1);
    let document = metadata("<a><b/><![CDATA[c]]></a>");
    assert!(children(document.root_element()).is_err());
}

#[test]
fn text_is_whole_or_refused() {
    for (xml, whole) in [
        ("<a/>", ""),
        ("<a> b &amp; c\r\n</a>", " b & c\n"),
        ("<a><!-- x -->b<!-- x -->c<!----></a>", "bc"),
        (
            "<a>b<![CDATA[<c>&d;]]>e<!-- x --><![CDATA[f]]></a>",
            "b<c>&d;ef",
        ),
        (
            "<a>admin@b.example<!-- -->.evil.example</a>",
            "admin@b.example.evil.example",
        ),
    ] {
        assert_eq!(text(metadata(xml).root_element()).unwrap(), whole, "{xml}");
    }
    assert!(text(message("<a>b<c/></a>").root_element()).is_err());
    assert!(text(message("<a><c>b</c></a>").root_element()).is_err());
}

#[test]
fn an_attribute_of_another_namespace_is_another() {
    let document = message("<a xmlns:p='urn:p' p:ID='evil' xml:ID='evil'/>");
    assert!(attribute(document.root_element(), "ID").is_err());
    assert_eq!(optional_attribute(document.root_element(), "ID"), None);
    let document = message("<a xmlns:p='urn:p' p:ID='evil' ID='good'/>");
    assert_eq!(attribute(document.root_element(), "ID"), Ok("good"));
}
