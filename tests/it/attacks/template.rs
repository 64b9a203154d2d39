//! `{{…}}` in rows: variables, repetition, the row's variant, and filters.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// Where the values of variables come from.
pub(super) trait Scope {
    /// The value of a variable; an error says why there is none.
    fn value(&self, name: &str) -> Result<String, String>;
    /// The row's variant.
    fn variant(&self) -> &Value;
}

/// Text with every `{{…}}` replaced.
pub(super) fn expand(text: &str, scope: &impl Scope) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(length) = rest[start + 2..].find("}}") else {
            break;
        };
        out.push_str(&rest[..start]);
        let expression = &rest[start + 2..start + 2 + length];
        out.push_str(&evaluate(expression, scope)?);
        rest = &rest[start + 2 + length + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// JSON with every `{{…}}` in its strings replaced; a string that is `{{v}}` alone becomes the
/// variant whatever its type.
pub(super) fn expand_json(value: &Value, scope: &impl Scope) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) if text == "{{v}}" => scope.variant().clone(),
        Value::String(text) => Value::String(expand(text, scope)?),
        Value::Array(list) => Value::Array(
            list.iter()
                .map(|v| expand_json(v, scope))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(k, v)| Ok((expand(k, scope)?, expand_json(v, scope)?)));
            Value::Object(pairs.collect::<Result<_, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// Bytes as the catalogue wants them sent: code points up to 0xFF are one byte, others UTF-8.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u8::try_from(u32::from(c)) {
            Ok(byte) => out.push(byte),
            Err(_) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

fn evaluate(expression: &str, scope: &impl Scope) -> Result<String, String> {
    if let Some(quoted) = expression.strip_prefix('\'') {
        return repeat(quoted).ok_or_else(|| format!("unknown expression {{{{{expression}}}}}"));
    }
    if expression.contains('*') {
        // Text that only looks like a variable, such as a template injection.
        return Ok(format!("{{{{{expression}}}}}"));
    }
    let mut parts = expression.split('|');
    let name = parts.next().unwrap_or_default().trim();
    let mut value = match name.strip_prefix('v') {
        Some(index) if index.is_empty() || index.starts_with('[') => {
            variant(scope.variant(), index)?
        }
        Some(_) | None => scope.value(name)?,
    };
    for filter in parts {
        value = match filter.trim() {
            "urlencode" => utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string(),
            "upper" => value.to_uppercase(),
            "lower" => value.to_lowercase(),
            "no_prefix" => {
                let bare = value.trim_start_matches("__Host-");
                bare.split('=').next().unwrap_or_default().to_owned()
            }
            "b64" | "base64" => {
                base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value)
            }
            other => return Err(format!("unknown filter |{other}")),
        };
    }
    Ok(value)
}

fn repeat(quoted: &str) -> Option<String> {
    let (text, times) = quoted.rsplit_once('\'')?;
    let times: usize = times.trim().strip_prefix('*')?.trim().parse().ok()?;
    Some(unescape(text).repeat(times))
}

fn unescape(text: &str) -> String {
    text.replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\0", "\0")
}

fn variant(variant: &Value, index: &str) -> Result<String, String> {
    let value = match index.strip_prefix('[').and_then(|i| i.strip_suffix(']')) {
        None if index.is_empty() => variant,
        Some(index) => {
            let n: usize = index
                .parse()
                .map_err(|_| format!("unknown variable v[{index}]"))?;
            variant
                .get(n)
                .ok_or_else(|| format!("the variant has no v[{n}]"))?
        }
        None => return Err(format!("unknown variable v{index}")),
    };
    Ok(match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Fixed(Value);

    impl Scope for Fixed {
        fn value(&self, name: &str) -> Result<String, String> {
            match name {
                "p" => Ok("/_usher".to_owned()),
                "cookie.alice" => Ok("__Host-usher=abc".to_owned()),
                other => Err(format!("unknown variable {other}")),
            }
        }
        fn variant(&self) -> &Value {
            &self.0
        }
    }

    #[test]
    fn replaces_variables_variants_and_repetitions() {
        let scope = Fixed(json!(["a b", "c"]));
        let show = |text: &str| expand(text, &scope);
        assert_eq!(show("{{p}}/x{{v[1]}}").unwrap(), "/_usher/xc");
        assert_eq!(show("{{v[0]|urlencode}}").unwrap(), "a%20b");
        assert_eq!(show("X: {{'a'*3}}").unwrap(), "X: aaa");
        assert_eq!(show("{{'X: a\\r\\n'*2}}").unwrap(), "X: a\r\nX: a\r\n");
        assert_eq!(show("{{cookie.alice|no_prefix}}=m").unwrap(), "usher=m");
        assert_eq!(show("{{7*7}}").unwrap(), "{{7*7}}");
        assert!(show("{{nosuch}}").is_err());
        assert!(show("{{p|nosuch}}").is_err());
    }

    #[test]
    fn a_lone_variant_keeps_its_type() {
        let scope = Fixed(json!(null));
        assert_eq!(
            expand_json(&json!({"a": "{{v}}"}), &scope).unwrap(),
            json!({"a": null})
        );
    }

    #[test]
    fn low_code_points_are_one_byte_and_high_ones_utf_8() {
        assert_eq!(bytes("\u{80}\u{560d}"), [0x80, 0xe5, 0x98, 0x8d]);
    }
}
