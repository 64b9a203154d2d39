//! A provisioning client, as an identity provider has one.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::wire::{Answer, PATIENCE, UNTRUSTED, Wire};

/// A token of the length that the config asks for.
pub(crate) const TOKEN: &str = "scim-token-0123456789abcdef-0123456789abcdef";

/// Speaks SCIM with one tenant.
#[derive(Clone, Debug)]
pub(crate) struct ScimClient {
    pub(crate) usher: SocketAddr,
    pub(crate) host: String,
    /// The path of `/v2`.
    pub(crate) base: String,
    pub(crate) token: String,
}

impl ScimClient {
    /// The tenant of `idp` on the public side.
    pub(crate) fn new(usher: SocketAddr, host: &str, idp: &str) -> Self {
        Self {
            usher,
            host: host.to_owned(),
            base: format!("/_usher/scim/{idp}/v2"),
            token: TOKEN.to_owned(),
        }
    }

    /// One request with these header lines besides its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        lines: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\nConnection: close\r\n",
            self.base,
            self.host,
            self.token,
            body.len()
        );
        for (name, value) in lines {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut wire = Wire::connect(self.usher, UNTRUSTED).await.unwrap();
        wire.send(&[head.as_bytes(), body].concat()).await;
        let answer = wire.answer(method == "HEAD", PATIENCE * 3).await;
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// A request with a document.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let kind = [("Content-Type", "application/scim+json")];
        self.send(method, path, &kind, body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"").await
    }

    /// Makes a user, and gives its id.
    pub(crate) async fn make_user(&self, name: &str, email: &str, external_id: &str) -> String {
        let answer = self
            .json("POST", "/Users", &user(name, email, external_id))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        id_of(&answer)
    }

    /// Makes a group, and gives its id.
    pub(crate) async fn make_group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let group = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": name, "members": members,
        });
        let answer = self.json("POST", "/Groups", &group).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        id_of(&answer)
    }

    /// Applies one PATCH operation.
    pub(crate) async fn patch(&self, path: &str, operation: Value) -> Answer {
        self.json("PATCH", path, &patch_op(&[operation])).await
    }
}

/// The `id` of a resource.
pub(crate) fn id_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().expect("an id").to_owned()
}

/// A PATCH message.
pub(crate) fn patch_op(operations: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": operations,
    })
}

/// A user as identity providers send one.
pub(crate) fn user(name: &str, email: &str, external_id: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "externalId": external_id,
        "active": true,
        "displayName": format!("{name} of SCIM"),
        "emails": [{ "primary": true, "type": "work", "value": email }],
    })
}
