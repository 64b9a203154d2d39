#![allow(clippy::unwrap_used)]

use super::*;

const SMALL: Limits = Limits {
    bytes: 4096,
    depth: 4,
    attributes: 3,
    namespaces: 5,
    uri: 20,
    nodes: 50,
    comments: false,
};

fn message(text: &str) -> Result<&str, ScanError> {
    scan(text.as_bytes(), &Limits::MESSAGE)
}

fn metadata(text: &str) -> Result<&str, ScanError> {
    scan(text.as_bytes(), &Limits::METADATA)
}

fn is_forbidden(text: &str) -> bool {
    matches!(message(text), Err(ScanError::Forbidden(_)))
}

fn is_broken(text: &str) -> bool {
    matches!(message(text), Err(ScanError::NotWellFormed(_)))
}

#[test]
fn lets_a_plain_document_through_without_its_byte_order_mark() {
    for text in [
        "<a/>",
        "<a></a>",
        " <a b='>' c = \"'/>\" ><d/>text > ' \" &amp;&lt;&gt;&quot;&apos;&#10;&#x1F600;</a >\r\n",
        "<?xml version=\"1.0\"?><a/>",
        "<?xml version='1.0' encoding='utf-8'?>\n<a/>",
        "<?xml  version=\"1.0\"  encoding=\"UTF-8\" standalone=\"no\" ?><a/>",
        "<?xml version=\"1.0\" standalone=\"yes\"?><a/>",
        "<p:a xmlns:p=\"urn:p\" xmlns='' p:b=''>\u{E9}\u{FEFF}\u{10FFFF}</p:a>",
    ] {
        assert_eq!(message(text), Ok(text));
    }
    assert_eq!(message("\u{FEFF}<a/>"), Ok("<a/>"));
}

#[test]
fn refuses_what_is_not_utf_8() {
    assert_eq!(
        scan(b"<a>\xFF</a>", &Limits::MESSAGE),
        Err(ScanError::Encoding)
    );
    assert_eq!(
        scan(b"<a>\xC0\x80</a>", &Limits::MESSAGE),
        Err(ScanError::Encoding)
    );
    assert_eq!(
        scan(b"\xFF\xFE<\0a\0/\0>\0", &Limits::MESSAGE),
        Err(ScanError::Encoding)
    );
    assert!(matches!(
        scan(b"<\0a\0/\0>\0", &Limits::MESSAGE),
        Err(ScanError::Forbidden(_))
    ));
    for encoding in ["UTF-16", "ISO-8859-1", "US-ASCII", "UTF-7", ""] {
        let text = format!("<?xml version='1.0' encoding='{encoding}'?><a/>");
        assert_eq!(message(&text), Err(ScanError::Encoding), "{text}");
    }
}

#[test]
fn refuses_a_declaration_that_is_not_as_it_must_be() {
    for text in [
        "<?xml version='1.1'?><a/>",
        "<?xml version='1.0'encoding='UTF-8'?><a/>",
        "<?xml version='1.0' standalone='maybe'?><a/>",
        "<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
        "<?xml version='1.0' encoding='UTF-8' encoding='UTF-8'?><a/>",
        "<?xml version='1.0' else='x'?><a/>",
        "<?xml encoding='UTF-8'?><a/>",
        "<?xml ?><a/>",
        "<?xml version='1.0'><a/>",
    ] {
        assert!(is_broken(text), "{text}: {:?}", message(text));
    }
    assert!(is_forbidden("<?xml\tversion='1.0'?><a/>"));
    assert!(is_forbidden(" <?xml version='1.0'?><a/>"));
    assert!(is_forbidden(
        "<?xml version='1.0'?><?xml version='1.0'?><a/>"
    ));
}

#[test]
fn refuses_characters_that_xml_does_not_have() {
    for c in [
        '\0', '\u{1}', '\u{8}', '\u{B}', '\u{C}', '\u{1F}', '\u{FFFE}', '\u{FFFF}',
    ] {
        assert!(is_forbidden(&format!("<a>{c}</a>")), "{c:?}");
        assert!(is_forbidden(&format!("<a b='{c}'/>")), "{c:?}");
        assert!(
            is_forbidden(&format!("<a>&#{};</a>", u32::from(c))),
            "{c:?}"
        );
        assert!(
            is_forbidden(&format!("<a b='&#x{:x};'/>", u32::from(c))),
            "{c:?}"
        );
        assert!(is_forbidden(&format!("<a/>{c}")), "{c:?}");
    }
    assert!(is_forbidden("<a>&#xD800;</a>"));
    assert!(is_forbidden("<a>&#x110000;</a>"));
}

#[test]
fn refuses_declarations_and_instructions_everywhere() {
    for markup in [
        "<!DOCTYPE a>",
        "<!DOCTYPE a [<!ENTITY e 'x'>]>",
        "<!doctype a>",
        "<!ATTLIST a b ID #IMPLIED>",
        "<!>",
        "<!-",
        "<![INCLUDE[]]>",
        "<?php ?>",
        "<?xml-stylesheet href='x'?>",
        "<?",
    ] {
        for text in [
            format!("{markup}<a/>"),
            format!("<a>{markup}</a>"),
            format!("<a/>{markup}"),
        ] {
            assert!(is_forbidden(&text), "{text}");
            assert!(
                matches!(metadata(&text), Err(ScanError::Forbidden(_))),
                "{text}"
            );
        }
    }
}

#[test]
fn takes_comments_and_cdata_in_metadata_only() {
    for text in [
        "<!-- b --><a/>",
        "<a>x<!-- <b> & --></a>",
        "<a/><!-- b -->",
        "<a>x<![CDATA[<b>&c;]]]></a>",
    ] {
        assert!(is_forbidden(text), "{text}");
        assert_eq!(metadata(text), Ok(text));
    }
    for text in [
        "<![CDATA[b]]><a/>",
        "<a/><![CDATA[b]]>",
        "<a><![CDATA[b]]</a>",
        "<a><!-- b </a>",
    ] {
        assert!(
            matches!(metadata(text), Err(ScanError::NotWellFormed(_))),
            "{text}"
        );
    }
}

#[test]
fn refuses_references_that_xml_does_not_predefine() {
    for reference in [
        "&b;",
        "&nbsp;",
        "&AMP;",
        "&",
        "&;",
        "&amp",
        "& amp;",
        "&amp ;",
        "&#;",
        "&#x;",
        "&#X41;",
        "&#-1;",
        "&#+65;",
        "&#xG;",
        "&#1_0;",
        "&#00000000000065;",
        "&#4294967361;",
        "&%b;",
        "&amp",
    ] {
        assert!(is_forbidden(&format!("<a>{reference}</a>")), "{reference}");
        assert!(
            is_forbidden(&format!("<a b='{reference}'/>")),
            "{reference}"
        );
        assert!(
            is_forbidden(&format!("<a xmlns='{reference}'/>")),
            "{reference}"
        );
    }
    assert!(message("<a>&#x0010FFFF;</a>").is_ok());
}

#[test]
fn refuses_what_stands_outside_the_root() {
    for text in [
        "",
        " ",
        "a",
        "a<b/>",
        "<a/>b",
        "<a/><b/>",
        "<a></a></a>",
        "</a>",
        "&amp;<a/>",
        "<a/>&#32;",
        "<a/>\u{A0}",
    ] {
        assert!(is_broken(text), "{text}");
    }
}

#[test]
fn refuses_tags_that_do_not_end() {
    for text in [
        "<",
        "<a",
        "<a ",
        "<a b",
        "<a b=",
        "<a b='",
        "<a b=''",
        "<a/",
        "<a>",
        "<a><b></a>",
        "<a></a",
        "<a b>",
        "<a b=c/>",
        "<a b='<'/>",
        "<a / >",
        "<a b='c\"/>",
        "<a<b/>",
        "< a/>",
        "<>",
        "</>",
        "<a ='b'/>",
        "<a b=\u{E9}/>",
    ] {
        assert!(is_broken(text), "{text}: {:?}", message(text));
    }
}

#[test]
fn refuses_names_and_namespaces_that_parsers_read_differently() {
    for text in [
        "<:a/>",
        "<a:/>",
        "<a:b:c/>",
        "<a :b=''/>",
        "<a b:=''/>",
        "<a b:c:d=''/>",
        "<a xmlns='b' xmlns='c'/>",
    ] {
        assert!(is_broken(text), "{text}");
    }
    for text in [
        "<a xmlns:b=''/>",
        "<a xmlns:xmlns='b'/>",
        "<a b:xmlns='c'/>",
    ] {
        assert!(is_forbidden(text), "{text}");
    }
}

#[test]
fn keeps_every_limit_exactly() {
    let small = |text: &str| scan(text.as_bytes(), &SMALL).map(|_| ());
    let refused = |text: &str| match small(text) {
        Err(ScanError::TooMuch(what, _)) => what,
        other => panic!("{text}: {other:?}"),
    };
    let long = |bytes: usize| format!("<a>{}</a>", "b".repeat(bytes - 7));
    assert_eq!(small(&long(4096)), Ok(()));
    assert_eq!(refused(&long(4097)), "bytes");
    assert_eq!(small("<a><a><a><a/><a/></a></a></a>"), Ok(()));
    assert_eq!(
        refused("<a><a><a><a><a/></a></a></a></a>"),
        "levels of elements"
    );
    assert_eq!(small("<a b='' c='' d=''/>"), Ok(()));
    assert_eq!(refused("<a b='' c='' d='' e=''/>"), "attributes in a tag");
    let scope = "<a xmlns:b='b' xmlns:c='c' xmlns:d='d'><e xmlns:b='b' xmlns:c='c'/><f xmlns:b='b' xmlns='c'>INSIDE</f></a>";
    assert_eq!(small(scope), Ok(()));
    assert_eq!(
        refused(&scope.replace("INSIDE", "<g xmlns='d'/>")),
        "namespaces in scope"
    );
    let uri = |bytes: usize| format!("<a xmlns='{}'/>", "b".repeat(bytes));
    assert_eq!(small(&uri(20)), Ok(()));
    assert_eq!(refused(&uri(21)), "bytes in the URI of a namespace");
    let tags = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 2));
    assert_eq!(small(&tags(50)), Ok(()));
    assert_eq!(refused(&tags(51)), "'<'");
    assert_eq!(small(&format!("<a>{}</a>", "=".repeat(50))), Ok(()));
    assert_eq!(refused(&format!("<a>{}</a>", "=".repeat(51))), "'='");
}

#[test]
fn canonical_octets_are_counted_and_hold_elements_alone() {
    let small = |text: &str| canonical(text.as_bytes(), &SMALL).map(|_| ());
    let tags = |count: usize| "<b></b>".repeat(count / 2);
    assert_eq!(small(&tags(50)), Ok(()));
    assert_eq!(small(&tags(52)), Err(ScanError::TooMuch("'<'", 50)));
    let signs = format!("<a>{}</a>", "=".repeat(51));
    assert_eq!(small(&signs), Err(ScanError::TooMuch("'='", 50)));
    let long = format!("<a>{}</a>", "b".repeat(4090));
    assert_eq!(small(&long), Err(ScanError::TooMuch("bytes", 4096)));
    assert_eq!(canonical(b"<a>\xFF</a>", &SMALL), Err(ScanError::Encoding));
    for odd in ["<!-- -->", "<![CDATA[]]>", "<?b?>", "<!DOCTYPE a>"] {
        let refused = small(&format!("<a>{odd}</a>"));
        assert!(matches!(refused, Err(ScanError::Forbidden(_))), "{odd}");
    }
}

#[test]
fn bounds_how_often_the_tree_copies_namespaces() {
    let around: String = (0..20).map(|n| format!(" xmlns:n{n}='n'")).collect();
    let text = |count: usize| format!("<a{around}>{}</a>", "<e xmlns='e'/>".repeat(count));
    let limits = Limits {
        nodes: 100,
        ..Limits::MESSAGE
    };
    assert!(scan(text(18).as_bytes(), &limits).is_ok());
    assert_eq!(
        scan(text(19).as_bytes(), &limits),
        Err(ScanError::TooMuch("copies of namespaces", 400))
    );
}

/// Whatever goes over the rest of the text for each piece would not end within minutes.
#[test]
fn looks_at_each_byte_a_bounded_number_of_times() {
    const BYTES: usize = 256 << 10;
    let limits = Limits {
        attributes: usize::MAX,
        nodes: usize::MAX,
        depth: BYTES,
        namespaces: usize::MAX,
        ..Limits::METADATA
    };
    for piece in [
        "<a>",
        "<a ",
        "<a b='",
        "<a/>",
        "</a>",
        "a",
        "&amp;",
        "&",
        "b='' ",
        "b=\"'\" ",
        "<!--",
        "<!-",
        "<![CDATA[",
        "-->",
        "]]>",
        "<?",
        ">",
        "  ",
        "=",
        "'",
        "xmlns:b='c' ",
    ] {
        let many = piece.repeat(BYTES / piece.len());
        for start in ["<a>", "<a ", "<a b='"] {
            let _ = scan(format!("{start}{many}").as_bytes(), &limits);
        }
    }
}
