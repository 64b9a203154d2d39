//! Bulk operations (RFC 7644 section 3.7): each in a transaction of its own.

use std::collections::HashMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::Call;
use super::change::Target;
use super::error::{ScimError, ScimType};
use super::json::{self, member};
use super::list::Query;
use super::reply::{Reply, error_body};
use super::route::opaque;
use super::schema::ResourceKind;

/// Operations in one request.
pub(super) const OPERATIONS: usize = 1000;
/// How a resource is named that the same request makes.
const REFERENCE: &str = "bulkId:";

/// One operation as it was sent.
struct Asked {
    method: Method,
    path: String,
    bulk_id: Option<String>,
    version: Option<String>,
    data: Value,
}

/// Carries out a bulk request. What refers to a resource that a later operation makes waits for it.
///
/// # Errors
/// 400 for what is no bulk request, 413 for too many operations.
pub(super) async fn run(call: &Call) -> Result<Reply, ScimError> {
    let message = json::body(&call.parts.headers, &call.body)?;
    let (asked, most_errors) = read(&message)?;
    let mut waiting: Vec<usize> = (0..asked.len()).collect();
    let mut results: Vec<Option<Value>> = vec![None; asked.len()];
    let mut made = HashMap::new();
    let mut errors = 0;
    while !waiting.is_empty() && errors < most_errors {
        let (ready, later): (Vec<usize>, Vec<usize>) = waiting.iter().partition(|at| {
            asked
                .get(**at)
                .is_some_and(|one| is_ready(one, &asked, &made))
        });
        // Where each waits for another, none can be resolved: they fail one by one.
        let (now, next) = match ready.is_empty() {
            true => (later, Vec::new()),
            false => (ready, later),
        };
        waiting = next;
        for at in now {
            if errors >= most_errors {
                break;
            }
            let Some(one) = asked.get(at) else { continue };
            let outcome = carry_out(call, one, &made).await;
            errors += usize::from(outcome.is_err());
            if let (Ok(reply), Some(bulk_id)) = (&outcome, &one.bulk_id) {
                let id = reply.body.as_ref().and_then(|body| body["id"].as_str());
                if let Some(id) = id.filter(|_| one.method == Method::POST) {
                    made.insert(bulk_id.clone(), id.to_owned());
                }
            }
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result(call, one, outcome));
            }
        }
    }
    let results: Vec<Value> = results.into_iter().flatten().collect();
    Ok(Reply::document(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
        "Operations": results,
    })))
}

fn read(message: &Map<String, Value>) -> Result<(Vec<Asked>, usize), ScimError> {
    let syntax = |detail: &str| ScimError::bad(ScimType::InvalidSyntax, detail);
    let Some(Value::Array(list)) = member(message, "Operations") else {
        return Err(syntax("`Operations` must be a list"));
    };
    if list.len() > OPERATIONS {
        return Err(ScimError::plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a request has at most {OPERATIONS} operations"),
        ));
    }
    let most_errors = match member(message, "failOnErrors").map(Value::as_u64) {
        None => usize::MAX,
        Some(Some(most)) if most > 0 => usize::try_from(most).unwrap_or(usize::MAX),
        Some(_) => return Err(syntax("`failOnErrors` must be a whole number above 0")),
    };
    let mut asked: Vec<Asked> = Vec::new();
    for one in list {
        let one = one
            .as_object()
            .ok_or_else(|| syntax("an operation must be an object"))?;
        let text = |name: &str| member(one, name).and_then(Value::as_str).map(str::to_owned);
        let method = match text("method").unwrap_or_default().to_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => return Err(syntax("`method` must be POST, PUT, PATCH or DELETE")),
        };
        let bulk_id = text("bulkId");
        if bulk_id.is_some() && asked.iter().any(|other| other.bulk_id == bulk_id) {
            return Err(syntax("a `bulkId` stands twice"));
        }
        if bulk_id.is_none() && method == Method::POST {
            return Err(syntax("a POST needs a `bulkId`"));
        }
        asked.push(Asked {
            method,
            path: text("path").ok_or_else(|| syntax("an operation needs a `path`"))?,
            bulk_id,
            version: text("version"),
            data: member(one, "data").cloned().unwrap_or_default(),
        });
    }
    Ok((asked, most_errors))
}

/// Whether everything that it refers to is made, or will not be made here at all.
fn is_ready(one: &Asked, all: &[Asked], made: &HashMap<String, String>) -> bool {
    let mut references = Vec::new();
    gather(&one.data, &mut references);
    references.extend(one.path.split('/').filter_map(reference));
    references.iter().all(|name| {
        made.contains_key(*name)
            || !all.iter().any(|other| {
                other.bulk_id.as_deref() == Some(*name) && other.method == Method::POST
            })
    })
}

fn reference(text: &str) -> Option<&str> {
    text.strip_prefix(REFERENCE)
}

fn gather<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.extend(reference(text)),
        Value::Array(list) => list.iter().for_each(|one| gather(one, into)),
        Value::Object(parts) => parts.values().for_each(|one| gather(one, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn resolve(value: &mut Value, made: &HashMap<String, String>) -> Result<(), ScimError> {
    match value {
        Value::String(text) => {
            if let Some(name) = reference(text) {
                *text = resolved(name, made)?;
            }
            Ok(())
        }
        Value::Array(list) => list.iter_mut().try_for_each(|one| resolve(one, made)),
        Value::Object(parts) => parts.values_mut().try_for_each(|one| resolve(one, made)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn resolved(name: &str, made: &HashMap<String, String>) -> Result<String, ScimError> {
    made.get(name).cloned().ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        ScimError::plain(
            StatusCode::CONFLICT,
            format!("no operation made the resource with the bulkId {shown}"),
        )
    })
}

async fn carry_out(
    call: &Call,
    one: &Asked,
    made: &HashMap<String, String>,
) -> Result<Reply, ScimError> {
    let mut data = one.data.clone();
    resolve(&mut data, made)?;
    let path = one.path.strip_prefix('/').unwrap_or(&one.path);
    let (endpoint, id) = match path.split_once('/') {
        Some((endpoint, id)) => (endpoint, Some(id)),
        None => (path, None),
    };
    let kind = ResourceKind::of_endpoint(endpoint).ok_or_else(ScimError::not_found)?;
    let query = Query::default();
    let sent = || match &data {
        Value::Object(sent) => Ok(sent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(ScimError::bad(
                ScimType::InvalidSyntax,
                "`data` must be an object",
            ))
        }
    };
    let Some(id) = id else {
        return match one.method {
            Method::POST => call.create(kind, sent()?, &query).await,
            _ => Err(ScimError::not_found()),
        };
    };
    let id = match reference(id) {
        Some(name) => resolved(name, made)?,
        None => id.to_owned(),
    };
    let if_match = one.version.as_deref();
    let target = Target {
        kind,
        id,
        if_match: if_match.map(|version| vec![opaque(version).to_owned()]),
    };
    match one.method {
        Method::PUT => call.replace(&target, sent()?, &query).await,
        Method::PATCH => call.patch(&target, sent()?, &query).await,
        Method::DELETE => call.delete(&target).await,
        _ => Err(ScimError::plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "the path is known, the method is not for it",
        )),
    }
}

fn result(call: &Call, one: &Asked, outcome: Result<Reply, ScimError>) -> Value {
    let mut shown = Map::new();
    shown.insert("method".to_owned(), one.method.as_str().into());
    if let Some(bulk_id) = &one.bulk_id {
        shown.insert("bulkId".to_owned(), bulk_id.as_str().into());
    }
    let location = match (&outcome, one.method == Method::POST) {
        (Ok(reply), _) if reply.location.is_some() => reply.location.clone(),
        (Err(_), true) => None,
        // Entities that were made have their own location; the path names the others.
        (Ok(_) | Err(_), _) => Some(format!("{}{}", call.base, one.path)),
    };
    if let Some(location) = location {
        shown.insert("location".to_owned(), location.into());
    }
    match outcome {
        Ok(reply) => {
            shown.insert("status".to_owned(), reply.status.as_str().into());
            if let Some(version) = reply.version {
                shown.insert("version".to_owned(), version.into());
            }
        }
        Err(error) => {
            shown.insert("status".to_owned(), error.status.as_str().into());
            shown.insert("response".to_owned(), error_body(&error));
        }
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_all(message: &Value) -> Result<(usize, usize), u16> {
        let read = read(message.as_object().unwrap());
        let counted = read.map(|(asked, most_errors)| (asked.len(), most_errors));
        counted.map_err(|error| error.status.as_u16())
    }

    #[test]
    fn a_request_has_so_many_operations_each_of_its_own_id() {
        let make = |id: &str| json!({ "method": "POST", "path": "/Users", "bulkId": id });
        let ids = |count: usize| (0..count).map(|number| make(&number.to_string()));
        let many = |count: usize| json!({ "Operations": ids(count).collect::<Vec<_>>() });
        assert_eq!(read_all(&many(OPERATIONS)), Ok((OPERATIONS, usize::MAX)));
        assert_eq!(read_all(&many(OPERATIONS + 1)), Err(413));
        for (message, expected) in [
            (
                json!({ "Operations": [make("a"), make("b")], "failOnErrors": 1 }),
                Ok((2, 1)),
            ),
            (json!({ "Operations": [make("a"), make("a")] }), Err(400)),
            (
                json!({ "Operations": [make("a")], "failOnErrors": 0 }),
                Err(400),
            ),
            (
                json!({ "Operations": [{ "method": "POST", "path": "/Users" }] }),
                Err(400),
            ),
            (
                json!({ "Operations": [{ "method": "GET", "path": "/Users/1" }] }),
                Err(400),
            ),
            (json!({ "Operations": [{ "method": "DELETE" }] }), Err(400)),
            (json!({ "Operations": {} }), Err(400)),
        ] {
            assert_eq!(read_all(&message), expected, "{message}");
        }
    }
}
