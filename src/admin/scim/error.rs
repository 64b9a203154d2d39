//! What the server says where it does not do what was asked (RFC 7644 section 3.12).

use http::StatusCode;

use crate::directory::scim::WriteError;
use crate::store::StoreError;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct ScimError {
    pub(super) status: StatusCode,
    /// `scimType` (RFC 7644 table 9), with 400 and 409.
    pub(super) kind: Option<ScimType>,
    /// For people; holds no value of another resource.
    pub(super) detail: String,
}

/// `scimType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScimType {
    InvalidFilter,
    Uniqueness,
    Mutability,
    InvalidSyntax,
    InvalidPath,
    NoTarget,
    InvalidValue,
    TooMany,
}

impl ScimType {
    /// As the answer writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::TooMany => "tooMany",
        }
    }
}

impl ScimError {
    /// A status without a `scimType`.
    pub(super) fn plain(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind: None,
            detail: detail.into(),
        }
    }

    /// 400 with its `scimType`.
    pub(super) fn bad(kind: ScimType, detail: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: Some(kind),
            detail: detail.into(),
        }
    }

    /// 400 `invalidValue`.
    pub(super) fn value(detail: impl Into<String>) -> Self {
        Self::bad(ScimType::InvalidValue, detail)
    }

    /// 404.
    pub(super) fn not_found() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "there is no such resource")
    }

    /// 409 `uniqueness`.
    pub(super) fn taken(what: &str) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            kind: Some(ScimType::Uniqueness),
            detail: format!("another resource has that {what}"),
        }
    }
}

impl From<StoreError> for ScimError {
    fn from(error: StoreError) -> Self {
        tracing::error!(event = "scim_store", %error, "a SCIM request could not be carried out");
        Self::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the directory cannot be reached; try again",
        )
    }
}

impl From<WriteError> for ScimError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Taken(what) => Self::taken(what),
            WriteError::UnknownMember(id) => {
                Self::value(format!("`members`: there is no user with the id {id}"))
            }
        }
    }
}
