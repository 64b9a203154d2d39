//! Step verbs that change usher's config or tell a double to misbehave.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use usher::demo::idp::{
    AssertionKey, ClientAuth, DiscoveryFault, Endpoint, EndpointFault, Fault, JwksFault,
    ResponseFault, TestIdp, TestUser, UserinfoFault,
};

use super::{
    faults, odd_peers,
    run::{Done, Run, Stop},
    steps::Step,
    token_words,
    world::client,
};
use crate::support::callback::{Callback, verify};

impl Run<'_> {
    pub(super) async fn config_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match (verb, &step.map[verb]) {
            ("usher.config" | "config", Value::Object(map)) => {
                for (key, value) in map {
                    self.setting(key, value)?;
                }
                if self.world.running().is_some() {
                    self.world.restart().await?;
                }
                Ok(())
            }
            ("usher.config" | "config", Value::String(words)) => {
                let text = odd_config(words, &self.world.config());
                self.odd_config =
                    Some(text.ok_or_else(|| format!("unknown config fault {words:?}"))?);
                Ok(())
            }
            ("start", _) => self.start_step().await,
            ("reload", _) => {
                let config = self.world.config();
                let usher = self.world.usher().await?;
                usher.reload_with(&config);
                tokio::time::sleep(Duration::from_millis(700)).await;
                Ok(())
            }
            ("rotate_keys", Value::String(words)) => {
                let words = words.clone();
                self.rotate_keys(&words).await
            }
            (_, value) => Err(Stop::Fail(format!("unknown {verb} {value}"))),
        }
    }

    fn setting(&mut self, key: &str, value: &Value) -> Done {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        self.world.dirty = true;
        let oidc = &mut self.world.settings.oidc;
        match key {
            "client_auth" => {
                oidc.insert("client_auth".to_owned(), text.clone());
                match text.as_str() {
                    "private_key_jwt" => self.client_key(),
                    "client_secret_post" => self.world.op1.register(client(ClientAuth::Post)),
                    "none" => {
                        oidc.remove("client_secret");
                        self.world.op1.register(client(ClientAuth::None));
                    }
                    _ => {}
                }
            }
            "response_mode"
            | "userinfo"
            | "refresh_every"
            | "allow_unverified_email"
            | "scopes" => {
                oidc.insert(key.to_owned(), text);
            }
            "max_age" | "acr" => {
                let why = "max_age and acr are not part of the config yet";
                return Err(Stop::NotApplicable(why.to_owned()));
            }
            other => return Err(Stop::Fail(format!("unknown config key {other:?}"))),
        }
        Ok(())
    }

    /// A key pair of the client's own: the private one for usher, the public one for the IdPs.
    fn client_key(&mut self) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let private = pair.serialize_pem().replace('\n', "\\n");
        self.world
            .settings
            .oidc
            .insert("client_secret".to_owned(), format!("\"{private}\""));
        let public = AssertionKey::Pem(pair.public_key_pem());
        for idp in [&self.world.op1, &self.world.op2] {
            idp.register(client(ClientAuth::PrivateKeyJwt(public.clone())));
        }
    }

    async fn start_step(&mut self) -> Done {
        let started = match self.odd_config.take() {
            Some(config) => self.world.start_with(&config).await,
            None => self.world.start().await,
        };
        let outcome = match started {
            Ok(_) => "ok",
            Err(refused) if refused.code.is_some_and(|code| code != 0) => "refused",
            Err(_) => "hangs",
        };
        self.measure("start", outcome);
        Ok(())
    }

    async fn rotate_keys(&mut self, words: &str) -> Done {
        // Sessions are random ids: only sealed sign-in states know these keys.
        let old = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        let new = "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI=";
        let keys = match words {
            "add new first" => format!("keys: {{ seal: [\"{new}\", \"{old}\"] }}\n"),
            "remove old" => format!("keys: {{ seal: [\"{new}\"] }}\n"),
            other => return Err(Stop::Fail(format!("unknown rotate_keys {other:?}"))),
        };
        self.world.settings.top = keys;
        self.world.restart().await?;
        self.note_process();
        let address = self.world.usher().await?.public();
        self.browsers
            .values_mut()
            .for_each(|browser| browser.move_to(address));
        if let Some(browser) = self.browser().cloned() {
            let valid = super::flow::is_valid(self.world, &browser).await?;
            let moment = if words == "remove old" {
                "removed"
            } else {
                "overlap"
            };
            let shown = if valid { "valid" } else { "invalid" };
            self.measure(&format!("session_after({moment})"), shown);
            self.browsers.insert("old_alice".to_owned(), browser);
        }
        Ok(())
    }

    pub(super) async fn double_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        let value = &step.map[verb];
        match verb {
            "upstream.raw" => {
                let words = value.as_str().unwrap_or_default();
                self.world
                    .app
                    .answer_with(Some(faults::upstream_raw(words)?));
                self.kept.insert("spoiled".to_owned(), words.to_owned());
                Ok(())
            }
            "upstream.respond" => {
                self.world
                    .app
                    .answer_with(Some(faults::upstream_respond(value)?));
                Ok(())
            }
            "jit.inspect" => self.inspect_callback(),
            _ => {
                self.world.dirty = true;
                let words = match value {
                    Value::String(words) => words.clone(),
                    other => other.to_string(),
                };
                self.callback_fault(&words).await
            }
        }
    }

    async fn callback_fault(&mut self, words: &str) -> Done {
        if words == "SYN blackhole" {
            let (address, held) = odd_peers::blackhole();
            self.open.push(held);
            return self
                .callback_at(&format!("http://{address}/internal/users"))
                .await;
        }
        if let Some(config) = odd_peers::tls_fault(words) {
            let double = Callback::start_tls(config).await;
            let address = double.address();
            self.open.push(Box::new(double));
            return self
                .callback_at(&format!("https://localhost:{}/users", address.port()))
                .await;
        }
        match words {
            "plaintext on TLS port" => {
                let address = self.world.callback.address();
                self.callback_at(&format!("https://localhost:{}/users", address.port()))
                    .await
            }
            // A server that knows nothing newer answers the hello with this alert.
            "TLS 1.0" => {
                let alert = [0x15, 3, 1, 0, 2, 2, 70];
                let address = odd_peers::one_answer_server(alert.to_vec(), &mut self.open).await;
                self.callback_at(&format!("https://localhost:{}/users", address.port()))
                    .await
            }
            "connection refused" => {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = listener.local_addr().unwrap();
                drop(listener);
                self.callback_at(&format!("http://{address}/users")).await
            }
            words => {
                self.world.callback.behave(Some(faults::callback(words)?));
                Ok(())
            }
        }
    }

    async fn callback_at(&mut self, url: &str) -> Done {
        self.world.settings.callback_url = Some(url.to_owned());
        self.world.restart().await?;
        self.note_process();
        Ok(())
    }

    fn inspect_callback(&mut self) -> Done {
        let calls = self.world.callback.calls();
        let calls = calls
            .get(self.before.callback..)
            .unwrap_or_default()
            .to_vec();
        let call = calls
            .last()
            .ok_or_else(|| "the callback was not called".to_owned())?;
        let all_signed = calls.iter().all(|call| call.signed);
        self.measure(
            "jit.signature",
            if all_signed { "valid" } else { "invalid" },
        );
        let now = jiff::Timestamp::now().as_second();
        let fresh = verify(&call.head, &call.body, Some(now));
        let late = verify(&call.head, &call.body, Some(now + 301));
        let altered = verify(&call.head, &format!("{} ", call.body), Some(now));
        self.measure("jit.replay_detectable", fresh && !late && !altered);
        let bodies: Vec<_> = calls.iter().map(|call| call.body.clone()).collect();
        self.measure("jit.body", bodies.join("\n"));
        self.measure("jit.target", &call.head.target);
        Ok(())
    }

    pub(super) async fn idp_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        let value = &step.map[verb];
        let (idp, what) = verb.split_once('.').unwrap_or_default();
        let idp = self.world.idp(if idp == "op" { "op1" } else { idp })?;
        let words = value.as_str().unwrap_or_default();
        match what {
            "claims" => claims(idp, value)?,
            "id_token" | "refresh_id_token" => {
                let peers = (self.world.op1.issuer(), self.world.op2.issuer());
                not_offered(words)?;
                for fault in token_faults(value, peers)? {
                    idp.always(if what == "id_token" {
                        Fault::IdToken(fault)
                    } else {
                        Fault::RefreshIdToken(fault)
                    });
                }
            }
            "userinfo" => {
                let map = value
                    .as_object()
                    .ok_or_else(|| format!("unknown {verb} {value}"))?;
                for (name, value) in map {
                    idp.always(Fault::Userinfo(UserinfoFault::Claim(
                        name.clone(),
                        value.clone(),
                    )));
                }
            }
            "metadata" => {
                let map = value
                    .as_object()
                    .ok_or_else(|| format!("unknown {verb} {value}"))?;
                for (name, value) in map {
                    idp.always(Fault::Discovery(discovery(idp, name, value)));
                }
            }
            "clock" => {
                let seconds = words
                    .trim_end_matches('s')
                    .trim_start_matches('+')
                    .parse::<i64>();
                let seconds = seconds.map_err(|_| format!("unknown {verb} {words:?}"))?;
                idp.settings(|settings| {
                    settings.clock_offset = SignedDuration::from_secs(seconds);
                    // The token ends as it begins, so that a clock behind shows at its end.
                    settings.id_token_seconds = 0;
                });
            }
            "token" => {
                idp.always(token_endpoint(words)?);
            }
            "jwks" => idp.always(jwks(words)?),
            "swap_emails" => {
                idp.change_user("alice", |user| user.email = "bob@corp.test".to_owned());
                idp.change_user("bob", |user| user.email = "alice@corp.test".to_owned());
            }
            "always" => return Err(Stop::Fail(format!("unknown {verb} {value}"))),
            other => return Err(Stop::Fail(format!("unknown verb {verb:?} ({other})"))),
        }
        self.world.dirty |= !matches!(what, "id_token" | "userinfo");
        Ok(())
    }
}

/// Faults of flows that usher does not offer.
fn not_offered(words: &str) -> Done {
    for flow in ["implicit", "hybrid"] {
        if words.contains(flow) {
            return Err(Stop::NotApplicable(format!(
                "{words}: there is no {flow} flow"
            )));
        }
    }
    Ok(())
}

fn token_faults(
    value: &Value,
    peers: (&str, &str),
) -> Result<Vec<usher::demo::idp::TokenFault>, Stop> {
    use usher::demo::idp::TokenFault;
    match value {
        Value::String(words) => Ok(token_words::id_token(words, peers)?),
        Value::Object(map) => Ok(map
            .iter()
            .map(|(k, v)| TokenFault::Claim(k.clone(), v.clone()))
            .collect()),
        other => Err(Stop::Fail(format!("unknown id_token fault {other}"))),
    }
}

/// Gives the person of this `sub` (who is also its user name) these claims.
fn claims(idp: &TestIdp, value: &Value) -> Done {
    let map = value
        .as_object()
        .ok_or_else(|| format!("unknown claims {value}"))?;
    let sub = map
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or("alice")
        .to_owned();
    if idp.user(&sub).is_none() {
        let mut user = TestUser::new(&sub, &sub, &["users"]);
        user.sub.clone_from(&sub);
        user.email = format!("{sub}@corp.test");
        idp.put_user(user);
    }
    let mut extra = serde_json::Map::new();
    for (name, value) in map {
        match (name.as_str(), value) {
            ("sub", _) => {}
            ("groups_count", Value::Number(count)) => {
                let groups = (0..count.as_u64().unwrap_or(0)).map(|n| json!(format!("group-{n}")));
                extra.insert("groups".to_owned(), groups.collect());
            }
            ("pad", Value::String(size)) => {
                let size = faults::size(size).ok_or_else(|| format!("unknown size {size:?}"))?;
                let size = usize::try_from(size).unwrap_or(0);
                extra.insert("pad".to_owned(), json!("a".repeat(size)));
            }
            (name, value) => {
                extra.insert(name.to_owned(), value.clone());
            }
        }
    }
    idp.change_user(&sub, |user| user.extra = extra);
    Ok(())
}

fn discovery(idp: &TestIdp, name: &str, value: &Value) -> DiscoveryFault {
    match value {
        Value::Null => DiscoveryFault::Remove(name.to_owned()),
        // The test IdP is on http already; the other scheme is the fault.
        Value::String(words) if words == "http instead of https" => {
            let other = idp.issuer().replace("http://", "https://");
            DiscoveryFault::Field(name.to_owned(), json!(other))
        }
        value => DiscoveryFault::Field(name.to_owned(), value.clone()),
    }
}

/// `400 invalid_grant`, `503`, `timeout`: what a refresh meets.
fn token_endpoint(words: &str) -> Result<Fault, Stop> {
    let unknown = || Stop::Fail(format!("unknown op.token {words:?}"));
    if words == "timeout" {
        return Ok(Fault::Endpoint(Endpoint::Token, EndpointFault::Hang));
    }
    let (status, error) = words.split_once(' ').unwrap_or((words, ""));
    let status: u16 = status.parse().map_err(|_| unknown())?;
    if error.is_empty() {
        let fault = EndpointFault::Status(status, "{}".to_owned());
        return Ok(Fault::Endpoint(Endpoint::Token, fault));
    }
    Ok(Fault::RefreshResponse(ResponseFault::Error(
        status,
        error.to_owned(),
    )))
}

fn jwks(words: &str) -> Result<Fault, Stop> {
    Ok(match words {
        "empty" => Fault::Jwks(JwksFault::Empty),
        "oct key" | "oct" => Fault::Jwks(JwksFault::OctKey),
        "no kid" => Fault::Jwks(JwksFault::NoKid),
        "duplicate kid" => Fault::Jwks(JwksFault::DuplicateKid { first: true }),
        "RSA 1024" | "weak" | "1024-bit RSA" => Fault::Jwks(JwksFault::WeakRsa),
        "use=enc" => Fault::Jwks(JwksFault::Field("use".to_owned(), json!("enc"))),
        "garbage" => Fault::Endpoint(Endpoint::Jwks, EndpointFault::Garbage),
        "timeout" => Fault::Endpoint(Endpoint::Jwks, EndpointFault::Hang),
        "503" | "5xx" => {
            Fault::Endpoint(Endpoint::Jwks, EndpointFault::Status(503, "{}".to_owned()))
        }
        other => return Err(Stop::Fail(format!("unknown op.jwks {other:?}"))),
    })
}

/// The config with one fault, by the catalogue's words.
fn odd_config(words: &str, config: &str) -> Option<String> {
    let public = "paths: [/public/**]";
    let secret = "client_secret: test-only-client-secret";
    Some(match words {
        "invalid skip regex" => config.replacen(public, "paths: [\"/public/[\"]", 1),
        "unanchored skip regex '.*'" => config.replacen(public, "paths: [\".*\"]", 1),
        "cookie secret empty" => format!("{config}keys: {{ seal: [\"\"] }}\n"),
        "cookie secret 8 bytes" => format!("{config}keys: {{ seal: [\"12345678\"] }}\n"),
        "role map names an unknown group type" => {
            config.replacen("group_roles: { op1:", "group_roles: { nosuch:", 1)
        }
        "required_groups: [] with allow_all absent" => {
            config.replacen("allow: { roles: [admin] }", "allow: { roles: [] }", 1)
        }
        // There are no client certificates; the listener's own files stand for them.
        "TLS client-CA file missing" => config.replacen(
            "listen: \"127.0.0.1:0\"",
            "listen: { address: \"127.0.0.1:0\", tls: { certificate: /nosuch.crt, key: /nosuch.key } }",
            1,
        ),
        "IdP cert file unreadable" => {
            config.replacen(secret, "client_secret: { file: /nosuch/secret }", 1)
        }
        "env placeholder unresolved" => {
            config.replacen(secret, "client_secret: { env: USHER_NO_SUCH_VARIABLE }", 1)
        }
        "duplicate YAML key" => format!("{config}public_url: https://other.example\n"),
        _ => {
            let key = words.strip_prefix("unknown key ")?;
            format!("{config}{key}: []\n")
        }
    })
}
