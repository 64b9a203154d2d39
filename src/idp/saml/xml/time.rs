//! `xs:dateTime` as SAML has it: always UTC (SAML Core 1.3.3).

use jiff::Timestamp;

/// `2026-11-22T10:00:00Z`, with a fraction or without; nothing else: no offset, no second 60, no year beyond four digits.
pub fn read(_text: &str) -> Option<Timestamp> {
    todo!()
}

/// As usher writes it: whole seconds.
pub fn write(_at: Timestamp) -> String {
    todo!()
}
