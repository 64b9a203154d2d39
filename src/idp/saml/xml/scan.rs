//! A linear look over the bytes before any tree is built: what could make a parser slow, ambiguous or curious is refused.

/// What a document may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Depth of elements.
    pub depth: usize,
    /// Attributes in a tag, namespace declarations among them.
    pub attributes: usize,
    /// Namespace declarations in scope at any point.
    pub namespaces: usize,
    /// Whether comments and CDATA sections may stand in it (metadata files have them; messages must not).
    pub comments: bool,
}

impl Limits {
    /// Of a protocol message: 1 MiB.
    pub const MESSAGE: Self = Self {
        bytes: 1024 * 1024,
        depth: 48,
        attributes: 32,
        namespaces: 64,
        comments: false,
    };
    /// Of metadata: 16 MiB, since federations publish all members in one document.
    pub const METADATA: Self = Self {
        bytes: 16 * 1024 * 1024,
        depth: 48,
        attributes: 32,
        namespaces: 64,
        comments: true,
    };
}

/// Why a document is refused before it is parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A limit is exceeded.
    #[error("it has more than {1} {0}")]
    TooMuch(&'static str, usize),
    /// Something stands in it that a SAML message must not have.
    #[error("it has {0}")]
    Forbidden(&'static str),
    /// It is not UTF-8, or says that it is something else.
    #[error("it is not UTF-8")]
    Encoding,
    /// A tag does not end, or something stands outside the root.
    #[error("it is not well-formed: {0}")]
    NotWellFormed(&'static str),
}

/// The text of a document within its limits, without a byte order mark.
///
/// # Errors
/// As [`ScanError`] tells.
pub fn scan<'a>(_bytes: &'a [u8], _limits: &Limits) -> Result<&'a str, ScanError> {
    todo!()
}
