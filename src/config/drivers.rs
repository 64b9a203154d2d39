//! How an app is told of its people, where it is not by the callback: its own SCIM endpoint, or its own REST API.

use http::{HeaderName, Method};
use serde_json::Value;
use url::Url;

use super::Callback;
use crate::secret::Secret;

/// How an app is told of its people.
#[derive(Debug)]
pub enum Target {
    /// By usher's callback.
    Callback(Callback),
    /// By its SCIM 2.0 endpoint.
    Scim(ScimTarget),
    /// By its own API.
    Rest(Box<RestTarget>),
}

/// `provisioning.scim`.
#[derive(Debug)]
pub struct ScimTarget {
    /// The base URL, without a slash at its end: `/Users` follows.
    pub url: Url,
    /// The bearer token.
    pub token: Secret,
}

/// `provisioning.rest`.
#[derive(Debug)]
pub struct RestTarget {
    /// The base URL; the paths of the requests follow.
    pub url: Url,
    /// What `{token}` in a header stands for.
    pub token: Option<Secret>,
    /// Fields of every request.
    pub headers: Vec<(HeaderName, Template)>,
    /// Makes an account.
    pub create: RestRequest,
    /// Changes one; none: nothing to send.
    pub update: Option<RestRequest>,
    /// Switches one off.
    pub deactivate: RestRequest,
    /// Switches one on again; none: only changed.
    pub reactivate: Option<RestRequest>,
    /// Deletes one; none: switched off.
    pub delete: Option<RestRequest>,
    /// Finds an account by what is known of the person; none: what exists stays without an id.
    pub find: Option<RestRequest>,
}

/// One request of a REST driver, and what its answers mean. 408, 429 and 5xx are tried again in any case.
#[derive(Debug)]
pub struct RestRequest {
    /// The method.
    pub method: Method,
    /// Path and query, beginning with a slash; values are percent-encoded.
    pub path: Template,
    /// JSON; values are JSON.
    pub body: Option<Body>,
    /// Done.
    pub done: Vec<u16>,
    /// There is such an account already.
    pub exists: Vec<u16>,
    /// The app does not let the person in.
    pub refused: Vec<u16>,
    /// Tried again.
    pub again: Vec<u16>,
    /// Where the account's id is in the answer: a JSON pointer (RFC 6901).
    pub id: Option<String>,
    /// Where the account's e-mail address is in the answer to `find`: it must be the person's, or the account is somebody else's.
    pub email: Option<String>,
}

/// What a template may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// usher's id of the user.
    Id,
    /// The app's own id of the account.
    Account,
    /// E-mail address.
    Email,
    /// Full name; else the username.
    Name,
    /// Given name; else the full one.
    GivenName,
    /// Family name; else the full one.
    FamilyName,
    /// Username; else what stands before the `@`.
    Username,
    /// The last role, in the order of `provisioning.roles`.
    Role,
    /// All roles.
    Roles,
    /// Groups.
    Groups,
    /// Whether the user may use the app.
    Active,
    /// Forty random characters: a password that nobody knows.
    Random,
    /// `rest.token`; in headers alone.
    Token,
}

/// All variables by their names.
const VARIABLES: [(&str, Variable); 13] = [
    ("id", Variable::Id),
    ("account", Variable::Account),
    ("email", Variable::Email),
    ("name", Variable::Name),
    ("given_name", Variable::GivenName),
    ("family_name", Variable::FamilyName),
    ("username", Variable::Username),
    ("role", Variable::Role),
    ("roles", Variable::Roles),
    ("groups", Variable::Groups),
    ("active", Variable::Active),
    ("random", Variable::Random),
    ("token", Variable::Token),
];

/// Text with `{variables}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Variable),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The `{name}` that is no variable, or the brace that is not closed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or("{")?;
            let known = VARIABLES.iter().find(|(known, _)| *known == name);
            let (_, variable) = known.ok_or_else(|| format!("{{{name}}}"))?;
            parts.push(Part::Value(*variable));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The variables in it.
    pub fn variables(&self) -> impl Iterator<Item = Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value(variable) => Some(*variable),
        })
    }

    /// The text with values in place of variables; `value` escapes them.
    pub fn fill(&self, value: impl Fn(Variable) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(variable) => value(*variable),
        });
        parts.collect()
    }

    /// The variable, where it is nothing but one.
    fn alone(&self) -> Option<Variable> {
        match self.0.as_slice() {
            [Part::Value(variable)] => Some(*variable),
            _ => None,
        }
    }
}

/// The names of the variables, for messages.
pub(super) fn variable_names() -> String {
    let names: Vec<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A JSON document whose texts are templates. One that is nothing but a variable becomes its value: a list, a flag, null.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Anything without variables.
    Plain(Value),
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<Body>),
    /// An object.
    Object(Vec<(String, Body)>),
}

impl Body {
    /// Of a JSON document.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn of(document: Value) -> Result<Self, String> {
        Ok(match document {
            Value::String(text) => Self::Text(Template::parse(&text)?),
            Value::Array(items) => {
                Self::List(items.into_iter().map(Self::of).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| Ok((name, Self::of(value)?)));
                Self::Object(fields.collect::<Result<_, String>>()?)
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Self::Plain(plain),
        })
    }

    /// The variables in it.
    pub fn variables(&self) -> Vec<Variable> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(template) => template.variables().collect(),
            Self::List(items) => items.iter().flat_map(Self::variables).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, one)| one.variables()).collect(),
        }
    }

    /// The document with values in place of variables.
    pub fn fill(&self, value: &impl Fn(Variable) -> Value) -> Value {
        match self {
            Self::Plain(plain) => plain.clone(),
            Self::Text(template) => match template.alone() {
                Some(variable) => value(variable),
                None => Value::String(template.fill(|variable| as_text(&value(variable)))),
            },
            Self::List(items) => items.iter().map(|item| item.fill(value)).collect(),
            Self::Object(fields) => {
                let fields = fields.iter();
                fields
                    .map(|(name, field)| (name.clone(), field.fill(value)))
                    .collect()
            }
        }
    }
}

/// A value within a text; a list is joined by commas.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(as_text).collect();
            items.join(",")
        }
        Value::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_and_can_never_break_out_of_their_text() {
        let document = json!({
            "name": "{name}", "roles": "{roles}", "active": "{active}", "mixed": "x-{name}-{roles}",
            "list": ["{account}", 7, true],
        });
        let body = Body::of(document).unwrap();
        let filled = body.fill(&|variable| match variable {
            Variable::Name => json!("a\", \"admin\": true, \"{email}\\"),
            Variable::Roles => json!(["b", "c"]),
            Variable::Active => json!(true),
            _ => Value::Null,
        });
        assert_eq!(
            filled,
            json!({
                "name": "a\", \"admin\": true, \"{email}\\", "roles": ["b", "c"], "active": true,
                "mixed": "x-a\", \"admin\": true, \"{email}\\-b,c", "list": [null, 7, true],
            })
        );
    }

    #[test]
    fn refuses_what_is_no_variable() {
        assert_eq!(Template::parse("/a/{acount}").unwrap_err(), "{acount}");
        assert_eq!(Template::parse("/a/{account").unwrap_err(), "{");
        assert!(Body::of(json!({ "a": [{ "b": "{nope}" }] })).is_err());
        let good = Template::parse("/a/{account}/{id}").unwrap();
        let variables: Vec<_> = good.variables().collect();
        assert_eq!(variables, [Variable::Account, Variable::Id]);
    }
}
