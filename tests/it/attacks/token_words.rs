//! What the catalogue says of ID tokens in words, as faults of the test IdP. Words that are not known
//! are an error, never nothing.

use serde_json::{Value, json};
use usher::demo::idp::{Hmac, HmacKey, KeyHint, TokenFault};

/// The faults of an ID token that these words mean; `peers` are the issuers of op1 and op2.
pub(super) fn id_token(words: &str, peers: (&str, &str)) -> Result<Vec<TokenFault>, String> {
    let words = words.split(" (").next().unwrap_or_default().trim();
    let unknown = || format!("unknown id_token fault {words:?}");
    if let Some(faults) = algorithm(words)
        .or_else(|| key(words))
        .or_else(|| header(words))
    {
        return Ok(faults);
    }
    if let Some(faults) = issuer(words, peers).or_else(|| odd_claim(words)) {
        return Ok(faults);
    }
    claim(words).map(|fault| vec![fault]).ok_or_else(unknown)
}

fn algorithm(words: &str) -> Option<Vec<TokenFault>> {
    let header = |value: Value| TokenFault::Header("alg".to_owned(), value);
    let unsigned = |value: Value| vec![TokenFault::Unsigned(Some(value))];
    Some(match words {
        "alg=none, no signature" | "alg=none" => unsigned(json!("none")),
        "alg=none with original signature" => vec![header(json!("none"))],
        "alg absent" => vec![TokenFault::Unsigned(None)],
        "alg=null" => unsigned(Value::Null),
        "alg=\"\"" => unsigned(json!("")),
        _ if words.starts_with("alg=") && words[4..].eq_ignore_ascii_case("none") => {
            unsigned(json!(words[4..]))
        }
        _ => {
            let (hash, key) = words.split_once(" key=")?;
            let hash = match hash {
                "HS256" => Hmac::Sha256,
                "HS384" => Hmac::Sha384,
                "HS512" => Hmac::Sha512,
                _ => return None,
            };
            let key = match key {
                "client_secret" => HmacKey::ClientSecret,
                "empty" => HmacKey::Empty,
                "public PEM" | "public_pem" | "PEM" | "RSA public key PEM" => HmacKey::PublicPem,
                "public DER" | "public_der" | "DER" => HmacKey::PublicDer,
                "jwks" | "JWKS" | "JWKS bytes" => HmacKey::Jwks,
                _ => return None,
            };
            vec![TokenFault::Hmac(hash, key)]
        }
    })
}

fn key(words: &str) -> Option<Vec<TokenFault>> {
    let sink = "http://127.0.0.3:9/keys";
    let hint = match words {
        "jwk header with own key" => KeyHint::Jwk,
        "jku to evil.test" => KeyHint::Jku(sink.to_owned()),
        "x5u to evil.test" => KeyHint::X5u(sink.to_owned()),
        "x5c self-signed" => KeyHint::X5c,
        // A key of somebody else, under whatever kid: usher publishes no key that op1 lists.
        "kid of op2 key, signed by op2, iss=op1" | "kid unknown" => {
            let kid = TokenFault::Header("kid".to_owned(), json!("op2-key"));
            return Some(vec![TokenFault::AttackerKey(KeyHint::Nothing), kid]);
        }
        "signed by client's own signing key"
        | "signed by usher's identity-JWT key"
        | "signed by another key"
        | "wrong key" => KeyHint::Nothing,
        "signature corrupt" | "one bit of the signature flipped" | "bit flipped" => {
            return Some(vec![TokenFault::CorruptSignature]);
        }
        "signature stripped" | "no signature" => return Some(vec![TokenFault::StripSignature]),
        "truncated" => return Some(vec![TokenFault::Truncated]),
        _ => return None,
    };
    Some(vec![TokenFault::AttackerKey(hint)])
}

fn header(words: &str) -> Option<Vec<TokenFault>> {
    let set = |name: &str, value: Value| TokenFault::Header(name.to_owned(), value);
    Some(match words {
        "b64=false crit" => vec![set("b64", json!(false)), set("crit", json!(["b64"]))],
        "zip=DEF" => vec![set("zip", json!("DEF"))],
        "cty=JWT nested none" => {
            vec![set("cty", json!("JWT")), TokenFault::Garbage(nested_none())]
        }
        "enc present" => vec![TokenFault::Encrypted],
        _ => {
            if let Some(list) = words.strip_prefix("crit ") {
                let list: Value = serde_json::from_str(list).ok()?;
                let mut faults = vec![set("crit", list.clone())];
                let named = list.as_array()?.iter().filter_map(Value::as_str);
                faults.extend(named.map(|name| set(name, json!("x"))));
                return Some(faults);
            }
            vec![set("typ", json!(words.strip_prefix("typ=")?))]
        }
    })
}

/// A JWS whose payload is an unsigned JWT.
fn nested_none() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let inner = format!(
        "{}.{}.",
        encode("{\"alg\":\"none\"}"),
        encode("{\"sub\":\"alice\"}")
    );
    format!(
        "{}.{}.AA",
        encode("{\"alg\":\"RS256\",\"cty\":\"JWT\"}"),
        encode(&inner)
    )
}

fn issuer(words: &str, (own, other): (&str, &str)) -> Option<Vec<TokenFault>> {
    let value = match words {
        "iss other" => json!("https://other.test"),
        "iss with trailing slash" => json!(format!("{own}/")),
        "iss upper-case host" => json!(
            own.to_uppercase()
                .replace("HTTP", "http")
                .replace("127.0.0.1", "LOCALHOST")
        ),
        // The IdP of the test is on http already; the other scheme is the fault.
        "iss http" => json!(own.replace("http://", "https://")),
        "iss op2" => json!(other),
        "iss array" => json!([own]),
        "iss with userinfo" => json!(own.replace("http://", "http://user@")),
        _ => return None,
    };
    Some(vec![TokenFault::Claim("iss".to_owned(), value)])
}

fn odd_claim(words: &str) -> Option<Vec<TokenFault>> {
    let set = |name: &str, value: Value| vec![TokenFault::Claim(name.to_owned(), value)];
    let time = |name: &str, offset: i64| TokenFault::Time(name.to_owned(), offset);
    Some(match words {
        "exp now+10 years with iat now" => vec![time("exp", 10 * 365 * 86_400), time("iat", 0)],
        // With the type of any JWT, so that only its claims tell what it is.
        "logout token with nonce and sub" => {
            let event = "http://schemas.openid.net/event/backchannel-logout";
            set("events", json!({ event: {} }))
        }
        "exp past" => vec![time("exp", -61)],
        "auth_time future" => vec![time("auth_time", 3600)],
        "exp [now+600]" => set("exp", json!([jiff::Timestamp::now().as_second() + 600])),
        "sub 300 chars" => set("sub", json!("a".repeat(300))),
        "sub with NUL" => set("sub", json!("alice\0")),
        "sub with CRLF" => set("sub", json!("alice\r\nX: y")),
        "at_hash wrong" => set("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        "c_hash wrong in hybrid" => set("c_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        "aud other" => set("aud", json!("other")),
        "aud [other]" => set("aud", json!(["other"])),
        "nonce wrong" | "nonce other" => set("nonce", json!("other")),
        "azp other" => set("azp", json!("other")),
        "duplicate sub" => vec![TokenFault::DuplicateClaim("sub".to_owned(), json!("root"))],
        _ => return None,
    })
}

/// `name absent`, `name now+5`, `name=value`, `name value`: any claim.
fn claim(words: &str) -> Option<TokenFault> {
    let at = words.find([' ', '='])?;
    let (name, value) = (&words[..at], words[at + 1..].trim());
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return None;
    }
    let name = name.to_owned();
    if value == "absent" || value == "missing" {
        return Some(TokenFault::RemoveClaim(name));
    }
    if let Some(offset) = value.strip_prefix("now") {
        let offset = if offset.is_empty() {
            0
        } else {
            offset.parse().ok()?
        };
        return Some(TokenFault::Time(name, offset));
    }
    let value = value.trim_end_matches(" string");
    match serde_json::from_str::<Value>(value) {
        Ok(value) => Some(TokenFault::Claim(name, value)),
        // What JSON cannot say is written as it stands; words are a string.
        Err(_) if value.contains("e4") || value == "NaN" || value == "Infinity" => {
            Some(TokenFault::RawClaim(name, value.to_owned()))
        }
        Err(_) => Some(TokenFault::Claim(name, json!(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: (&str, &str) = ("http://127.0.0.1:1", "http://127.0.0.1:2");

    #[test]
    fn reads_claims_of_any_shape() {
        let one = |words: &str| id_token(words, PEERS).unwrap().remove(0);
        assert_eq!(one("exp now-61"), TokenFault::Time("exp".into(), -61));
        assert_eq!(
            one("sub null"),
            TokenFault::Claim("sub".into(), Value::Null)
        );
        assert_eq!(one("sub 42"), TokenFault::Claim("sub".into(), json!(42)));
        assert_eq!(
            one("sub \" alice\""),
            TokenFault::Claim("sub".into(), json!(" alice"))
        );
        assert_eq!(
            one("exp 1e400"),
            TokenFault::RawClaim("exp".into(), "1e400".into())
        );
        assert_eq!(
            one("exp NaN"),
            TokenFault::RawClaim("exp".into(), "NaN".into())
        );
        assert_eq!(
            one("email_verified=false"),
            TokenFault::Claim("email_verified".into(), json!(false))
        );
        assert_eq!(one("iss absent"), TokenFault::RemoveClaim("iss".into()));
        assert_eq!(
            one("email_verified=\"true\" string (policy: refuse unless opted in)"),
            TokenFault::Claim("email_verified".into(), json!("true"))
        );
        assert!(id_token("Something else", PEERS).is_err());
    }
}
