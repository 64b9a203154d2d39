//! A request target with every path that an app could read in it.

use crate::refusal::Refusal;

/// A checked origin-form target. The app gets the very bytes that were decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    raw_path: String,
    readings: Vec<String>,
}

impl Target {
    /// Checks the path of an origin-form target (RFC 9112 3.2.1), without its query, and works out its readings: percent-decoding up to twice,
    /// overlong UTF-8, backslash as slash, `;params` cut, `//` collapsed, dot segments removed, cut at `#` or NUL, case-fold, NFKC-like
    /// folds; each optional and in any order. A plain path has one reading and takes a fast path.
    ///
    /// # Errors
    /// `BadRequest` for what is malformed: not starting with `/`, control or non-ASCII bytes, bad percent-encoding, encoded NUL, an encoding with too many readings.
    pub fn parse(path: &str) -> Result<Self, Refusal> {
        let _ = path;
        todo!()
    }

    /// The path as it was sent.
    pub fn raw(&self) -> &str {
        &self.raw_path
    }

    /// All readings, the plain one first.
    pub fn readings(&self) -> &[String] {
        &self.readings
    }
}
