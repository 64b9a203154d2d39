//! The checks of the assertion itself.

use super::super::super::assertion::Attribute;
use super::super::super::check::Check;
use super::*;
use crate::demo::saml::{Confirmation, NameId};

const SENDER_VOUCHES: &str = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches";
const HOLDER_OF_KEY: &str = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key";

fn confirmation(response: &mut Response) -> &mut Confirmation {
    &mut response.assertion.confirmations[0]
}

fn conditions(response: &mut Response) -> &mut saml::Conditions {
    response.assertion.conditions.as_mut().unwrap()
}

fn authn(response: &mut Response) -> &mut saml::AuthnStatement {
    &mut response.assertion.authn[0]
}

#[test]
fn refuses_another_audience() {
    let audiences = |audiences: &[&[&str]]| {
        let audiences: Vec<Vec<String>> = audiences
            .iter()
            .map(|names| names.iter().map(|&name| name.to_owned()).collect())
            .collect();
        move |response: &mut Response| conditions(response).audiences = audiences.clone()
    };
    let other = "https://other.example/metadata";
    let slash = format!("{SP}/");
    for wrong in [
        &[][..],
        &[&[][..]],
        &[&[other]],
        &[&[slash.as_str()]],
        &[&[""]],
        &[&[SP], &[other]],
        &[&[other], &[SP]],
        &[&[SP], &[]],
    ] {
        refuses(Check::Audience, audiences(wrong));
    }
    for right in [&[&[SP][..]][..], &[&[other, SP]], &[&[SP], &[SP, other]]] {
        takes(audiences(right));
    }
}

#[test]
fn refuses_an_assertion_without_conditions() {
    refuses(Check::Conditions, |response| {
        response.assertion.conditions = None;
    });
}

#[test]
fn refuses_conditions_that_it_does_not_know_and_takes_those_that_hold_anyway() {
    for raw in [
        "<saml:Condition></saml:Condition>",
        "<x:OneTimeUse xmlns:x=\"urn:x\"></x:OneTimeUse>",
        "<saml:OneTimeUse></saml:OneTimeUse><saml:OneTimeUse></saml:OneTimeUse>",
        "text",
    ] {
        refuses(Check::Conditions, |response| {
            response.assertion.raw.in_conditions = raw.to_owned();
        });
    }
    takes(|response| conditions(response).one_time_use = true);
    takes(|response| {
        response.assertion.raw.in_conditions =
            "<saml:ProxyRestriction Count=\"0\"><saml:Audience>x</saml:Audience></saml:ProxyRestriction>".to_owned();
    });
}

#[test]
fn conditions_hold_from_their_beginning_to_their_end_with_a_minute_of_skew() {
    for seconds in [-86_400, 0, 59, 60] {
        takes(|response| conditions(response).not_before = at(seconds));
    }
    for seconds in [61, 3600] {
        refuses(Check::Time, |response| {
            conditions(response).not_before = at(seconds);
        });
    }
    for seconds in [-59, 0, 3600] {
        takes(|response| {
            conditions(response).not_before = at(-3600);
            conditions(response).not_on_or_after = at(seconds);
        });
    }
    for seconds in [-60, -61, -3600] {
        refuses(Check::Time, |response| {
            conditions(response).not_before = at(-7200);
            conditions(response).not_on_or_after = at(seconds);
        });
    }
    refuses(Check::Time, |response| {
        conditions(response).not_before = at(30);
        conditions(response).not_on_or_after = at(30);
    });
    takes(|response| {
        conditions(response).not_before = None;
        conditions(response).not_on_or_after = None;
    });
}

#[test]
fn refuses_another_recipient() {
    for recipient in [
        None,
        text(""),
        text("https://other.example/acs"),
        Some(format!("{ACS}?x")),
    ] {
        refuses(Check::Recipient, |response| {
            confirmation(response).recipient = recipient.clone();
        });
    }
}

#[test]
fn needs_exactly_one_bearer_confirmation_with_its_data() {
    refuses(Check::Recipient, |response| {
        response.assertion.confirmations.clear();
    });
    refuses(Check::Recipient, |response| {
        confirmation(response).has_data = false;
    });
    for method in [None, text(""), text(SENDER_VOUCHES), text(HOLDER_OF_KEY)] {
        refuses(Check::Recipient, |response| {
            confirmation(response).method = method.clone();
        });
    }
    refuses(Check::Recipient, |response| {
        let mut other = confirmation(response).clone();
        other.recipient = text("https://other.example/acs");
        response.assertion.confirmations.push(other);
    });
    // What another method would confirm is not looked at.
    takes(|response| {
        let mut other = confirmation(response).clone();
        other.method = text(SENDER_VOUCHES);
        other.recipient = text("https://other.example/acs");
        response.assertion.confirmations.insert(0, other);
    });
}

#[test]
fn a_bearer_confirmation_ends_and_does_not_begin() {
    for seconds in [-59, 0, 3600] {
        takes(|response| confirmation(response).not_on_or_after = at(seconds));
    }
    for end in [None, at(-60), at(-61), at(-86_400)] {
        refuses(Check::Time, |response| {
            confirmation(response).not_on_or_after = end.clone();
        });
    }
    refuses(Check::Time, |response| {
        confirmation(response).not_before = at(-30);
    });
}

#[test]
fn the_address_of_the_browser_is_not_compared() {
    takes(|response| confirmation(response).address = text("192.0.2.1:4711"));
    refuses(Check::Shape, |response| {
        response.assertion.raw.in_confirmation_data = "<x:y xmlns:x=\"urn:x\"></x:y>".to_owned();
    });
}

#[test]
fn needs_exactly_one_name_id() {
    refuses(Check::NameId, |response| {
        response.assertion.has_subject = false;
    });
    refuses(Check::NameId, |response| {
        response.assertion.name_ids.clear();
    });
    refuses(Check::NameId, |response| {
        let twice = NameId::new("mallory", saml::PERSISTENT);
        response.assertion.name_ids.push(twice);
    });
    refuses(Check::Shape, |response| {
        response.assertion.name_ids.clear();
        response.assertion.raw.in_subject = "<saml:BaseID></saml:BaseID>".to_owned();
    });
    refuses(Check::NameId, |response| {
        response.assertion.name_ids.clear();
        response.assertion.raw.in_subject =
            "<saml:NameID>ann<saml:x></saml:x>-1</saml:NameID>".to_owned();
    });
}

#[test]
fn refuses_name_ids_that_are_empty_too_long_or_hold_control_characters() {
    let long = "x".repeat(1025);
    for value in [
        "",
        " ",
        "\n",
        "ann\n",
        "a\tb",
        "a\u{85}b",
        "a\u{2028}b",
        &long,
    ] {
        refuses(Check::NameId, |response| {
            response.assertion.name_id(value, saml::PERSISTENT);
        });
    }
    for attribute in [
        |name_id: &mut NameId| name_id.format = text("a\tb"),
        |name_id: &mut NameId| name_id.name_qualifier = text("a\nb"),
        |name_id: &mut NameId| name_id.sp_name_qualifier = Some("x".repeat(1025)),
    ] {
        refuses(Check::NameId, |response| {
            attribute(&mut response.assertion.name_ids[0]);
        });
    }
}

#[test]
fn a_name_id_is_read_whole_as_it_stands() {
    let longest = "é".repeat(1024);
    for value in [
        "ann@globex.example",
        "ann@globex.example.evil.example",
        " Ann ",
        "a&b<c>\"'",
        &longest,
    ] {
        let mut response = good();
        response.assertion.name_id(value, saml::EMAIL);
        response.assertion.name_ids[0].name_qualifier = text(IDP);
        response.assertion.name_ids[0].sp_name_qualifier = text(SP);
        let assertion = arrive(&response.to_xml().unwrap()).unwrap();
        assert_eq!(assertion.name_id().value, value);
        assert_eq!(assertion.name_id().format, saml::EMAIL);
        assert_eq!(assertion.name_id().name_qualifier.as_deref(), Some(IDP));
        assert_eq!(assertion.name_id().sp_name_qualifier.as_deref(), Some(SP));
    }
    let mut response = good();
    response.assertion.name_ids[0].format = None;
    let assertion = arrive(&response.to_xml().unwrap()).unwrap();
    assert!(
        assertion
            .name_id()
            .format
            .ends_with("nameid-format:unspecified")
    );
}

#[test]
fn needs_exactly_one_authentication_statement() {
    refuses(Check::Authn, |response| response.assertion.authn.clear());
    refuses(Check::Shape, |response| {
        let twice = authn(response).clone();
        response.assertion.authn.push(twice);
    });
    refuses(Check::Authn, |response| {
        response.assertion.authn.clear();
        response.assertion.raw.at_end =
            "<saml:AuthnStatement AuthnInstant=\"2026-11-22T10:00:00Z\"></saml:AuthnStatement>"
                .to_owned();
    });
}

#[test]
fn the_person_signed_in_within_the_last_day() {
    for seconds in [60, 0, -86_400, -86_459] {
        takes(|response| authn(response).instant = at(seconds));
    }
    for instant in [
        None,
        at(61),
        at(-86_460),
        at(-30 * 86_400),
        text("2011-01-01T00:00:00Z"),
    ] {
        refuses(Check::Time, |response| {
            authn(response).instant = instant.clone();
        });
    }
    let mut response = good();
    authn(&mut response).instant = at(-90_000);
    let refused = arrive(&response.to_xml().unwrap()).unwrap_err();
    assert!(refused.sentence().contains("force_authn"));
}

#[test]
fn the_person_signed_in_just_now_where_that_was_asked_for() {
    let check = |seconds| {
        let mut response = good();
        authn(&mut response).instant = at(seconds);
        let certificates = [certificate(TestKey::IDP)];
        let expected = Expected {
            authenticated_within: AUTHENTICATED_ANEW,
            ..expected(Origin::Requested(REQUEST), &certificates)
        };
        let xml = response.to_xml().unwrap();
        verify(xml.as_bytes(), &expected, &mut Steps::default()).map_err(|refused| refused.check)
    };
    check(-959).unwrap();
    assert_eq!(check(-960).unwrap_err(), Check::Time);
}

#[test]
fn the_person_signed_in_in_a_way_that_was_asked_for() {
    let asked = ["urn:x:mfa".to_owned(), "urn:x:smartcard".to_owned()];
    let check = |context: Option<&str>| {
        let mut response = good();
        authn(&mut response).context = context.map(str::to_owned);
        let certificates = [certificate(TestKey::IDP)];
        let expected = Expected {
            authn_context: &asked,
            ..expected(Origin::Requested(REQUEST), &certificates)
        };
        let xml = response.to_xml().unwrap();
        verify(xml.as_bytes(), &expected, &mut Steps::default()).map_err(|refused| refused.check)
    };
    check(Some("urn:x:mfa")).unwrap();
    check(Some("urn:x:smartcard")).unwrap();
    for other in [None, Some(saml::PASSWORD), Some("urn:x:mfa2")] {
        assert_eq!(check(other).unwrap_err(), Check::Authn);
    }
}

#[test]
fn refuses_a_session_that_is_over() {
    for seconds in [-59, 0, 30] {
        takes(|response| authn(response).session_ends_at = at(seconds));
    }
    for seconds in [-60, -3600] {
        refuses(Check::Time, |response| {
            authn(response).session_ends_at = at(seconds);
        });
    }
    takes(|response| authn(response).session_ends_at = None);
}

#[test]
fn session_index_and_context_are_lines() {
    for bad in ["", "a\nb", &"x".repeat(1025)] {
        refuses(Check::Authn, |response| {
            authn(response).session_index = text(bad);
        });
        refuses(Check::Authn, |response| authn(response).context = text(bad));
    }
    takes(|response| {
        authn(response).session_index = None;
        authn(response).context = None;
        response.assertion.raw.in_authn_context = "<saml:AuthnContextDeclRef>x</saml:AuthnContextDeclRef><saml:AuthenticatingAuthority>y</saml:AuthenticatingAuthority>".to_owned();
    });
}

fn attributes_of(raw: &str) -> Result<Vec<Attribute>, Refused> {
    let mut response = good();
    response.assertion.attributes.clear();
    response.assertion.raw.in_attributes = raw.to_owned();
    arrive(&response.to_xml().unwrap()).map(|assertion| assertion.attributes().to_vec())
}

#[test]
fn an_assertion_may_have_no_attributes() {
    takes(|response| response.assertion.attributes.clear());
    assert_eq!(attributes_of(" ").unwrap(), []);
}

#[test]
fn refuses_attributes_without_a_name_or_encrypted_alone() {
    for raw in [
        "<saml:Attribute></saml:Attribute>",
        "<saml:Attribute Name=\"\"></saml:Attribute>",
        "<saml:Attribute xmlns:x=\"urn:x\" x:Name=\"mail\"></saml:Attribute>",
        "<saml:EncryptedAttribute></saml:EncryptedAttribute>",
        "<saml:EncryptedAttribute Name=\"mail\"></saml:EncryptedAttribute>",
    ] {
        assert_eq!(attributes_of(raw).unwrap_err().check, Check::Attributes);
    }
    for raw in [
        "<x:Attribute xmlns:x=\"urn:x\" Name=\"mail\"></x:Attribute>",
        "<saml:Attribute Name=\"mail\">ann</saml:Attribute>",
        "<saml:Attribute Name=\"mail\"><x:AttributeValue xmlns:x=\"urn:x\">ann</x:AttributeValue></saml:Attribute>",
    ] {
        assert_eq!(attributes_of(raw).unwrap_err().check, Check::Shape);
    }
}

#[test]
fn values_are_texts_and_what_is_none_is_left_out() {
    let values = |values: &str| {
        let raw =
            format!("<saml:Attribute FriendlyName=\"f\" Name=\"n\">{values}</saml:Attribute>");
        let read = attributes_of(&raw).unwrap();
        assert_eq!(read[0].name, "n");
        assert_eq!(read[0].friendly_name.as_deref(), Some("f"));
        read[0].values.clone()
    };
    let value = |inner: &str| {
        values(&format!(
            "<saml:AttributeValue>{inner}</saml:AttributeValue>"
        ))
    };
    assert_eq!(values(""), Vec::<String>::new());
    assert_eq!(value(" a&amp;b "), [" a&b "]);
    assert_eq!(
        value("<saml:NameID Format=\"x\">p-1</saml:NameID>"),
        ["p-1"]
    );
    for nothing in [
        "",
        " \n ",
        "<saml:NameID></saml:NameID>",
        "<x:NameID xmlns:x=\"urn:x\">p-1</x:NameID>",
        "<saml:NameID>a</saml:NameID><saml:NameID>b</saml:NameID>",
        "text<saml:NameID>a</saml:NameID>",
    ] {
        assert_eq!(value(nothing), Vec::<String>::new(), "{nothing}");
    }
    let xsi = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";
    for nil in ["true", "1"] {
        let nil = format!("<saml:AttributeValue {xsi} xsi:nil=\"{nil}\">x</saml:AttributeValue>");
        assert_eq!(values(&nil), Vec::<String>::new());
    }
    let typed = format!("<saml:AttributeValue {xsi} xsi:nil=\"false\">x</saml:AttributeValue>");
    assert_eq!(values(&typed), ["x"]);
}

#[test]
fn takes_fifteen_hundred_groups_and_refuses_more_than_two_thousand_values() {
    let with = |count: usize| {
        let groups: Vec<_> = (0..count).map(|at| format!("group-{at}")).collect();
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        let mut response = good();
        response.assertion.attribute("groups", &groups);
        arrive(&response.to_xml().unwrap())
    };
    assert_eq!(with(1_500).unwrap().attributes()[1].values.len(), 1_500);
    with(2_000).unwrap();
    assert_eq!(with(2_001).unwrap_err().check, Check::Attributes);
    let many = "<saml:Attribute Name=\"n\"></saml:Attribute>".repeat(2_001);
    assert_eq!(attributes_of(&many).unwrap_err().check, Check::Attributes);
}
