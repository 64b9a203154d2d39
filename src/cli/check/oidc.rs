//! An OpenID provider: DNS, discovery, keys, clock.

use jiff::Timestamp;
use serde_json::Value;
use url::{Host, Url};

use super::idp::{clock, get};
use super::{Lines, reach};
use crate::config::{ClientAuth, Config, Idp, OidcConfig, ResponseMode, Userinfo};
use crate::outbound::{Answer, Outbound};

const ACCEPT: &str = "application/json";
/// Bytes of one document.
const LIMIT: usize = 1024 * 1024;
/// Signature algorithms of ID tokens that usher takes: asymmetric ones.
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// URLs that it must know.
pub(super) fn to_register(check: &str, idp: &Idp, config: &Config, lines: &mut Lines) {
    for site in config.sign_in_sites() {
        let base = format!("{}{}", site.public_url.origin, config.prefix);
        lines.note(
            check,
            format!("redirect URI {base}/oidc/{}/callback", idp.id),
        );
        lines.note(check, format!("post-logout redirect URI {base}/sign-out"));
        let logout = format!("{base}/oidc/{}/backchannel-logout", idp.id);
        lines.note(check, format!("back-channel logout URI {logout}"));
    }
}

/// Everything about one.
pub(super) async fn discover(
    check: &str,
    oidc: &OidcConfig,
    outbound: &Outbound,
    now: Timestamp,
    lines: &mut Lines,
) -> Result<(), String> {
    let issuer = Url::parse(&oidc.issuer).map_err(|error| error.to_string())?;
    let host = issuer.host_str().unwrap_or_default();
    let port = issuer.port_or_known_default().unwrap_or(443);
    reach::dns(host, port).await?;
    lines.fine(check, format!("{host} is in DNS"));
    let url = format!(
        "{}/.well-known/openid-configuration",
        oidc.issuer.trim_end_matches('/')
    );
    let asked = std::time::Instant::now();
    let answer = get(&url, ACCEPT, LIMIT, outbound).await?;
    clock(check, &answer.headers, now, asked.elapsed(), lines);
    let metadata = json(&url, &answer)?;
    let named = metadata
        .get("issuer")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if named != oidc.issuer {
        return Err(format!(
            "its metadata is of the issuer {named:?}, the config says {:?}: write exactly what it says",
            oidc.issuer
        ));
    }
    lines.fine(check, format!("discovery: {url}"));
    capabilities(check, oidc, &metadata, lines);
    endpoints(check, oidc, &metadata, lines);
    let Some(jwks_uri) = metadata.get("jwks_uri").and_then(Value::as_str) else {
        return Ok(());
    };
    keys(check, jwks_uri, outbound, lines).await
}

fn json(url: &str, answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|error| format!("{url} is no JSON: {error}"))
}

/// What the IdP says that it can do. Where it says nothing, the standard's default counts.
fn capabilities(check: &str, oidc: &OidcConfig, metadata: &Value, lines: &mut Lines) {
    let lists = |key: &str, value: &str| list(metadata, key).map(|list| list.contains(&value));
    match lists("code_challenge_methods_supported", "S256") {
        Some(true) => lines.fine(check, "PKCE with S256"),
        Some(false) => lines.fail(check, "it does not support PKCE with S256"),
        None => lines.warn(
            check,
            "it does not say whether it supports PKCE; usher uses S256",
        ),
    }
    if lists("response_types_supported", "code") == Some(false) {
        lines.fail(check, "it does not support the code flow");
    }
    let algorithms = list(metadata, "id_token_signing_alg_values_supported");
    if algorithms.is_some_and(|list| !list.iter().any(|alg| ALGORITHMS.contains(alg))) {
        lines.fail(
            check,
            format!("it signs ID tokens with none of {}", ALGORITHMS.join(", ")),
        );
    }
    let auth = match &oidc.client_auth {
        ClientAuth::Basic(_) => "client_secret_basic",
        ClientAuth::Post(_) => "client_secret_post",
        ClientAuth::PrivateKeyJwt(_) => "private_key_jwt",
        ClientAuth::None => "none",
    };
    let supports = lists("token_endpoint_auth_methods_supported", auth);
    if supports.unwrap_or(auth == "client_secret_basic" || auth == "none") {
        lines.fine(check, format!("`client_auth: {auth}`"));
    } else {
        lines.warn(
            check,
            format!("it does not say that it supports `client_auth: {auth}`"),
        );
    }
    if oidc.response_mode == ResponseMode::FormPost
        && lists("response_modes_supported", "form_post") == Some(false)
    {
        lines.fail(check, "it does not support `response_mode: form_post`");
    }
    for scope in &oidc.scopes {
        if lists("scopes_supported", scope) == Some(false) {
            lines.warn(check, format!("it does not list the scope `{scope}`"));
        }
    }
}

fn list<'a>(metadata: &'a Value, key: &str) -> Option<Vec<&'a str>> {
    let list = metadata.get(key)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).collect())
}

fn endpoints(check: &str, oidc: &OidcConfig, metadata: &Value, lines: &mut Lines) {
    let mut needed = vec!["authorization_endpoint", "token_endpoint", "jwks_uri"];
    if oidc.userinfo == Userinfo::Always {
        needed.push("userinfo_endpoint");
    }
    let mut fine = true;
    for key in ["userinfo_endpoint", "end_session_endpoint"]
        .into_iter()
        .filter(|key| !needed.contains(key) && metadata.get(key).is_some())
        .chain(needed.iter().copied())
    {
        let why = match metadata.get(key).and_then(Value::as_str).map(Url::parse) {
            None => "is missing",
            Some(Err(_)) => "is not a URL",
            Some(Ok(url)) if is_safe(&url) => continue,
            Some(Ok(_)) => "is not https",
        };
        fine = false;
        lines.fail(check, format!("the metadata's {key} {why}"));
    }
    if fine {
        lines.fine(check, "its endpoints are https");
    }
    if metadata.get("end_session_endpoint").is_none() {
        lines.note(
            check,
            "it has no end_session_endpoint: signing out ends the session here, not there",
        );
    }
}

/// https, or http that never leaves this machine.
fn is_safe(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}

async fn keys(
    check: &str,
    jwks_uri: &str,
    outbound: &Outbound,
    lines: &mut Lines,
) -> Result<(), String> {
    let document = json(jwks_uri, &get(jwks_uri, ACCEPT, LIMIT, outbound).await?)?;
    let keys = document
        .get("keys")
        .and_then(Value::as_array)
        .ok_or_else(|| format!("{jwks_uri} has no list of keys"))?;
    let usable = keys.iter().filter(|key| can_verify(key)).count();
    if usable == 0 {
        return Err(format!("{jwks_uri} has no key that verifies ID tokens"));
    }
    lines.fine(
        check,
        format!("JWKS: {usable} of {} keys usable", keys.len()),
    );
    Ok(())
}

/// A public key for signatures (RFC 7517 4): asymmetric, and not for encryption.
fn can_verify(key: &Value) -> bool {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    matches!(text("kty"), Some("RSA" | "EC" | "OKP"))
        && text("use").is_none_or(|used| used == "sig")
        && text("alg").is_none_or(|alg| ALGORITHMS.contains(&alg))
}
