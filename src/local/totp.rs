//! The second factor: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 s, as all authenticator apps know it.

use jiff::Timestamp;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use totp_rs::{Builder, Totp};

use crate::secret::Secret;

/// Bytes of a secret: 160 bits (RFC 4226 4).
const SECRET_LEN: usize = 20;

/// A secret that an authenticator app and usher share.
pub struct TotpSecret([u8; SECRET_LEN]);

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("[secret]")
    }
}

/// What somebody needs to add the account to an authenticator app.
#[derive(Debug)]
pub struct Enrolment {
    /// The secret as text (Base32 in groups of four), to type it in.
    pub text: Secret,
    /// The `otpauth` URI.
    pub uri: Secret,
    /// The URI as a QR code: an `svg` element.
    pub svg: Secret,
}

impl TotpSecret {
    /// A new one; none if there are no random numbers.
    pub fn generate() -> Option<Self> {
        let mut bytes = [0; SECRET_LEN];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Of the bytes that [`TotpSecret::as_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// For sealing.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The time step whose code this is, one before or after now included; none: it is no such code. Spaces in it do not count.
    /// A step counts once: the caller compares it with the last one that was used.
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<i64> {
        let code: String = code
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .collect();
        let seconds = u64::try_from(now.as_second()).ok()?;
        let step = self.totp("", None).check(&code, seconds)?;
        i64::try_from(step).ok()
    }

    /// The code of now, for tests.
    #[cfg(test)]
    pub(crate) fn code(&self, now: Timestamp) -> String {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        self.totp("", None).generate(seconds).to_string()
    }

    /// For the page on which somebody adds the account of `site`; none if it fits no QR code.
    pub fn enrolment(&self, site: &str, account: &str) -> Option<Enrolment> {
        // A colon parts the two in the label.
        let clean = |text: &str| text.replace(':', " ");
        let totp = self.totp(&clean(account), Some(clean(site)));
        let uri = totp.to_url().ok()?;
        let code = QrCode::with_error_correction_level(uri.as_bytes(), EcLevel::M).ok()?;
        let drawn = code
            .render::<svg::Color<'_>>()
            .min_dimensions(200, 200)
            .build();
        // Inline in HTML there is no XML declaration.
        let svg = drawn.get(drawn.find("<svg")?..)?.to_owned();
        let base32 = totp.secret().to_base32();
        let letters: Vec<char> = base32.chars().filter(|letter| *letter != '=').collect();
        let groups: Vec<String> = letters
            .chunks(4)
            .map(|four| four.iter().collect())
            .collect();
        Some(Enrolment {
            text: Secret::new(groups.join(" ")),
            uri: Secret::new(uri),
            svg: Secret::new(svg),
        })
    }

    fn totp(&self, account: &str, issuer: Option<String>) -> Totp {
        Builder::new()
            .with_secret(self.0.as_slice())
            .with_account_name(account)
            .with_issuer(issuer)
            .build_noncompliant()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn knows_the_codes_of_rfc_6238() {
        let secret = TotpSecret::from_bytes(b"12345678901234567890").unwrap();
        // Appendix B, the last six digits.
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(secret.step_of(code, at(second)), Some(second / 30));
        }
    }

    #[test]
    fn takes_the_step_before_and_after_and_no_other() {
        let secret = TotpSecret::generate().unwrap();
        let code = secret.code(at(3000));
        let spaced = format!(" {} {}", &code[..3], &code[3..]);
        for (second, step) in [
            (2970, Some(100)),
            (3000, Some(100)),
            (3059, Some(100)),
            (3060, None),
            (2969, None),
        ] {
            assert_eq!(secret.step_of(&code, at(second)), step, "{second}");
            assert_eq!(secret.step_of(&spaced, at(second)), step, "{second}");
        }
        for junk in ["", "12345", "1234567", "+12345", "abcdef", "１２３４５６"] {
            assert_eq!(secret.step_of(junk, at(3000)), None, "{junk}");
        }
    }

    #[test]
    fn enrols_with_a_code_to_scan_and_the_same_secret_as_text() {
        let secret = TotpSecret::generate().unwrap();
        let enrolment = secret
            .enrolment("wiki.example:8443", "ann@x.example")
            .unwrap();
        let uri = enrolment.uri.expose();
        assert!(
            uri.starts_with("otpauth://totp/wiki.example%208443:ann%40x.example?"),
            "{uri}"
        );
        let text = enrolment.text.expose().replace(' ', "");
        assert!(uri.contains(&format!("secret={text}")) && text.len() == 32);
        assert!(enrolment.svg.expose().starts_with("<svg"));
        assert_eq!(
            format!("{secret:?} {enrolment:?}")
                .matches("secret")
                .count(),
            4
        );
    }
}
