//! `User` (RFC 7643 section 4.1) and its enterprise extension (section 4.3).

use super::{
    Attribute, ENTERPRISE, Kind, Mutability, Returned, Schema, USER, boolean, complex, reference,
    text,
};

pub(super) const CORE: Schema = Schema {
    urn: USER,
    name: "User",
    description: "User Account",
    attributes: ATTRIBUTES,
};

pub(super) const EXTENSIONS: &[Schema] = &[Schema {
    urn: ENTERPRISE,
    name: "EnterpriseUser",
    description: "Enterprise User",
    attributes: ENTERPRISE_ATTRIBUTES,
}];

const fn password() -> Attribute {
    let mut attribute = text("password", "Taken and forgotten: it is never kept.").exact();
    attribute.mutability = Mutability::WriteOnly;
    attribute.returned = Returned::Never;
    attribute
}

const fn certificate() -> Attribute {
    let mut attribute = text("value", "The certificate as DER in Base64.").exact();
    attribute.kind = Kind::Binary;
    attribute
}

const DISPLAY: Attribute = text("display", "A name for people to read.");
const PRIMARY: Attribute = boolean(
    "primary",
    "Whether this is the preferred value; true for one at most.",
);

const fn kind(values: &'static [&'static str]) -> Attribute {
    text("type", "What the value is for.").canonical(values)
}

const ATTRIBUTES: &[Attribute] = &[
    text(
        "userName",
        "The name to sign in with, unique without regard to case.",
    )
    .required()
    .unique(),
    complex(
        "name",
        "The parts of the name.",
        &[
            text("formatted", "The full name."),
            text("familyName", "The family name."),
            text("givenName", "The given name."),
            text("middleName", "The middle names."),
            text("honorificPrefix", "What stands before the name."),
            text("honorificSuffix", "What stands after the name."),
        ],
    ),
    text("displayName", "The name to show."),
    text("nickName", "The casual name."),
    reference("profileUrl", "A page about the user.", &["external"]),
    text("title", "The title, such as “Vice President”."),
    text(
        "userType",
        "The relation to the organization, such as “Contractor”.",
    ),
    text("preferredLanguage", "The preferred language (RFC 5646)."),
    text("locale", "The locale, for dates and numbers."),
    text("timezone", "The time zone, such as “Europe/Zurich”."),
    boolean(
        "active",
        "Whether the user may sign in. False ends every session at once.",
    ),
    password(),
    complex(
        "emails",
        "E-mail addresses; the primary one is what the apps are told.",
        &[
            text("value", "The address."),
            DISPLAY,
            kind(&["work", "home", "other"]),
            PRIMARY,
        ],
    )
    .multi(),
    complex(
        "phoneNumbers",
        "Telephone numbers.",
        &[
            text("value", "The number."),
            DISPLAY,
            kind(&["work", "home", "mobile", "fax", "pager", "other"]),
            PRIMARY,
        ],
    )
    .multi(),
    complex(
        "ims",
        "Addresses of instant messaging.",
        &[
            text("value", "The address."),
            DISPLAY,
            kind(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]),
            PRIMARY,
        ],
    )
    .multi(),
    complex(
        "photos",
        "URLs of photos.",
        &[
            reference("value", "The URL.", &["external"]),
            DISPLAY,
            kind(&["photo", "thumbnail"]),
            PRIMARY,
        ],
    )
    .multi(),
    complex(
        "addresses",
        "Postal addresses.",
        &[
            text("formatted", "The whole address."),
            text("streetAddress", "Street and number."),
            text("locality", "The city."),
            text("region", "The state or region."),
            text("postalCode", "The postal code."),
            text("country", "The country."),
            kind(&["work", "home", "other"]),
            PRIMARY,
        ],
    )
    .multi(),
    complex(
        "groups",
        "The groups that the user is in; changed at the groups.",
        &[
            text("value", "The id of the group.").exact().read_only(),
            reference("$ref", "The URI of the group.", &["Group"]).read_only(),
            text("display", "The name of the group.").read_only(),
            text("type", "How the user is in it.")
                .read_only()
                .canonical(&["direct"]),
        ],
    )
    .multi()
    .read_only(),
    complex(
        "entitlements",
        "What the user is entitled to.",
        &[
            text("value", "The entitlement."),
            DISPLAY,
            kind(&[]),
            PRIMARY,
        ],
    )
    .multi(),
    complex(
        "roles",
        "Roles as the identity provider names them; roles in the apps come from groups.",
        &[text("value", "The role."), DISPLAY, kind(&[]), PRIMARY],
    )
    .multi(),
    complex(
        "x509Certificates",
        "Certificates of the user.",
        &[certificate(), DISPLAY, kind(&[]), PRIMARY],
    )
    .multi(),
];

const ENTERPRISE_ATTRIBUTES: &[Attribute] = &[
    text("employeeNumber", "The number in the organization."),
    text("costCenter", "The cost center."),
    text("organization", "The organization."),
    text("division", "The division."),
    text("department", "The department."),
    complex(
        "manager",
        "The user's manager.",
        &[
            text("value", "The id of the manager."),
            reference("$ref", "The URI of the manager.", &["User"]),
            text("displayName", "The name of the manager.").read_only(),
        ],
    ),
];
