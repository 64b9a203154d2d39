//! `Group` (RFC 7643 section 4.2).

use super::{Attribute, GROUP, Schema, complex, reference, text};

pub(super) const CORE: Schema = Schema {
    urn: GROUP,
    name: "Group",
    description: "Group",
    attributes: ATTRIBUTES,
};

const ATTRIBUTES: &[Attribute] = &[
    text(
        "displayName",
        "The name of the group, unique without regard to case: the one that roles are mapped from.",
    )
    .required()
    .unique(),
    complex(
        "members",
        "The users who are in the group.",
        &[
            text("value", "The id of the member.").exact().immutable(),
            reference("$ref", "The URI of the member.", &["User"]).immutable(),
            text("type", "The type of the member.")
                .immutable()
                .canonical(&["User"]),
        ],
    )
    .multi(),
];
