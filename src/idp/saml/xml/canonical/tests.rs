#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::super::{Document, Limits, parse};
use super::*;

fn document(text: &str) -> Document<'_> {
    parse(text.as_bytes(), &Limits::METADATA).unwrap()
}

/// The first element of that local name.
fn element<'a>(document: &'a Document<'_>, name: &str) -> Node<'a, 'a> {
    document
        .descendants()
        .find(|node| node.is_element() && node.tag_name().name() == name)
        .unwrap()
}

fn canonical_of(text: &str, name: &str, prefixes: &[&str]) -> String {
    let document = document(text);
    String::from_utf8(exclusive(element(&document, name), None, prefixes)).unwrap()
}

fn canonical(text: &str) -> String {
    let document = document(text);
    String::from_utf8(exclusive(document.root_element(), None, &[])).unwrap()
}

#[test]
fn writes_tags_and_white_space_as_the_recommendation_shows() {
    // Canonical XML 1.0, 3.3, with attributes that nothing declares the type of.
    assert_eq!(
        canonical(
            "<?xml version=\"1.0\"?>\r\n<doc>\n   <e1   />\n   <e2   ></e2>\n   <e3   name = \"elem3\"   id=\"elem3\"   />\n\
             <e5 a:attr=\"out\" b:attr=\"sorted\" attr2=\"all\" attr=\"I'm\"\n xmlns:b=\"http://www.ietf.org\"\n \
             xmlns:a=\"http://www.w3.org\"\n xmlns=\"http://example.org\"/>\n   <e6 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\
             <e7 xmlns=\"http://www.ietf.org\"><e8 xmlns=\"\" xmlns:a=\"http://www.w3.org\"><e9 xmlns=\"\" /></e8></e7></e6>\n\
             </doc>\n<!-- after -->"
        ),
        "<doc>\n   <e1></e1>\n   <e2></e2>\n   <e3 id=\"elem3\" name=\"elem3\"></e3>\n\
         <e5 xmlns=\"http://example.org\" xmlns:a=\"http://www.w3.org\" xmlns:b=\"http://www.ietf.org\" attr=\"I'm\" \
         attr2=\"all\" b:attr=\"sorted\" a:attr=\"out\"></e5>\n   <e6><e7 xmlns=\"http://www.ietf.org\"><e8 xmlns=\"\"><e9>\
         </e9></e8></e7></e6>\n</doc>"
    );
}

#[test]
fn escapes_as_the_recommendation_shows() {
    // Canonical XML 1.0, 3.4.
    assert_eq!(
        canonical(
            "<doc><text>First line&#x0d;&#10;Second line</text><value>&#x32;</value>\
             <compute><![CDATA[value>\"0\" && value<\"10\" ?\"valid\":\"error\"]]></compute>\
             <compute expr='value>\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"'>valid</compute>\
             <norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/></doc>"
        ),
        "<doc><text>First line&#xD;\nSecond line</text><value>2</value>\
         <compute>value&gt;\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"</compute>\
         <compute expr=\"value>&quot;0&quot; &amp;&amp; value&lt;&quot;10&quot; ?&quot;valid&quot;:&quot;error&quot;\">valid</compute>\
         <norm attr=\" '    &#xD;&#xA;&#x9;   ' \"></norm></doc>"
    );
}

#[test]
fn line_ends_become_one_feed_in_text_and_one_space_in_attributes() {
    assert_eq!(
        canonical("<a b='1\r\n2\r3\n4\t5'>1\r\n2\r3\n\r4\t\r\r\n&#13;\r</a>"),
        "<a b=\"1 2 3 4 5\">1\n2\n3\n\n4\t\n\n&#xD;\n</a>"
    );
    assert_eq!(
        canonical("<a>\r&amp;\r<![CDATA[\r\n]]>\r&#13;\n</a>"),
        "<a>\n&amp;\n\n\n&#xD;\n</a>"
    );
}

#[test]
fn a_cdata_section_has_no_references() {
    assert_eq!(
        canonical("<a><![CDATA[&lt;]]><![CDATA[\r&lt;\r\n&#65;]]></a>"),
        "<a>&amp;lt;\n&amp;lt;\n&amp;#65;</a>"
    );
}

#[test]
fn the_prefix_xml_is_never_declared_and_its_attributes_are_sorted_by_its_namespace() {
    assert_eq!(
        canonical(
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xmlns:p='http://a' xmlns:q='urn:q' q:b='' xml:lang='e' p:b='' z=''/>"
        ),
        "<a xmlns:p=\"http://a\" xmlns:q=\"urn:q\" z=\"\" p:b=\"\" xml:lang=\"e\" q:b=\"\"></a>"
    );
}

#[test]
fn declares_only_what_is_visibly_used_and_where_it_is_used() {
    // Exclusive XML Canonicalization 1.0, 2.2: the surroundings do not matter.
    let inside = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>";
    for around in [
        format!("<n0:pdu xmlns:n0='a' xml:lang='fr' xml:space='preserve'>{inside}</n0:pdu>"),
        format!(
            "<n2:pdu xmlns:n1='http://example.com' xmlns:n2='http://foo.example' xml:lang='fr'>{inside}</n2:pdu>"
        ),
    ] {
        assert_eq!(canonical_of(&around, "elem2", &[]), inside);
    }
    assert_eq!(
        canonical("<a xmlns:p='urn:p' xmlns:q='urn:q'><p:b/><p:b><p:c q:d=''/></p:b></a>"),
        "<a><p:b xmlns:p=\"urn:p\"></p:b><p:b xmlns:p=\"urn:p\"><p:c xmlns:q=\"urn:q\" q:d=\"\"></p:c></p:b></a>"
    );
}

#[test]
fn declares_again_where_a_prefix_changes_its_namespace() {
    assert_eq!(
        canonical(
            "<p:a xmlns:p='1'><p:a xmlns:p='2'><p:a xmlns:p='1'/></p:a><p:a xmlns:p='1'/></p:a>"
        ),
        "<p:a xmlns:p=\"1\"><p:a xmlns:p=\"2\"><p:a xmlns:p=\"1\"></p:a></p:a><p:a></p:a></p:a>"
    );
}

#[test]
fn takes_back_a_default_namespace_only_where_one_is_in_the_output() {
    assert_eq!(
        canonical_of(
            "<a xmlns='u'><b xmlns=''><c xmlns='v'><d xmlns=''/></c></b></a>",
            "b",
            &[]
        ),
        "<b><c xmlns=\"v\"><d xmlns=\"\"></d></c></b>"
    );
    assert_eq!(
        canonical_of(
            "<a xmlns='u'><p:b xmlns:p='p'><c xmlns=''/></p:b></a>",
            "b",
            &[]
        ),
        "<p:b xmlns:p=\"p\"><c></c></p:b>"
    );
}

#[test]
fn a_listed_prefix_is_declared_where_it_is_in_scope() {
    let text = "<a xmlns='u' xmlns:xs='xs' xmlns:un='un'><b xmlns=''><c xmlns='u' type='xs:string'/><d xmlns:xs='other'/></b></a>";
    assert_eq!(
        canonical_of(text, "b", &["xs", "none", "xml"]),
        "<b xmlns:xs=\"xs\"><c xmlns=\"u\" type=\"xs:string\"></c><d xmlns:xs=\"other\"></d></b>"
    );
    assert_eq!(
        canonical_of(
            "<a xmlns='u'><p:b xmlns:p='p'><p:c xmlns=''/></p:b></a>",
            "b",
            &["#default"]
        ),
        "<p:b xmlns=\"u\" xmlns:p=\"p\"><p:c xmlns=\"\"></p:c></p:b>"
    );
    assert_eq!(
        canonical_of(
            "<a xmlns='u'><p:b xmlns:p='p'><p:c xmlns=''/></p:b></a>",
            "b",
            &[]
        ),
        "<p:b xmlns:p=\"p\"><p:c></p:c></p:b>"
    );
}

#[test]
fn leaves_out_one_subtree_and_nothing_else() {
    let text = "<a> <s xmlns='x'><a/>y</s> <b><s/></b><!-- c --></a>";
    let document = document(text);
    let root = document.root_element();
    let signature = element(&document, "s");
    let octets = exclusive(root, Some(signature.id()), &[]);
    assert_eq!(
        String::from_utf8(octets).unwrap(),
        "<a>  <b><s></s></b></a>"
    );
    assert_eq!(exclusive(root, Some(root.id()), &[]), b"");
    let b = element(&document, "b");
    assert_eq!(exclusive(b, Some(signature.id()), &[]), b"<b><s></s></b>");
    assert_eq!(exclusive(document.root(), None, &[]), b"");
}

#[test]
fn a_message_of_many_groups_and_one_of_a_mebibyte_are_written() {
    let value = "<saml:AttributeValue xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:type='xs:string'>group</saml:AttributeValue>";
    let text = format!("<saml:A xmlns:saml='urn:a'>{}</saml:A>", value.repeat(1500));
    let document = parse(text.as_bytes(), &Limits::MESSAGE).unwrap();
    assert!(exclusive(document.root_element(), None, &["xs"]).len() > text.len() - 100);
    let text = format!("<a>{}</a>", "&amp;\r".repeat((1 << 20) / 6 - 2));
    let document = parse(text.as_bytes(), &Limits::MESSAGE).unwrap();
    assert_eq!(
        exclusive(document.root_element(), None, &[]).len(),
        text.len()
    );
}

#[test]
fn the_output_is_in_proportion_to_the_input() {
    let uri = "u".repeat(Limits::MESSAGE.uri);
    let text = format!("<a xmlns:b='{uri}'>{}</a>", "<b:c/>".repeat(32_000));
    let document = parse(text.as_bytes(), &Limits::MESSAGE).unwrap();
    let octets = exclusive(document.root_element(), None, &[]);
    assert!(
        octets.len() < text.len() * 26,
        "{} of {}",
        octets.len(),
        text.len()
    );
}

/// A small document out of few names, prefixes and namespaces, so that they meet often.
fn markup() -> impl Strategy<Value = String> {
    let prefix = prop_oneof![Just(""), Just("p:"), Just("q:")];
    let declaration = prop_oneof![
        Just(""),
        Just(" xmlns=''"),
        Just(" xmlns='u'"),
        Just(" xmlns='v'"),
        Just(" xmlns:p='v'"),
        Just(" xmlns:q='u&amp;&#9;' xmlns:p='u'"),
    ];
    let attribute = prop_oneof![
        Just(""),
        Just(" p:b='&lt;\t\"'"),
        Just(" q:b='' a='>'"),
        Just(" xml:lang='e'")
    ];
    let content = prop_oneof![
        Just("".to_owned()),
        Just("t&#13;\r\n&gt;".to_owned()),
        Just("<![CDATA[<]]>".to_owned())
    ];
    let element = move |inner: BoxedStrategy<String>| {
        (
            prefix.clone(),
            declaration.clone(),
            attribute.clone(),
            prop::collection::vec(inner, 0..4),
        )
            .prop_map(|(prefix, declaration, attribute, inner)| {
                format!(
                    "<{prefix}e{declaration}{attribute}>{}</{prefix}e>",
                    inner.concat()
                )
            })
    };
    content
        .prop_recursive(5, 40, 4, move |inner| element(inner.boxed()))
        .prop_map(|inner| format!("<p:r xmlns:p='u' xmlns:q='v'>{inner}</p:r>"))
}

proptest! {
    #[test]
    fn canonical_form_is_its_own_canonical_form(text in markup(), listed in prop::sample::subsequence(vec!["p", "q", "#default"], 0..=3)) {
        let before = document(&text);
        for node in before.descendants().filter(Node::is_element) {
            let octets = exclusive(node, None, &listed);
            let after = parse(&octets, &Limits::MESSAGE).unwrap();
            prop_assert_eq!(&exclusive(after.root_element(), None, &listed), &octets);
        }
    }

    #[test]
    fn canonical_form_says_the_same(text in markup()) {
        let before = document(&text);
        let octets = exclusive(before.root_element(), None, &[]);
        let after = parse(&octets, &Limits::MESSAGE).unwrap();
        let facts = |document: &Document<'_>| {
            document
                .descendants()
                .filter(Node::is_element)
                .map(|node| {
                    let name = node.tag_name();
                    let mut attributes: Vec<_> = node
                        .attributes()
                        .map(|a| (a.namespace().map(str::to_owned), a.name().to_owned(), a.value().to_owned()))
                        .collect();
                    attributes.sort();
                    (name.namespace().unwrap_or_default().to_owned(), name.name().to_owned(), attributes)
                })
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(facts(&before), facts(&after));
    }
}
