//! The schemas (RFC 7643): which attributes there are, and how each behaves.

mod group;
mod path;
mod render;
mod user;

pub(super) use path::{Located, Place, locate};
pub(super) use render::{resource_types, schemas};

/// The core schema of users (RFC 7643 section 4.1).
pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The core schema of groups (RFC 7643 section 4.2).
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The enterprise extension (RFC 7643 section 4.3).
pub(super) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// `type` of an attribute (RFC 7643 section 2.3), as far as one is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Boolean,
    DateTime,
    Reference,
    Binary,
    Complex,
}

/// `mutability` (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutability {
    ReadWrite,
    ReadOnly,
    WriteOnly,
    Immutable,
}

/// `returned` (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    Always,
    Default,
    Never,
}

/// One attribute or sub-attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) kind: Kind,
    pub(super) multi: bool,
    pub(super) required: bool,
    pub(super) case_exact: bool,
    pub(super) mutability: Mutability,
    pub(super) returned: Returned,
    /// Within this tenant.
    pub(super) unique: bool,
    pub(super) canonical: &'static [&'static str],
    pub(super) references: &'static [&'static str],
    pub(super) sub: &'static [Attribute],
}

/// A text that may be written, compared without case.
const fn text(name: &'static str, description: &'static str) -> Attribute {
    Attribute {
        name,
        description,
        kind: Kind::Text,
        multi: false,
        required: false,
        case_exact: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        unique: false,
        canonical: &[],
        references: &[],
        sub: &[],
    }
}

const fn boolean(name: &'static str, description: &'static str) -> Attribute {
    let mut attribute = text(name, description);
    attribute.kind = Kind::Boolean;
    attribute
}

const fn date_time(name: &'static str, description: &'static str) -> Attribute {
    let mut attribute = text(name, description);
    attribute.kind = Kind::DateTime;
    attribute
}

const fn reference(
    name: &'static str,
    description: &'static str,
    references: &'static [&'static str],
) -> Attribute {
    let mut attribute = text(name, description);
    attribute.kind = Kind::Reference;
    attribute.case_exact = true;
    attribute.references = references;
    attribute
}

const fn complex(
    name: &'static str,
    description: &'static str,
    sub: &'static [Attribute],
) -> Attribute {
    let mut attribute = text(name, description);
    attribute.kind = Kind::Complex;
    attribute.sub = sub;
    attribute
}

impl Attribute {
    const fn multi(mut self) -> Self {
        self.multi = true;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn exact(mut self) -> Self {
        self.case_exact = true;
        self
    }

    const fn read_only(mut self) -> Self {
        self.mutability = Mutability::ReadOnly;
        self
    }

    const fn immutable(mut self) -> Self {
        self.mutability = Mutability::Immutable;
        self
    }

    const fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    const fn always(mut self) -> Self {
        self.returned = Returned::Always;
        self
    }

    const fn canonical(mut self, values: &'static [&'static str]) -> Self {
        self.canonical = values;
        self
    }

    /// The sub-attribute of that name in any case.
    pub(super) fn sub(&self, name: &str) -> Option<&'static Attribute> {
        self.sub
            .iter()
            .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    /// What is meant where a filter or a value names a complex attribute alone (RFC 7643 section 2.4).
    pub(super) fn default_sub(&self) -> Option<&'static Attribute> {
        self.sub("value")
    }
}

/// A schema with its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    pub(super) urn: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) attributes: &'static [Attribute],
}

/// What resources there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResourceKind {
    User,
    Group,
}

impl ResourceKind {
    /// Both, in the order in which a search over both lists them.
    pub(super) const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The endpoint's name (RFC 7644 section 3.2).
    pub(super) fn of_endpoint(segment: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.endpoint() == segment)
    }

    /// `Users`, `Groups`.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    /// `meta.resourceType`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The core schema.
    pub(super) fn core(self) -> &'static Schema {
        match self {
            Self::User => &user::CORE,
            Self::Group => &group::CORE,
        }
    }

    /// Schemas that add to the core one; none of them is required.
    pub(super) fn extensions(self) -> &'static [Schema] {
        match self {
            Self::User => user::EXTENSIONS,
            Self::Group => &[],
        }
    }
}

/// `externalId`: the one common attribute that a client writes.
pub(super) const EXTERNAL_ID: Attribute = text(
    "externalId",
    "An identifier given by the provisioning client.",
)
.exact();

/// What every resource has (RFC 7643 section 3.1).
const COMMON: &[Attribute] = &[
    text("id", "A unique identifier given by the service provider.")
        .exact()
        .read_only()
        .unique()
        .always(),
    EXTERNAL_ID,
    text("schemas", "The schemas of the resource.")
        .exact()
        .read_only()
        .multi()
        .always(),
    complex(
        "meta",
        "Metadata of the resource.",
        &[
            text("resourceType", "The type of the resource.")
                .exact()
                .read_only(),
            date_time("created", "When the resource was made.").read_only(),
            date_time("lastModified", "When it changed last.").read_only(),
            reference("location", "Its URI.", &["uri"]).read_only(),
            text("version", "Its entity-tag.").exact().read_only(),
        ],
    )
    .read_only(),
];

#[cfg(test)]
mod tests;
