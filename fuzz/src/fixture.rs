//! Names and time of the seeds.

/// Entity ID of the IdP.
pub const IDP: &str = "https://idp.example/metadata";
/// Our entity ID.
pub const SP: &str = "https://wiki.example/_usher/saml/globex/metadata";
/// Our ACS.
pub const ACS: &str = "https://wiki.example/_usher/saml/globex/acs";
/// Our SLO URL.
pub const SLO: &str = "https://wiki.example/_usher/saml/globex/slo";
/// `ID` of our request.
pub const REQUEST: &str = "_00112233445566778899aabbccddeeff";
/// The NameID that every seed asserts.
pub const NAME_ID: &str = "ann-0001";

/// The time of the seeds.
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_795_341_600).unwrap_or_default()
}
