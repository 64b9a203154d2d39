//! Answers that the IdP itself signed, each with one thing wrong (SAML Core 2 and 3, Profiles 4.1.4.2 and 4.1.4.3).

use usher::demo::saml::{
    AuthnStatement, Conditions, Confirmation, EMAIL, NameId, PERSISTENT, Place, Response, SAML,
    SUCCESS, SignatureOptions, Signed, TestKey, at,
};
use usher::idp::saml::Check;

use super::{Case, Setting};

fn own(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A good answer but for one thing.
fn but(s: &Setting, change: impl FnOnce(&mut Response)) -> Vec<u8> {
    s.with(change).into_bytes()
}

/// The same, with the response signed besides.
fn but_both(s: &Setting, change: impl FnOnce(&mut Response)) -> Vec<u8> {
    s.with(|r| {
        r.signed = Signed::Both;
        change(r);
    })
    .into_bytes()
}

fn confirmation(s: &Setting, change: impl FnOnce(&mut Confirmation)) -> Vec<u8> {
    but(s, |r| change(&mut r.assertion.confirmations[0]))
}

fn conditions(s: &Setting, change: impl FnOnce(&mut Conditions)) -> Vec<u8> {
    but(s, |r| change(r.assertion.conditions.as_mut().unwrap()))
}

fn audiences(s: &Setting, audiences: &[&[&str]]) -> Vec<u8> {
    let list = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    conditions(s, |c| c.audiences = audiences.iter().map(list).collect())
}

fn authn(s: &Setting, change: impl FnOnce(&mut AuthnStatement)) -> Vec<u8> {
    but(s, |r| change(&mut r.assertion.authn[0]))
}

/// `NotOnOrAfter` of the confirmation.
fn until(s: &Setting, text: &str) -> Vec<u8> {
    confirmation(s, |c| c.not_on_or_after = own(text))
}

fn named(s: &Setting, value: &str) -> Vec<u8> {
    but(s, |r| r.assertion.name_id(value, PERSISTENT))
}

fn assertion_id(s: &Setting, id: &str) -> Vec<u8> {
    but(s, |r| r.assertion.id = own(id))
}

fn response_id(s: &Setting, id: &str) -> Vec<u8> {
    but_both(s, |r| r.id = own(id))
}

fn status(s: &Setting, code: &str) -> Vec<u8> {
    but(s, |r| {
        r.status = own(&format!("urn:oasis:names:tc:SAML:2.0:status:{code}"))
    })
}

fn unasked(s: &Setting, change: impl FnOnce(&mut Response)) -> Vec<u8> {
    let mut response = s.unasked();
    change(&mut response);
    response.to_xml().unwrap().into_bytes()
}

/// The value of an attribute is an element, which the IdP signed.
fn in_value(s: &Setting, element: &str) -> Vec<u8> {
    but(s, |r| {
        r.assertion.raw.in_attributes = format!(
            "<saml:Attribute Name=\"any\"><saml:AttributeValue>{element}</saml:AttributeValue></saml:Attribute>"
        );
    })
}

const HOLDER_OF_KEY: &str = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key";
const SENDER_VOUCHES: &str = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches";

const fn case(name: &'static str, check: Check, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, check, make)
}

/// Versions, status, issuers, destination, the request.
const ENVELOPE: &[Case] = &[
    case("version_of_response_1_1", Check::Version, |s| {
        but_both(s, |r| r.version = own("1.1"))
    }),
    case("version_of_response_2_1", Check::Version, |s| {
        but_both(s, |r| r.version = own("2.1"))
    }),
    case("version_of_response_missing", Check::Version, |s| {
        but_both(s, |r| r.version = None)
    }),
    case("version_of_assertion_1_1", Check::Version, |s| {
        but(s, |r| r.assertion.version = own("1.1"))
    }),
    case("version_of_assertion_missing", Check::Version, |s| {
        but(s, |r| r.assertion.version = None)
    }),
    case("status_responder_with_assertion", Check::Status, |s| {
        status(s, "Responder")
    }),
    case("status_requester", Check::Status, |s| {
        status(s, "Requester")
    }),
    case("status_authn_failed", Check::Status, |s| {
        but_both(s, |r| {
            r.status = own("urn:oasis:names:tc:SAML:2.0:status:Responder");
            r.sub_status = own("urn:oasis:names:tc:SAML:2.0:status:AuthnFailed");
        })
    }),
    case("status_success_below_responder", Check::Status, |s| {
        but(s, |r| {
            r.status = own("urn:oasis:names:tc:SAML:2.0:status:Responder");
            r.sub_status = own(SUCCESS);
        })
    }),
    case("status_missing", Check::Shape, |s| {
        but(s, |r| r.status = None)
    }),
    case("status_empty", Check::Status, |s| {
        but(s, |r| r.status = own(""))
    }),
    case("status_lower_case", Check::Status, |s| status(s, "success")),
    case("status_with_a_space", Check::Status, |s| {
        status(s, "Success ")
    }),
    case("status_of_saml_11", Check::Status, |s| {
        but(s, |r| r.status = own("samlp:Success"))
    }),
    case("issuer_of_response_other", Check::Issuer, |s| {
        but(s, |r| r.issuer = own("https://other.test"))
    }),
    case("issuer_of_response_empty", Check::Issuer, |s| {
        but(s, |r| r.issuer = own(""))
    }),
    case("issuer_of_signed_response_missing", Check::Issuer, |s| {
        but_both(s, |r| r.issuer = None)
    }),
    case("issuer_of_assertion_other", Check::Issuer, |s| {
        but(s, |r| r.assertion.issuer = own("https://other.test"))
    }),
    case("issuer_of_assertion_missing", Check::Issuer, |s| {
        but(s, |r| r.assertion.issuer = None)
    }),
    case("issuer_of_assertion_with_a_space", Check::Issuer, |s| {
        but(s, |r| r.assertion.issuer = Some(format!("{} ", s.idp)))
    }),
    case("issuer_of_assertion_upper_case", Check::Issuer, |s| {
        but(s, |r| r.assertion.issuer = Some(s.idp.to_uppercase()))
    }),
    case("issuer_of_assertion_longer", Check::Issuer, |s| {
        but(s, |r| r.assertion.issuer = Some(format!("{}2", s.idp)))
    }),
    case("issuer_format_email", Check::Issuer, |s| {
        but(s, |r| r.assertion.issuer_format = own(EMAIL))
    }),
    case("mix_up_by_issuer", Check::Signature, |s| {
        but(s, |r| {
            r.issuer = own("https://other.test");
            r.assertion.issuer = own("https://other.test");
            r.sign_with(&SignatureOptions::of(TestKey::OTHER_IDP));
        })
    }),
    case("mix_up_by_issuer_of_the_assertion", Check::Signature, |s| {
        but(s, |r| {
            r.issuer = None;
            r.assertion.issuer = own("https://other.test");
            r.sign_with(&SignatureOptions::of(TestKey::OTHER_IDP));
        })
    }),
    case("mix_up_by_key", Check::Signature, |s| {
        but(s, |r| {
            r.sign_with(&SignatureOptions::of(TestKey::OTHER_IDP))
        })
    }),
    case("mix_up_of_one_key_by_issuer", Check::Issuer, |s| {
        but(s, |r| {
            r.issuer = own("https://tenant2.test");
            r.assertion.issuer = own("https://tenant2.test");
        })
    }),
    case("destination_missing_signed", Check::Destination, |s| {
        but_both(s, |r| r.destination = None)
    }),
    case("destination_other", Check::Destination, |s| {
        but_both(s, |r| r.destination = own("https://other.test/acs"))
    }),
    case("destination_other_unsigned", Check::Destination, |s| {
        but(s, |r| r.destination = own("https://other.test/acs"))
    }),
    case("destination_empty", Check::Destination, |s| {
        but_both(s, |r| r.destination = own(""))
    }),
    case("destination_with_a_slash", Check::Destination, |s| {
        but_both(s, |r| r.destination = Some(format!("{}/", s.acs)))
    }),
    case("destination_with_a_query", Check::Destination, |s| {
        but_both(s, |r| r.destination = Some(format!("{}?a=b", s.acs)))
    }),
    case("destination_prefix", Check::Destination, |s| {
        but_both(s, |r| {
            r.destination = Some(s.acs[..s.acs.len() - 1].to_owned())
        })
    }),
    case(
        "in_response_to_of_response_missing",
        Check::InResponseTo,
        |s| but(s, |r| r.in_response_to = None),
    ),
    case(
        "in_response_to_of_response_other",
        Check::InResponseTo,
        |s| but(s, |r| r.in_response_to = own("_other")),
    ),
    case(
        "in_response_to_of_response_empty",
        Check::InResponseTo,
        |s| but(s, |r| r.in_response_to = own("")),
    ),
    case(
        "in_response_to_of_confirmation_missing",
        Check::InResponseTo,
        |s| confirmation(s, |c| c.in_response_to = None),
    ),
    case(
        "in_response_to_of_confirmation_other",
        Check::InResponseTo,
        |s| confirmation(s, |c| c.in_response_to = own("_other")),
    ),
    case("idp_initiated_when_disabled", Check::InResponseTo, |s| {
        unasked(s, |_| {})
    }),
    case(
        "unsolicited_with_in_response_to",
        Check::InResponseTo,
        |s| unasked(s, |r| r.in_response_to = own("_any")),
    )
    .unasked(),
    case(
        "unsolicited_with_confirmation_of_a_request",
        Check::InResponseTo,
        |s| {
            unasked(s, |r| {
                r.assertion.confirmations[0].in_response_to = own("_any")
            })
        },
    )
    .unasked(),
    case("unsolicited_stolen_answer", Check::InResponseTo, |s| {
        s.with(|_| {}).into_bytes()
    })
    .unasked(),
    case("id_of_response_missing", Check::Shape, |s| {
        but(s, |r| r.id = None)
    }),
    case("id_of_response_empty", Check::Shape, |s| {
        but(s, |r| r.id = own(""))
    }),
    case("id_of_assertion_missing", Check::Shape, |s| {
        but(s, |r| r.assertion.id = None)
    }),
    case(
        "id_of_assertion_missing_under_a_signature",
        Check::Shape,
        |s| {
            but(s, |r| {
                r.assertion.id = None;
                r.signed = Signed::Response;
            })
        },
    ),
    case("id_of_assertion_empty", Check::Shape, |s| {
        assertion_id(s, "")
    }),
    case("id_single_quote", Check::Shape, |s| {
        assertion_id(s, "_'or'1'='1")
    }),
    case("id_double_quote", Check::Shape, |s| assertion_id(s, "_\"x")),
    case("id_crlf", Check::Shape, |s| {
        assertion_id(s, "_a\r\nSet-Cookie: a=b")
    }),
    case("id_64KiB", Check::Shape, |s| {
        assertion_id(s, &format!("_{}", "a".repeat(65_536)))
    }),
    case("id_redis_glob", Check::Shape, |s| {
        assertion_id(s, "_*?[a-z]")
    }),
    case("id_sql", Check::Shape, |s| {
        assertion_id(s, "_'; DROP TABLE claims; --")
    }),
    case("id_with_a_space", Check::Shape, |s| assertion_id(s, "_a b")),
    case("id_of_response_crlf", Check::Shape, |s| {
        response_id(s, "_a\r\nX: y")
    }),
    case("id_of_response_64KiB", Check::Shape, |s| {
        response_id(s, &format!("_{}", "a".repeat(65_536)))
    }),
];

/// Instants.
const TIMES: &[Case] = &[
    case("not_before_future", Check::Time, |s| {
        conditions(s, |c| c.not_before = Some(at(s.now, 200)))
    }),
    case("not_before_just_beyond_the_skew", Check::Time, |s| {
        conditions(s, |c| c.not_before = Some(at(s.now, 62)))
    }),
    case("not_on_or_after_past", Check::Time, |s| {
        conditions(s, |c| c.not_on_or_after = Some(at(s.now, -200)))
    }),
    case("not_on_or_after_at_the_skew", Check::Time, |s| {
        conditions(s, |c| {
            c.not_before = Some(at(s.now, -200));
            c.not_on_or_after = Some(at(s.now, -60));
        })
    }),
    case("conditions_end_before_they_begin", Check::Time, |s| {
        conditions(s, |c| {
            c.not_before = Some(at(s.now, 30));
            c.not_on_or_after = Some(at(s.now, 10));
        })
    }),
    case("scd_expired", Check::Time, |s| until(s, &at(s.now, -200))),
    case("scd_at_the_skew", Check::Time, |s| {
        until(s, &at(s.now, -60))
    }),
    case("scd_missing_notonorafter", Check::Time, |s| {
        confirmation(s, |c| c.not_on_or_after = None)
    }),
    case("scd_not_before", Check::Time, |s| {
        confirmation(s, |c| c.not_before = Some(at(s.now, -30)))
    }),
    case("scd_not_before_future", Check::Time, |s| {
        confirmation(s, |c| c.not_before = Some(at(s.now, 200)))
    }),
    case("issue_instant_of_response_old", Check::Time, |s| {
        but(s, |r| r.issue_instant = Some(at(s.now, -3600)))
    }),
    case("issue_instant_of_response_future", Check::Time, |s| {
        but(s, |r| r.issue_instant = Some(at(s.now, 3600)))
    }),
    case("issue_instant_of_response_missing", Check::Time, |s| {
        but(s, |r| r.issue_instant = None)
    }),
    case("issue_instant_of_assertion_old", Check::Time, |s| {
        but(s, |r| r.assertion.issue_instant = Some(at(s.now, -86_400)))
    }),
    case("issue_instant_of_assertion_future", Check::Time, |s| {
        but(s, |r| r.assertion.issue_instant = Some(at(s.now, 3600)))
    }),
    case("issue_instant_of_assertion_missing", Check::Time, |s| {
        but(s, |r| r.assertion.issue_instant = None)
    }),
    case("authn_instant_old", Check::Time, |s| {
        authn(s, |a| a.instant = Some(at(s.now, -90 * 86_400)))
    }),
    case("authn_instant_future", Check::Time, |s| {
        authn(s, |a| a.instant = Some(at(s.now, 3600)))
    }),
    case("authn_instant_missing", Check::Time, |s| {
        authn(s, |a| a.instant = None)
    }),
    case("session_notonorafter_past", Check::Time, |s| {
        authn(s, |a| a.session_ends_at = Some(at(s.now, -200)))
    }),
    case("timezone_offset", Check::Time, |s| {
        until(s, &at(s.now, 300).replace('Z', "+00:00"))
    }),
    case("timezone_offset_ahead", Check::Time, |s| {
        until(s, &at(s.now, 300).replace('Z', "-12:00"))
    }),
    case("timezone_missing", Check::Time, |s| {
        until(s, &at(s.now, 300).replace('Z', ""))
    }),
    case("leap_second", Check::Time, |s| {
        until(s, "2099-06-30T23:59:60Z")
    }),
    case("hour_24", Check::Time, |s| until(s, "2099-06-30T24:00:00Z")),
    case("day_31_of_june", Check::Time, |s| {
        until(s, "2099-06-31T00:00:00Z")
    }),
    case("year_10000", Check::Time, |s| {
        until(s, "10000-01-01T00:00:00Z")
    }),
    case("year_negative", Check::Time, |s| {
        conditions(s, |c| c.not_before = own("-0001-01-01T00:00:00Z"))
    }),
    case("year_of_two_digits", Check::Time, |s| {
        until(s, "99-01-01T00:00:00Z")
    }),
    case("date_alone", Check::Time, |s| until(s, "2099-01-01")),
    case("space_for_t", Check::Time, |s| {
        until(s, "2099-01-01 00:00:00Z")
    }),
    case("seconds_since_1970", Check::Time, |s| {
        until(s, "4102444800")
    }),
    case("time_empty", Check::Time, |s| until(s, "")),
    case("time_with_text", Check::Time, |s| {
        until(s, "2099-01-01T00:00:00Z;")
    }),
    case("time_of_arabic_digits", Check::Time, |s| {
        until(s, "٢٠٩٩-01-01T00:00:00Z")
    }),
    case("time_unreadable_in_session_end", Check::Time, |s| {
        authn(s, |a| a.session_ends_at = own("never"))
    }),
];

/// Audience, recipient, conditions.
const RESTRICTIONS: &[Case] = &[
    case("no_conditions", Check::Conditions, |s| {
        but(s, |r| r.assertion.conditions = None)
    }),
    case("audience_missing", Check::Audience, |s| audiences(s, &[])),
    case("audience_empty_restriction", Check::Audience, |s| {
        audiences(s, &[&[]])
    }),
    case("audience_other", Check::Audience, |s| {
        audiences(s, &[&["https://other.test"]])
    }),
    case("audience_empty", Check::Audience, |s| {
        audiences(s, &[&[""]])
    }),
    case("audience_one_restriction_of_two", Check::Audience, |s| {
        audiences(s, &[&[&s.sp], &["https://other.test"]])
    }),
    case("audience_second_restriction_of_two", Check::Audience, |s| {
        audiences(s, &[&["https://other.test"], &[&s.sp]])
    }),
    case("audience_longer", Check::Audience, |s| {
        audiences(s, &[&[&format!("{}2", s.sp)]])
    }),
    case("audience_shorter", Check::Audience, |s| {
        audiences(s, &[&[&s.sp[..s.sp.len() - 1]]])
    }),
    case("audience_upper_case", Check::Audience, |s| {
        audiences(s, &[&[&s.sp.to_uppercase()]])
    }),
    case("audience_of_the_acs", Check::Audience, |s| {
        audiences(s, &[&[&s.acs]])
    }),
    case("audience_of_two_in_one", Check::Audience, |s| {
        audiences(s, &[&[&format!("https://other.test {}", s.sp)]])
    }),
    case("two_conditions", Check::Shape, |s| {
        but(s, |r| {
            let more = "<saml:Conditions></saml:Conditions>".to_owned();
            r.assertion.raw.advice = more;
        })
    }),
    case("condition_unknown", Check::Conditions, |s| {
        but(s, |r| {
            r.assertion.raw.in_conditions = "<x:Only xmlns:x=\"urn:x\"></x:Only>".to_owned();
        })
    }),
    case("condition_of_a_type", Check::Conditions, |s| {
        but(s, |r| {
            r.assertion.raw.in_conditions = "<saml:Condition></saml:Condition>".to_owned();
        })
    }),
    case("recipient_missing", Check::Recipient, |s| {
        confirmation(s, |c| c.recipient = None)
    }),
    case("recipient_other", Check::Recipient, |s| {
        confirmation(s, |c| c.recipient = own("https://other.test/acs"))
    }),
    case("recipient_empty", Check::Recipient, |s| {
        confirmation(s, |c| c.recipient = own(""))
    }),
    case("recipient_longer", Check::Recipient, |s| {
        confirmation(s, |c| c.recipient = Some(format!("{}/x", s.acs)))
    }),
    case("recipient_of_the_entity", Check::Recipient, |s| {
        confirmation(s, |c| c.recipient = Some(s.sp.clone()))
    }),
    case("recipient_http", Check::Recipient, |s| {
        confirmation(s, |c| c.recipient = Some(s.acs.replace("https:", "http:")))
    }),
    case("holder_of_key", Check::Recipient, |s| {
        confirmation(s, |c| c.method = own(HOLDER_OF_KEY))
    }),
    case("sender_vouches", Check::Recipient, |s| {
        confirmation(s, |c| c.method = own(SENDER_VOUCHES))
    }),
    case("confirmation_method_missing", Check::Recipient, |s| {
        confirmation(s, |c| c.method = None)
    }),
    case("no_confirmation", Check::Recipient, |s| {
        but(s, |r| r.assertion.confirmations.clear())
    }),
    case("no_confirmation_data", Check::Recipient, |s| {
        confirmation(s, |c| c.has_data = false)
    }),
    case("two_bearers_the_first_is_good", Check::Recipient, |s| {
        but(s, |r| {
            let mut other = r.assertion.confirmations[0].clone();
            other.recipient = own("https://other.test/acs");
            r.assertion.confirmations.push(other);
        })
    }),
    case("two_bearers_one_good", Check::Recipient, |s| {
        but(s, |r| {
            let mut other = r.assertion.confirmations[0].clone();
            other.recipient = own("https://other.test/acs");
            r.assertion.confirmations.insert(0, other);
        })
    }),
    case("confirmation_data_with_keys", Check::Shape, |s| {
        but(s, |r| {
            let key = "<ds:KeyInfo xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"></ds:KeyInfo>";
            r.assertion.raw.in_confirmation_data = key.to_owned();
        })
    }),
];

/// The person, how they signed in, what is said about them.
const STATEMENTS: &[Case] = &[
    case("no_subject", Check::NameId, |s| {
        but(s, |r| r.assertion.has_subject = false)
    }),
    case("nameid_missing", Check::NameId, |s| {
        but(s, |r| r.assertion.name_ids.clear())
    }),
    case("nameid_empty", Check::NameId, |s| named(s, "")),
    case("nameid_of_spaces", Check::NameId, |s| named(s, "   ")),
    case("nameid_newline", Check::NameId, |s| named(s, "ann\nroot")),
    case("nameid_tab", Check::NameId, |s| named(s, "ann\troot")),
    case("nameid_carriage_return", Check::NameId, |s| {
        named(s, "ann\rroot")
    }),
    case("nameid_next_line", Check::NameId, |s| {
        named(s, "ann\u{85}root")
    }),
    case("nameid_line_separator", Check::NameId, |s| {
        named(s, "ann\u{2028}root")
    }),
    case("nameid_64KiB", Check::NameId, |s| {
        named(s, &"a".repeat(65_536))
    }),
    case("nameid_with_element", Check::NameId, |s| {
        but(s, |r| {
            r.assertion.name_ids.clear();
            let name = "<saml:NameID>ann<saml:b></saml:b>-0001</saml:NameID>".to_owned();
            r.assertion.raw.in_subject = name;
        })
    }),
    case("nameid_format_with_newline", Check::NameId, |s| {
        but(s, |r| r.assertion.name_id("ann-0001", "urn:a\nb"))
    }),
    case("two_nameids", Check::NameId, |s| {
        but(s, |r| {
            r.assertion
                .name_ids
                .push(NameId::new("root-0001", PERSISTENT))
        })
    }),
    case("base_id", Check::Shape, |s| {
        but(s, |r| {
            r.assertion.name_ids.clear();
            r.assertion.raw.in_subject = "<saml:BaseID></saml:BaseID>".to_owned();
        })
    }),
    case("two_subjects", Check::Shape, |s| {
        but(s, |r| {
            r.assertion.raw.at_end = "<saml:Subject></saml:Subject>".to_owned()
        })
    }),
    case("authn_statement_missing", Check::Authn, |s| {
        but(s, |r| r.assertion.authn.clear())
    }),
    case("authn_context_missing", Check::Authn, |s| {
        but(s, |r| {
            r.assertion.authn.clear();
            let instant = at(s.now, -10);
            let statement =
                format!("<saml:AuthnStatement AuthnInstant=\"{instant}\"></saml:AuthnStatement>");
            r.assertion.raw.advice = statement;
        })
    }),
    case("session_index_with_newline", Check::Authn, |s| {
        authn(s, |a| a.session_index = own("a\nb"))
    }),
    case("session_index_64KiB", Check::Authn, |s| {
        authn(s, |a| a.session_index = Some("a".repeat(65_536)))
    }),
    case("authn_context_with_newline", Check::Authn, |s| {
        authn(s, |a| a.context = own("a\nb"))
    }),
    case("two_authn_statements", Check::Shape, |s| {
        but(s, |r| {
            let again = r.assertion.authn[0].clone();
            r.assertion.authn.push(again);
        })
    }),
    case("authz_statement", Check::Shape, |s| {
        but(s, |r| {
            r.assertion.raw.at_end =
                "<saml:AuthzDecisionStatement></saml:AuthzDecisionStatement>".to_owned();
        })
    }),
    case("attribute_without_name", Check::Attributes, |s| {
        but(s, |r| r.assertion.attributes[0].name = None)
    }),
    case("attribute_with_empty_name", Check::Attributes, |s| {
        but(s, |r| r.assertion.attributes[0].name = own(""))
    }),
    case("attribute_values_of_many", Check::Attributes, |s| {
        but(s, |r| {
            r.assertion.attributes[0].values = vec!["g".to_owned(); 2_500]
        })
    }),
    case("attributes_of_many", Check::Attributes, |s| {
        but(s, |r| {
            (0..2_500).for_each(|n| r.assertion.attribute(&format!("a{n}"), &["v"]))
        })
    }),
    case("response_in_attribute_value", Check::Shape, |s| {
        in_value(s, "<x:Response xmlns:x=\"urn:x\"></x:Response>")
    }),
    case("assertion_in_attribute_value", Check::Shape, |s| {
        in_value(s, "<x:Assertion xmlns:x=\"urn:x\"></x:Assertion>")
    }),
    case("signature_in_attribute_value_signed", Check::Shape, |s| {
        in_value(s, "<x:Signature xmlns:x=\"urn:x\"></x:Signature>")
    }),
    case("id_twice_in_attribute_value", Check::Shape, |s| {
        in_value(
            s,
            "<x:a xmlns:x=\"urn:x\" ID=\"_twice\"><x:b Id=\"_twice\"></x:b></x:a>",
        )
    }),
    case("id_of_a_namespace_in_attribute_value", Check::Shape, |s| {
        in_value(s, "<x:a xmlns:x=\"urn:x\" x:ID=\"_other\"></x:a>")
    }),
    case("unknown_in_attribute_statement", Check::Shape, |s| {
        but(s, |r| {
            r.assertion.raw.in_attributes = format!("<x:y xmlns:x=\"{SAML}2\"></x:y>");
        })
    }),
    case("extensions_of_the_response", Check::Shape, |s| {
        but(s, |r| {
            let extensions = "<samlp:Extensions><x:y xmlns:x=\"urn:x\"></x:y></samlp:Extensions>";
            r.raw.push((Place::BeforeStatus, extensions.to_owned()));
        })
    }),
];

pub(super) const CASES: &[Case] = &{
    // Tables are easier to read apart.
    let mut all =
        [ENVELOPE[0]; ENVELOPE.len() + TIMES.len() + RESTRICTIONS.len() + STATEMENTS.len()];
    let tables = [ENVELOPE, TIMES, RESTRICTIONS, STATEMENTS];
    let (mut table, mut at) = (0, 0);
    while table < tables.len() {
        let mut n = 0;
        while n < tables[table].len() {
            all[at] = tables[table][n];
            at += 1;
            n += 1;
        }
        table += 1;
    }
    all
};
