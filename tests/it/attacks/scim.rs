//! SCIM in rows: the tenant of `op1`, with Alice in it; the verbs `scim.post`, `scim.patch`, `scim.delete`.

use std::{collections::BTreeMap, io::Write as _, time::Instant};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::{
    case::Row,
    judge::{Verdict, compared},
    predicate::Predicate,
    run::{Done, Run, Stop},
    steps::Step,
};
use crate::support::{
    scim::{ScimClient, TOKEN, id_of, patch_op, user},
    wire::Answer,
};

/// How a row says that it sends a compressed body of this size once it is unpacked.
pub(super) const GZIP_BOMB: &str = "gzip bomb with Content-Encoding";
/// Bytes of the bomb, unpacked.
const UNPACKED: usize = 64 << 20;

/// The line of the config of `op1`.
pub(super) fn entry() -> String {
    format!("    scim: {{ token: {TOKEN} }}\n")
}

/// Whether a row needs SCIM to be configured.
pub(super) fn is_needed(row: &Row) -> bool {
    let words = row.text();
    row.class == "scim" || words.contains("\"scim.") || words.contains("scim.patch")
}

/// So many zeros, packed.
pub(super) fn bomb() -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&vec![b' '; UNPACKED]).unwrap();
    packer.finish().unwrap()
}

/// Calls with a wrong token: of a tenant that there is, and of one that there is not.
pub(super) fn strangers(rounds: usize) -> Vec<(String, String)> {
    let call = |idp: &str, token: &str| {
        format!(
            "GET /_usher/scim/{idp}/v2/Users HTTP/1.1\r\nHost: app.test\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
    };
    let (almost, never) = (TOKEN.replace("def", "dee"), "x".repeat(TOKEN.len()));
    vec![(call("op1", &almost), call("nobody", &never)); rounds]
}

impl Run<'_> {
    async fn scim(&mut self) -> Result<ScimClient, Stop> {
        let usher = self.world.usher().await?.public();
        Ok(ScimClient::new(usher, "app.test", "op1"))
    }

    /// Makes the SCIM users that a row speaks of. Their ids are `{{alice.id}}` and so on.
    pub(super) async fn prepare_scim(&mut self, row: &Row) -> Done {
        if !is_needed(row) {
            return Ok(());
        }
        self.provision("alice").await?;
        if self.words.contains("root.id") {
            // Other rows count on Alice being the only one.
            self.world.dirty = true;
            self.provision("root").await?;
        }
        if self.words.contains("principal(alice)") {
            self.actor("alice").await?;
        }
        Ok(())
    }

    /// The SCIM id of somebody, made if there is none.
    async fn provision(&mut self, who: &str) -> Result<String, Stop> {
        let known = self.world.scim.get(who).cloned();
        let id = match known {
            Some(id) => id,
            None => {
                let mail = format!("{who}@corp.test");
                let document = user(&mail, &mail, who);
                let answer = self.scim().await?.json("POST", "/Users", &document).await;
                if answer.status != 201 {
                    let told = answer.text();
                    return Err(Stop::Fail(format!("{who} is not provisioned: {told}")));
                }
                let id = id_of(&answer);
                self.world.scim.insert(who.to_owned(), id.clone());
                id
            }
        };
        self.kept.insert(format!("{who}.id"), id.clone());
        Ok(id)
    }

    pub(super) async fn scim_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        self.world.dirty = true;
        match verb {
            "scim.post" => {
                let who = step.text(verb).unwrap_or("newuser").to_owned();
                let times = step.number("parallel").unwrap_or(1);
                self.post_at_once(&who, times).await
            }
            "scim.patch" => self.scim_patch("alice", step.map[verb].clone()).await,
            "scim.delete" => {
                let who = step.text(verb).unwrap_or("alice").to_owned();
                let id = self.provision(&who).await?;
                let answer = self.scim().await?.delete(&format!("/Users/{id}")).await;
                self.want(204, answer)
            }
            other => Err(Stop::NotApplicable(format!("{other}: comes later"))),
        }
    }

    fn want(&mut self, status: u16, answer: Answer) -> Done {
        let got = answer.status;
        let told = answer.text();
        self.last = Some(answer);
        if got == status {
            Ok(())
        } else {
            Err(Stop::Fail(format!("SCIM answers {got}: {told}")))
        }
    }

    /// One PATCH operation on somebody: as a row writes it, or in words such as `active=false`.
    pub(super) async fn scim_patch(&mut self, who: &str, operation: Value) -> Done {
        let operation = match operation.as_str().and_then(|words| words.split_once('=')) {
            Some((path, value)) => {
                let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
                json!({ "op": "replace", "path": path, "value": value })
            }
            None => operation,
        };
        let id = self.provision(who).await?;
        let message = patch_op(&[operation]);
        let path = format!("/Users/{id}");
        let answer = self.scim().await?.json("PATCH", &path, &message).await;
        self.want(200, answer)
    }

    async fn post_at_once(&mut self, who: &str, times: usize) -> Done {
        let client = self.scim().await?;
        let mail = format!("{who}@corp.test");
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..times {
            let (client, document) = (client.clone(), user(&mail, &mail, who));
            tasks.spawn(async move { client.json("POST", "/Users", &document).await });
        }
        let mut counts = BTreeMap::<u16, usize>::new();
        while let Some(answer) = tasks.join_next().await {
            let answer = answer.map_err(|error| Stop::Fail(error.to_string()))?;
            *counts.entry(answer.status).or_default() += 1;
            self.last = Some(answer);
        }
        for (status, count) in counts {
            self.measure(&format!("count({status})"), count);
        }
        Ok(())
    }

    /// A body that is small until it is unpacked.
    pub(super) async fn scim_bomb(&mut self) -> Done {
        let lines = [
            ("Content-Type", "application/scim+json"),
            ("Content-Encoding", "gzip"),
        ];
        let (client, body) = (self.scim().await?, bomb());
        // To make it takes a debug build longer than it may take to refuse it.
        let began = Instant::now();
        let answer = client.send("POST", "/Users", &lines, &body).await;
        self.answer_took = Some(began.elapsed());
        self.want(415, answer)
    }

    /// How many resources the last answer says that there are; a refusal says none.
    pub(super) fn judge_scim(&self, p: &Predicate) -> Result<Option<Verdict>, String> {
        if p.name != "scim.total" {
            return Ok(None);
        }
        let answer = self.last.as_ref().map(Answer::json).unwrap_or_default();
        let total = answer["totalResults"].as_u64().unwrap_or(0);
        compared(&total.to_string(), p).map(Some)
    }
}
