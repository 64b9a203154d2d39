//! PATCH (RFC 7644 section 3.5.2), with what Entra ID and Okta send beyond it: operation names in any case, values under paths
//! inside an object without a path, values that a filter does not find yet.

use serde_json::{Map, Value};

use super::error::{ScimError, ScimType};
use super::filter::{Filter, PatchPath, patch_path};
use super::json::member;
use super::resource::{coerce, coerce_one, is_kept, put};
use super::schema::{Attribute, Kind, Located, ResourceKind};

/// `urn` of a PATCH message.
const MESSAGE: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Operations in one message.
const OPERATIONS: usize = 1000;

/// `op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Replace,
    Remove,
}

/// One operation at one place.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) op: Op,
    pub(super) path: PatchPath,
    pub(super) value: Value,
}

impl Operation {
    /// Whether it is about that attribute of the core schema.
    pub(super) fn is_about(&self, attribute: &str) -> bool {
        match &self.path {
            PatchPath::Extension(_) => false,
            PatchPath::Attribute { at, .. } => {
                at.extension.is_none() && at.attribute.name == attribute
            }
        }
    }
}

/// Reads a PATCH message. An operation without a path becomes one for each member of its value.
///
/// # Errors
/// 400 with its `scimType`.
pub(super) fn read(
    kind: ResourceKind,
    message: &Map<String, Value>,
) -> Result<Vec<Operation>, ScimError> {
    let syntax = |detail: &str| ScimError::bad(ScimType::InvalidSyntax, detail);
    let named = |schemas: &Value| {
        let list = schemas.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut urns = list.iter().filter_map(Value::as_str);
        urns.any(|urn| urn.eq_ignore_ascii_case(MESSAGE))
    };
    if member(message, "schemas").is_some_and(|schemas| !named(schemas)) {
        return Err(syntax("`schemas` must name PatchOp"));
    }
    let Some(Value::Array(list)) = member(message, "Operations") else {
        return Err(syntax("`Operations` must be a list"));
    };
    if list.is_empty() || list.len() > OPERATIONS {
        return Err(syntax(&format!(
            "`Operations` must have 1 to {OPERATIONS} entries"
        )));
    }
    let mut operations = Vec::new();
    for one in list {
        let one = one
            .as_object()
            .ok_or_else(|| syntax("an operation must be an object"))?;
        let op = member(one, "op").and_then(Value::as_str);
        let op = match op.map(str::to_ascii_lowercase).as_deref() {
            Some("add") => Op::Add,
            Some("replace") => Op::Replace,
            Some("remove") => Op::Remove,
            Some(_) | None => return Err(syntax("`op` must be add, replace or remove")),
        };
        let value = member(one, "value").cloned().unwrap_or_default();
        match member(one, "path") {
            Some(Value::String(path)) if !path.trim().is_empty() => {
                let path = patch_path(kind, path)?;
                check_mutability(&path)?;
                operations.push(Operation { op, path, value });
            }
            Some(Value::String(_) | Value::Null) | None => {
                operations.extend(without_path(kind, op, value)?);
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(syntax("`path` must be a text"));
            }
        }
    }
    Ok(operations)
}

fn without_path(kind: ResourceKind, op: Op, value: Value) -> Result<Vec<Operation>, ScimError> {
    if op == Op::Remove {
        return Err(ScimError::bad(
            ScimType::NoTarget,
            "`remove` needs a `path`",
        ));
    }
    let Value::Object(members) = value else {
        return Err(ScimError::value(
            "without a `path` the `value` must be an object",
        ));
    };
    let mut operations = Vec::new();
    for (name, value) in members {
        // What is unknown or read-only here is left out, as in a whole resource.
        let Ok(path) = patch_path(kind, &name) else {
            if name.contains('[') {
                return Err(ScimError::bad(
                    ScimType::InvalidPath,
                    "a member of `value` is no path",
                ));
            }
            continue;
        };
        if check_mutability(&path).is_ok() {
            operations.push(Operation { op, path, value });
        }
    }
    Ok(operations)
}

fn check_mutability(path: &PatchPath) -> Result<(), ScimError> {
    let PatchPath::Attribute { at, .. } = path else {
        return Ok(());
    };
    let kept = is_kept(at.attribute) && at.sub.is_none_or(is_kept);
    // A password may be written; it is forgotten.
    if kept || at.attribute.name == "password" {
        return Ok(());
    }
    Err(ScimError::bad(
        ScimType::Mutability,
        format!("`{}` is read-only", at.last().name),
    ))
}

/// Applies one operation to a document.
///
/// # Errors
/// 400 with its `scimType`; the document may be half changed then, and is to be dropped.
pub(super) fn apply(
    document: &mut Map<String, Value>,
    operation: &Operation,
    kind: ResourceKind,
) -> Result<(), ScimError> {
    let Operation { op, path, value } = operation;
    match path {
        PatchPath::Extension(urn) => apply_extension(document, urn, *op, value, kind),
        PatchPath::Attribute { at, .. } if !is_kept(at.attribute) => Ok(()),
        PatchPath::Attribute { at, filter } => {
            let Some(urn) = at.extension else {
                return apply_at(document, at, filter.as_ref(), *op, value);
            };
            let mut part = match document.remove(urn) {
                Some(Value::Object(part)) => part,
                Some(_) | None => Map::new(),
            };
            apply_at(&mut part, at, filter.as_ref(), *op, value)?;
            if !part.is_empty() {
                document.insert(urn.to_owned(), Value::Object(part));
            }
            Ok(())
        }
    }
}

fn apply_extension(
    document: &mut Map<String, Value>,
    urn: &str,
    op: Op,
    value: &Value,
    kind: ResourceKind,
) -> Result<(), ScimError> {
    if op == Op::Remove || value.is_null() {
        document.remove(urn);
        return Ok(());
    }
    let Value::Object(members) = value else {
        return Err(ScimError::value("an extension must be an object"));
    };
    for (name, value) in members {
        if let Ok(path) = patch_path(kind, &format!("{urn}:{name}")) {
            let (value, path) = (value.clone(), path);
            apply(document, &Operation { op, path, value }, kind)?;
        }
    }
    Ok(())
}

fn apply_at(
    holder: &mut Map<String, Value>,
    at: &Located,
    filter: Option<&Filter>,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    if !at.attribute.multi {
        return apply_single(holder, at, filter, op, value);
    }
    let mut list = match holder.remove(at.attribute.name) {
        Some(Value::Array(list)) => list,
        Some(_) | None => Vec::new(),
    };
    match (filter, at.sub) {
        (None, None) => apply_whole(&mut list, at.attribute, op, value)?,
        _ => apply_selected(&mut list, at, filter, op, value)?,
    }
    if !list.is_empty() {
        holder.insert(at.attribute.name.to_owned(), Value::Array(list));
    }
    Ok(())
}

/// An attribute with one value.
fn apply_single(
    holder: &mut Map<String, Value>,
    at: &Located,
    filter: Option<&Filter>,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    if filter.is_some() {
        return Err(ScimError::bad(
            ScimType::InvalidPath,
            format!("`{}` has one value only", at.attribute.name),
        ));
    }
    let Some(sub) = at.sub else {
        if op == Op::Remove {
            holder.remove(at.attribute.name);
            return Ok(());
        }
        let value = coerce(at.attribute, value)?;
        // Sub-attributes that are not named stay (RFC 7644 section 3.5.2.3).
        match (holder.get_mut(at.attribute.name), value) {
            (Some(Value::Object(former)), Some(Value::Object(new))) => former.extend(new),
            (_, value) => put(holder, at.attribute, value),
        }
        return Ok(());
    };
    let mut parts = match holder.remove(at.attribute.name) {
        Some(Value::Object(parts)) => parts,
        Some(_) | None => Map::new(),
    };
    set_sub(&mut parts, sub, op, value)?;
    if !parts.is_empty() {
        holder.insert(at.attribute.name.to_owned(), Value::Object(parts));
    }
    Ok(())
}

fn set_sub(
    parts: &mut Map<String, Value>,
    sub: &Attribute,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    let value = match op {
        Op::Remove => None,
        // Some clients wrap the one value into a list.
        Op::Add | Op::Replace => match value.as_array().map(Vec::as_slice) {
            Some([value]) => coerce_one(sub, value, false)?,
            _ => coerce_one(
                sub,
                value,
                sub.name == "formatted" || sub.name == "streetAddress",
            )?,
        },
    };
    put(parts, sub, value);
    Ok(())
}

/// All values of an attribute: `add` joins, `replace` sets, `remove` takes away all or those that are listed.
fn apply_whole(
    list: &mut Vec<Value>,
    attribute: &Attribute,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    let new = match coerce(attribute, value)? {
        Some(Value::Array(new)) => new,
        Some(_) | None => Vec::new(),
    };
    match op {
        Op::Replace => *list = new,
        Op::Remove if value.is_null() => list.clear(),
        Op::Remove => list.retain(|kept| !new.iter().any(|gone| is_same(kept, gone))),
        Op::Add => {
            let new: Vec<_> = new.into_iter().filter(|one| !list.contains(one)).collect();
            if new.iter().any(|one| one["primary"] == true) {
                list.iter_mut().for_each(no_longer_primary);
            }
            list.extend(new);
        }
    }
    Ok(())
}

/// Whether a listed value means one that is there: by all that it says.
fn is_same(kept: &Value, listed: &Value) -> bool {
    match (kept, listed) {
        (Value::Object(kept), Value::Object(listed)) => listed
            .iter()
            .all(|(name, value)| kept.get(name) == Some(value)),
        (kept, listed) => kept == listed,
    }
}

fn no_longer_primary(value: &mut Value) {
    if let Value::Object(parts) = value
        && parts.get("primary") == Some(&Value::Bool(true))
    {
        parts.insert("primary".to_owned(), Value::Bool(false));
    }
}

/// The values that a filter selects, or one sub-attribute of them (without a filter: of all).
fn apply_selected(
    list: &mut Vec<Value>,
    at: &Located,
    filter: Option<&Filter>,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    let selected = |one: &Value| match (filter, one) {
        (None, _) => true,
        (Some(filter), Value::Object(parts)) => filter.matches(parts),
        (Some(_), _) => false,
    };
    if op == Op::Remove && at.sub.is_none() {
        list.retain(|one| !selected(one));
        return Ok(());
    }
    if !list.iter().any(selected) {
        if op == Op::Remove {
            return Ok(());
        }
        list.push(new_value(filter)?);
    }
    let chosen: Vec<bool> = list.iter().map(selected).collect();
    let mut becomes_primary = false;
    for (one, _) in list.iter_mut().zip(&chosen).filter(|(_, chosen)| **chosen) {
        let Value::Object(parts) = one else { continue };
        match at.sub {
            Some(sub) => set_sub(parts, sub, op, value)?,
            None => set_value(parts, at.attribute, filter, op, value)?,
        }
        becomes_primary |= parts.get("primary") == Some(&Value::Bool(true));
    }
    if becomes_primary {
        let others = list.iter_mut().zip(&chosen).filter(|(_, chosen)| !**chosen);
        others.for_each(|(one, _)| no_longer_primary(one));
    }
    list.retain(|one| one.as_object().is_none_or(|parts| !parts.is_empty()));
    Ok(())
}

/// What Entra ID means by replacing a value that is not there: a value with what the filter asks for.
fn new_value(filter: Option<&Filter>) -> Result<Value, ScimError> {
    match filter.map(Filter::equalities) {
        None => Ok(Value::Object(Map::new())),
        Some(Some(parts)) => Ok(Value::Object(parts)),
        Some(None) => Err(ScimError::bad(
            ScimType::NoTarget,
            "no value matches the filter of the path",
        )),
    }
}

/// A whole selected value: `add` joins, `replace` sets all but what selected it.
fn set_value(
    parts: &mut Map<String, Value>,
    attribute: &Attribute,
    filter: Option<&Filter>,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    let value = match value.as_array().map(Vec::as_slice) {
        Some([value]) => value,
        _ => value,
    };
    let new = match coerce_one(attribute, value, attribute.kind == Kind::Complex)? {
        Some(Value::Object(new)) => new,
        Some(_) | None => Map::new(),
    };
    if op == Op::Replace {
        *parts = filter.and_then(Filter::equalities).unwrap_or_default();
    }
    parts.extend(new);
    Ok(())
}

#[cfg(test)]
mod tests;
