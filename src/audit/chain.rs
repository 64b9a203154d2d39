//! The chain: each line with SHA-256 over itself and the hash before it.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{Audit, Entry};
use crate::identity::{AppId, IdpId, UserId};
use crate::store::StoreError;

/// Lines that one statement writes at most.
const AT_ONCE: usize = 500;

/// A line as the table has it; the hash is over exactly these texts.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) at: i64,
    pub(super) action: String,
    pub(super) actor: String,
    pub(super) user_id: Option<String>,
    pub(super) app: Option<String>,
    pub(super) idp: Option<String>,
    pub(super) outcome: String,
    pub(super) why: String,
    pub(super) client: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) details: String,
    pub(super) hash: String,
}

/// What [`Stored`] is read from.
pub(super) const COLUMNS: &str = "number, at, action, actor, user_id, app, idp, outcome, why, client, request_id, \
                                  details, hash";

impl Stored {
    /// A new line, without its hash.
    fn new(number: i64, entry: &Entry, now: Timestamp) -> Result<Self, StoreError> {
        let text = |id: Option<&str>| id.map(str::to_owned);
        Ok(Self {
            number,
            at: now.as_second(),
            action: entry.action.code().to_owned(),
            actor: entry.by.actor.to_text(),
            user_id: text(entry.user.as_ref().map(UserId::as_str)),
            app: text(entry.app.as_ref().map(AppId::as_str)),
            idp: text(entry.idp.as_ref().map(IdpId::as_str)),
            outcome: entry.outcome.to_owned(),
            why: entry.why.clone(),
            client: entry.by.client.map(|client| client.to_string()),
            request_id: entry.by.request_id.clone(),
            details: serde_json::to_string(&entry.details)?,
            hash: String::new(),
        })
    }

    /// What its hash must be after a line with the hash `before`: over a JSON array, so that no two lines share a text.
    pub(super) fn hash_after(&self, before: &str) -> Result<String, StoreError> {
        let text = serde_json::to_vec(&(
            before,
            self.number,
            self.at,
            &self.action,
            &self.actor,
            (&self.user_id, &self.app, &self.idp),
            &self.outcome,
            &self.why,
            &self.client,
            &self.request_id,
            &self.details,
        ))?;
        Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, &text)))
    }
}

/// An end of the chain: the last line, or the last one that was taken away.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct End {
    pub(super) number: i64,
    pub(super) hash: String,
}

/// Name of the end that the next line goes to.
pub(super) const HEAD: &str = "head";
/// Name of the end that the first line in the table comes after.
pub(super) const ANCHOR: &str = "anchor";

pub(super) async fn end(on: &mut SqliteConnection, name: &str) -> Result<End, StoreError> {
    let end = sqlx::query_as("SELECT number, hash FROM audit_ends WHERE name = $1")
        .bind(name)
        .fetch_optional(on)
        .await?;
    end.ok_or_else(|| StoreError(format!("the {name} of the audit log is missing")))
}

pub(super) async fn set_end(
    on: &mut SqliteConnection,
    name: &str,
    end: &End,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE audit_ends SET number = $2, hash = $3 WHERE name = $1")
        .bind(name)
        .bind(end.number)
        .bind(&end.hash)
        .execute(on)
        .await?;
    Ok(())
}

impl Audit {
    /// Writes a line within the caller's transaction, so that a change and its line are there together or not at all. The file
    /// gets it before the commit: a line there whose change was rolled back is followed by another one with its number.
    ///
    /// # Errors
    /// If it cannot be written, to the file as well where that is required; the caller's transaction must not be committed then.
    pub(crate) async fn append(
        &self,
        on: &mut SqliteConnection,
        entry: &Entry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.append_all(on, std::slice::from_ref(entry), now).await
    }

    async fn append_all(
        &self,
        on: &mut SqliteConnection,
        entries: &[Entry],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for some in entries.chunks(AT_ONCE) {
            let mut head = end(on, HEAD).await?;
            let mut lines = Vec::with_capacity(some.len());
            for entry in some {
                let mut line = Stored::new(head.number + 1, entry, now)?;
                line.hash = line.hash_after(&head.hash)?;
                let next = End {
                    number: line.number,
                    hash: line.hash.clone(),
                };
                let before = std::mem::replace(&mut head, next);
                lines.push((line, before.hash));
            }
            insert(on, &lines).await?;
            set_end(on, HEAD, &head).await?;
            for (line, before) in lines {
                self.to_file(line, before).await?;
            }
        }
        Ok(())
    }

    /// Writes a line on its own.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn record(&self, entry: &Entry, now: Timestamp) -> Result<(), StoreError> {
        self.record_all(std::slice::from_ref(entry), now).await
    }

    /// Writes lines on their own, all or none.
    ///
    /// # Errors
    /// If they cannot be written.
    pub async fn record_all(&self, entries: &[Entry], now: Timestamp) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.store.begin().await?;
            self.append_all(&mut transaction, entries, now).await?;
            Ok(transaction.commit().await?)
        };
        self.store.within(work).await
    }
}

async fn insert(on: &mut SqliteConnection, lines: &[(Stored, String)]) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(format!("INSERT INTO audit ({COLUMNS}) "));
    query.push_values(lines, |mut row, (line, _)| {
        row.push_bind(line.number);
        row.push_bind(line.at);
        row.push_bind(&line.action);
        row.push_bind(&line.actor);
        row.push_bind(&line.user_id);
        row.push_bind(&line.app);
        row.push_bind(&line.idp);
        row.push_bind(&line.outcome);
        row.push_bind(&line.why);
        row.push_bind(&line.client);
        row.push_bind(&line.request_id);
        row.push_bind(&line.details);
        row.push_bind(&line.hash);
    });
    query.build().execute(on).await?;
    Ok(())
}
