//! Whether a resource, or one value of it, matches.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Filter, Literal, Operator};
use crate::admin::scim::schema::{Attribute, Kind, Located};
use crate::identity::folded;

impl Filter {
    /// Whether it holds. An attribute with several values matches if one of them does (RFC 7644 section 3.4.2.2).
    pub(in crate::admin::scim) fn matches(&self, of: &Map<String, Value>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.matches(of)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(of)),
            Self::Not(inner) => !inner.matches(of),
            Self::Present(at) => values(at, of, false).into_iter().any(is_there),
            Self::Is(at, operator, literal) => is(at, *operator, literal, of),
            Self::Values(at, inner) => values(at, of, false)
                .into_iter()
                .filter_map(Value::as_object)
                .any(|value| inner.matches(value)),
        }
    }
}

/// The values at a place; of a complex attribute named alone, with `default` what stands for it.
pub(in crate::admin::scim) fn values<'a>(
    at: &Located,
    of: &'a Map<String, Value>,
    default: bool,
) -> Vec<&'a Value> {
    let holder = match at.extension {
        Some(urn) => of.get(urn).and_then(Value::as_object),
        None => Some(of),
    };
    let Some(value) = holder.and_then(|holder| holder.get(at.attribute.name)) else {
        return Vec::new();
    };
    let each = match value {
        Value::Array(list) => list.as_slice(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            std::slice::from_ref(value)
        }
    };
    let sub = at.sub.or_else(|| {
        default
            .then(|| at.attribute.default_sub())
            .flatten()
            .filter(|_| at.attribute.kind == Kind::Complex)
    });
    each.iter()
        .filter_map(|value| match sub {
            Some(sub) => value.get(sub.name),
            None => Some(value),
        })
        .collect()
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn is(at: &Located, operator: Operator, literal: &Literal, of: &Map<String, Value>) -> bool {
    let found = values(at, of, true);
    if *literal == Literal::Null {
        let absent = !found.into_iter().any(is_there);
        return absent == (operator == Operator::Eq);
    }
    let attribute = match (at.sub, at.attribute.kind) {
        (None, Kind::Complex) => at.attribute.default_sub().unwrap_or(at.attribute),
        _ => at.last(),
    };
    let any = |operator| {
        found
            .iter()
            .any(|value| holds(attribute, value, operator, literal))
    };
    match operator {
        Operator::Ne => !any(Operator::Eq),
        Operator::Eq
        | Operator::Co
        | Operator::Sw
        | Operator::Ew
        | Operator::Gt
        | Operator::Ge
        | Operator::Lt
        | Operator::Le => any(operator),
    }
}

fn holds(attribute: &Attribute, value: &Value, operator: Operator, literal: &Literal) -> bool {
    match (literal, value) {
        (Literal::Boolean(wanted), Value::Bool(found)) => {
            operator == Operator::Eq && wanted == found
        }
        (Literal::Time(wanted), Value::String(found)) => found
            .parse::<Timestamp>()
            .is_ok_and(|found| ordered(operator, found.cmp(wanted))),
        (Literal::Text { exact, .. }, Value::String(found)) if attribute.case_exact => {
            text_holds(operator, found, exact)
        }
        (Literal::Text { folded: wanted, .. }, Value::String(found)) => {
            text_holds(operator, &folded(found), wanted)
        }
        _ => false,
    }
}

fn text_holds(operator: Operator, found: &str, wanted: &str) -> bool {
    match operator {
        Operator::Co => found.contains(wanted),
        Operator::Sw => found.starts_with(wanted),
        Operator::Ew => found.ends_with(wanted),
        Operator::Eq | Operator::Ne | Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le => {
            ordered(operator, found.cmp(wanted))
        }
    }
}

fn ordered(operator: Operator, order: std::cmp::Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}
