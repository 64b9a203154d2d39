//! The result as lines for people or as JSON.

use serde_json::{Value, json};

use super::look::{Seen, Who};
use crate::cli::say;
use crate::idp::saml::check::Refused;

/// Prints what was seen.
pub(super) fn print(seen: &Seen, as_json: bool) {
    if as_json {
        return say(&to_json(seen).to_string());
    }
    for line in lines(seen) {
        // Nothing that stands in a message reaches the terminal as it is.
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .collect();
        say(&line);
    }
}

/// As lines.
pub(super) fn lines(seen: &Seen) -> Vec<String> {
    let mut lines = vec![format!("→ found in: {}", seen.found_in)];
    for (what, value) in &seen.assumed {
        lines.push(format!("→ {what}: {value}"));
    }
    for (check, what) in seen.steps.all() {
        lines.push(format!("✓ {}: {what}", check.code()));
    }
    match &seen.outcome {
        Ok(who) => of_who(who, &mut lines),
        Err(refused) => {
            lines.push(format!("✗ {refused}"));
            lines.push(format!("  {}", refused.sentence()));
        }
    }
    lines
}

fn of_who(who: &Who, lines: &mut Vec<String>) {
    let mut add = |what: &str, value: Option<&str>| {
        lines.push(format!("  {what}: {}", value.unwrap_or("–")));
    };
    add("subject", Some(&who.subject.value));
    add("subject's format", Some(&who.subject.format));
    add("e-mail", who.attributes.email.as_deref());
    add("name", who.attributes.name.as_deref());
    add("given name", who.attributes.given_name.as_deref());
    add("family name", who.attributes.family_name.as_deref());
    add("username", who.attributes.username.as_deref());
    let groups = who.attributes.groups.join(", ");
    add(
        "groups",
        Some(&groups)
            .filter(|groups| !groups.is_empty())
            .map(String::as_str),
    );
    add("session index", who.session_index.as_deref());
    add("authentication context", who.authn_context.as_deref());
    let ends = who.session_ends_at.map(|end| end.to_string());
    add("session ends", ends.as_deref());
    let sent: Vec<_> = who
        .sent
        .iter()
        .map(|(name, values)| format!("{name} ({values})"))
        .collect();
    add(
        "attributes sent, with the number of values",
        Some(&sent.join(", ")),
    );
    lines.push("verified".to_owned());
}

/// As JSON.
pub(super) fn to_json(seen: &Seen) -> Value {
    let steps: Vec<_> = seen
        .steps
        .all()
        .iter()
        .map(|(check, what)| json!({ "check": check.code(), "seen": what }))
        .collect();
    let assumed: serde_json::Map<_, _> = seen
        .assumed
        .iter()
        .map(|(what, value)| ((*what).to_owned(), json!(value)))
        .collect();
    let failed = seen.outcome.as_ref().err().map(|refused: &Refused| {
        json!({
            "check": refused.check.code(), "detail": refused.detail, "sentence": refused.sentence(),
        })
    });
    let who = seen.outcome.as_ref().ok().map(|who| {
        json!({
            "subject": who.subject,
            "attributes": who.attributes,
            "session_index": who.session_index,
            "authn_context": who.authn_context,
            "session_ends_at": who.session_ends_at.map(|end| end.to_string()),
            "sent": who.sent.iter().map(|(name, values)| json!({ "name": name, "values": values })).collect::<Vec<_>>(),
        })
    });
    json!({
        "ok": seen.outcome.is_ok(), "found_in": seen.found_in, "assumed": assumed, "steps": steps,
        "failed": failed, "login": who,
    })
}
