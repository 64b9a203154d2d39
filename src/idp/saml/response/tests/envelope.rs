//! The checks of the response itself.

use super::super::super::check::Check;
use super::*;

const STATUS: &str = "urn:oasis:names:tc:SAML:2.0:status";

#[test]
fn refuses_versions_other_than_2_0() {
    for version in [None, text("1.1"), text("2"), text("2.0 "), text("3.0")] {
        refuses(Check::Version, |response| {
            response.version = version.clone()
        });
        refuses(Check::Version, |response| {
            response.assertion.version = version.clone();
        });
    }
}

#[test]
fn says_that_the_idp_said_no_with_its_codes_and_message() {
    for has_assertion in [true, false] {
        let mut response = signed(Signed::Nothing);
        response.has_assertion = has_assertion;
        response.status = Some(format!("{STATUS}:Responder"));
        response.sub_status = Some(format!("{STATUS}:AuthnFailed"));
        response.status_message = text("no luck\n\u{85}");
        let refused = arrive(&response.to_xml().unwrap()).unwrap_err();
        assert_eq!(refused.check, Check::Status);
        assert_eq!(
            refused.detail,
            r#"the identity provider answers "Responder" / "AuthnFailed": "no luck""#
        );
    }
    refuses(Check::Status, |response| {
        response.status = Some(format!("{STATUS}:{}", "x".repeat(100_000)));
        response.status_message = Some("\u{202e}".repeat(10_000));
    });
}

#[test]
fn success_counts_at_the_top_alone() {
    refuses(Check::Status, |response| {
        response.status = Some(format!("{STATUS}:Responder"));
        response.sub_status = Some(format!("{STATUS}:Success"));
    });
    for status in ["", "Success", "urn:oasis:names:tc:SAML:2.0:status:success"] {
        refuses(Check::Status, |response| response.status = text(status));
    }
    refuses(Check::Shape, |response| response.status = None);
}

#[test]
fn refuses_another_issuer() {
    for issuer in [
        "https://other.example/saml",
        "",
        "https://idp.example/saml/",
        " https://idp.example/saml",
    ] {
        refuses(Check::Issuer, |response| response.issuer = text(issuer));
        refuses(Check::Issuer, |response| {
            response.assertion.issuer = text(issuer);
        });
    }
    refuses(Check::Issuer, |response| {
        response.assertion.issuer_format = text(saml::EMAIL);
    });
    takes(|response| {
        response.assertion.issuer_format = text("urn:oasis:names:tc:SAML:2.0:nameid-format:entity");
    });
}

#[test]
fn the_issuer_of_a_response_may_be_left_out_where_it_is_not_signed() {
    let without = |which| {
        let mut response = signed(which);
        response.issuer = None;
        arrive(&response.to_xml().unwrap())
    };
    without(Signed::Assertion).unwrap();
    for which in [Signed::Response, Signed::Both] {
        assert_eq!(without(which).unwrap_err().check, Check::Issuer);
    }
}

#[test]
fn refuses_an_assertion_without_an_issuer() {
    let mut response = signed(Signed::Response);
    response.assertion.issuer = None;
    refuses_xml(Check::Issuer, &response.to_xml().unwrap());
}

#[test]
fn refuses_another_destination() {
    for destination in [
        "https://other.example/acs",
        "",
        "https://wiki.example/_usher/saml/globex/acs/",
    ] {
        refuses(Check::Destination, |response| {
            response.destination = text(destination);
        });
    }
}

#[test]
fn the_destination_may_be_left_out_where_the_response_is_not_signed() {
    let without = |which| {
        let mut response = signed(which);
        response.destination = None;
        arrive(&response.to_xml().unwrap())
    };
    without(Signed::Assertion).unwrap();
    for which in [Signed::Response, Signed::Both] {
        assert_eq!(without(which).unwrap_err().check, Check::Destination);
    }
}

#[test]
fn refuses_the_answer_to_another_request() {
    for id in [None, text(""), text("_other")] {
        refuses(Check::InResponseTo, |response| {
            response.in_response_to = id.clone();
        });
        refuses(Check::InResponseTo, |response| {
            response.assertion.confirmations[0].in_response_to = id.clone();
        });
    }
}

#[test]
fn an_unsolicited_response_answers_nothing() {
    let arrive = |change: &dyn Fn(&mut Response)| {
        let mut response = Response::unsolicited(IDP, SP, ACS, now());
        change(&mut response);
        let xml = response.to_xml().unwrap();
        arrive_as(&xml, Origin::Unsolicited, &[TestKey::IDP])
    };
    arrive(&|_| {}).unwrap();
    let refused = arrive(&|response| response.in_response_to = text(REQUEST));
    assert_eq!(refused.unwrap_err().check, Check::InResponseTo);
    let refused = arrive(&|response| {
        response.assertion.confirmations[0].in_response_to = text(REQUEST);
    });
    assert_eq!(refused.unwrap_err().check, Check::InResponseTo);
    let refused = arrive(&|response| response.in_response_to = text(""));
    assert_eq!(refused.unwrap_err().check, Check::InResponseTo);
}

#[test]
fn an_unsolicited_response_is_none_that_was_asked_for() {
    let response = Response::unsolicited(IDP, SP, ACS, now());
    refuses_xml(Check::InResponseTo, &response.to_xml().unwrap());
}

#[test]
fn the_response_is_issued_within_the_last_minutes() {
    for seconds in [59, 60, 0, -300, -359] {
        takes(|response| response.issue_instant = at(seconds));
        takes(|response| response.assertion.issue_instant = at(seconds));
    }
    for seconds in [61, 3600, -360, -361, -86_400] {
        refuses(Check::Time, |response| response.issue_instant = at(seconds));
        refuses(Check::Time, |response| {
            response.assertion.issue_instant = at(seconds);
        });
    }
}

#[test]
fn refuses_times_that_are_none_or_not_in_utc() {
    for time in [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00:00+00:00",
        "2026-11-22T11:00:00+01:00",
        "2026-11-22T09:59:60Z",
        "10000-01-01T00:00:00Z",
        "-2026-11-22T10:00:00Z",
    ] {
        refuses(Check::Time, |response| response.issue_instant = text(time));
        refuses(Check::Time, |response| {
            response.assertion.confirmations[0].not_on_or_after = text(time);
        });
        refuses(Check::Time, |response| {
            response.assertion.authn[0].session_ends_at = text(time);
        });
    }
    refuses(Check::Time, |response| response.issue_instant = None);
    refuses(Check::Time, |response| {
        response.assertion.issue_instant = None
    });
}
