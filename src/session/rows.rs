//! Sessions in the store.

use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use sqlx::{Connection, SqliteConnection};
use tokio_util::sync::CancellationToken;

use super::{Named, OfSubject, Session, SessionKey, Streams, Which};
use crate::directory::Directory;
use crate::identity::{IdpId, Person, Protocol, Subject, UserId};
use crate::store::{Store, StoreError};

/// A session as the store has it, with the person behind it.
pub(super) struct Row {
    sid: String,
    origin: String,
    authenticated_at: Timestamp,
    acr: Option<String>,
    idp_session: Option<String>,
    created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) seen_at: i64,
    renew_at: i64,
    pub(super) person: Person,
}

/// sid, origin, idp, protocol, issuer, format, subject, authenticated_at, acr, idp_session, created_at, expires_at, seen_at, renew_at.
type Columns = (
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    Option<String>,
    Option<String>,
    i64,
    i64,
    i64,
    i64,
);

/// In the order of [`Columns`].
const READ: &str = "SELECT s.sid, s.origin, s.idp, b.protocol, s.issuer, s.format, s.subject, \
     s.authenticated_at, s.acr, s.idp_session, s.created_at, s.expires_at, \
     s.seen_at, s.renew_at FROM sessions s JOIN subjects b ON b.idp = s.idp AND \
     b.issuer = s.issuer AND b.format = s.format AND b.value = s.subject AND b.user_id = s.user_id \
     WHERE s.key = $1";

fn time(second: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_second(second)
        .map_err(|_| StoreError("a session has a time out of range".to_owned()))
}

impl Row {
    /// The live form, confirmed at `now`.
    pub(super) fn into_session(self, key: SessionKey, now: Timestamp) -> Session {
        Session {
            key,
            sid: self.sid,
            origin: self.origin,
            authenticated_at: self.authenticated_at,
            acr: self.acr,
            expires_at: self.expires_at,
            created_at: self.created_at,
            idp_session: self.idp_session,
            seen_at: AtomicI64::new(self.seen_at),
            confirmed_at: AtomicI64::new(now.as_second()),
            renew_at: AtomicI64::new(self.renew_at),
            person: ArcSwap::from_pointee(self.person),
            streams: Streams::default(),
            ended: CancellationToken::new(),
        }
    }
}

/// Reads a session; none where it is unknown or its user was deactivated.
pub(super) async fn read(
    store: &Store,
    directory: &Directory,
    key: &SessionKey,
) -> Result<Option<Row>, StoreError> {
    let columns: Option<Columns> = store
        .within(async {
            Ok::<_, StoreError>(
                sqlx::query_as(READ)
                    .bind(key.to_text())
                    .fetch_optional(&store.pool)
                    .await?,
            )
        })
        .await?;
    let Some(columns) = columns else {
        return Ok(None);
    };
    let (
        sid,
        origin,
        idp,
        protocol,
        issuer,
        format,
        value,
        signed_in,
        acr,
        idp_session,
        made,
        ends,
        seen,
        renew,
    ) = columns;
    let subject = Subject {
        idp: IdpId::new(idp),
        protocol: Protocol::from_text(&protocol)
            .ok_or_else(|| StoreError("a subject has an unknown protocol".to_owned()))?,
        issuer,
        format,
        value,
    };
    let Some(person) = directory.person(&subject).await? else {
        return Ok(None);
    };
    Ok(Some(Row {
        sid,
        origin,
        authenticated_at: time(signed_in)?,
        acr,
        idp_session,
        created_at: time(made)?,
        expires_at: time(ends)?,
        seen_at: seen,
        renew_at: renew,
        person,
    }))
}

/// Writes a new session; false, and nothing is written, where its user is not active (any more).
pub(super) async fn insert(
    store: &Store,
    session: &Session,
    name_id_key: Option<&str>,
    sealed_tokens: &str,
) -> Result<bool, StoreError> {
    let person = session.person.load();
    store
        .within(async {
            let written = sqlx::query(
                // One statement, so that a user who is deactivated at that moment either has this session ended
                // or does not get it.
                "INSERT INTO sessions (key, sid, user_id, idp, issuer, format, subject, origin, \
                 authenticated_at, acr, idp_session, name_id_key, created_at, expires_at, seen_at, \
                 renew_at, tokens) SELECT $1, $2, id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
                 $14, $15, $16, $17 FROM users WHERE id = $3 AND active = 1",
            )
            .bind(session.key.to_text())
            .bind(&session.sid)
            .bind(person.user.as_str())
            .bind(person.subject.idp.as_str())
            .bind(&person.subject.issuer)
            .bind(&person.subject.format)
            .bind(&person.subject.value)
            .bind(&session.origin)
            .bind(session.authenticated_at.as_second())
            .bind(&session.acr)
            .bind(&session.idp_session)
            .bind(name_id_key)
            .bind(session.created_at.as_second())
            .bind(session.expires_at.as_second())
            .bind(session.seen_at.load(Ordering::Relaxed))
            .bind(session.renew_at.load(Ordering::Relaxed))
            .bind(sealed_tokens)
            .execute(store.writer())
            .await?;
            Ok(written.rows_affected() == 1)
        })
        .await
}

/// The key of a session that was deleted, and its user.
type Gone = (String, String);

/// Deletes sessions and gives their keys, and whose they were.
pub(super) async fn delete(
    store: &Store,
    which: &Which<'_>,
) -> Result<Vec<(SessionKey, UserId)>, StoreError> {
    let gone: Vec<Gone> = store
        .within(async {
            // A power failure must not bring an ended session back.
            let mut connection = store.durable().await?;
            Ok::<_, StoreError>(match which {
                Which::One(key) => {
                    sqlx::query_as("DELETE FROM sessions WHERE key = $1 RETURNING key, user_id")
                        .bind(key.to_text())
                        .fetch_all(&mut *connection)
                        .await?
                }
                Which::Sid(sid) => {
                    sqlx::query_as("DELETE FROM sessions WHERE sid = $1 RETURNING key, user_id")
                        .bind((*sid).to_owned())
                        .fetch_all(&mut *connection)
                        .await?
                }
                Which::User(user) => {
                    sqlx::query_as("DELETE FROM sessions WHERE user_id = $1 RETURNING key, user_id")
                        .bind(user.as_str().to_owned())
                        .fetch_all(&mut *connection)
                        .await?
                }
                Which::Named(named) => delete_named(&mut connection, named).await?,
                Which::Subject(of) => delete_of_subject(&mut connection, of).await?,
            })
        })
        .await?;
    Ok(gone
        .into_iter()
        .filter_map(|(key, user)| Some((SessionKey::from_text(&key)?, UserId::new(user))))
        .collect())
}

async fn delete_of_subject(
    connection: &mut SqliteConnection,
    of: &OfSubject<'_>,
) -> Result<Vec<Gone>, sqlx::Error> {
    let query = match (of.sub, of.idp_session) {
        (Some(sub), None) => {
            sqlx::query_as("DELETE FROM sessions WHERE idp = $1 AND subject = $2 RETURNING key, user_id")
                .bind(of.idp.as_str())
                .bind(sub)
        }
        (None, Some(session)) => sqlx::query_as(
            "DELETE FROM sessions WHERE idp = $1 AND idp_session = $2 RETURNING key, user_id",
        )
        .bind(of.idp.as_str())
        .bind(session),
        (Some(sub), Some(session)) => sqlx::query_as(
            "DELETE FROM sessions WHERE idp = $1 AND subject = $2 AND idp_session = $3 RETURNING key, user_id",
        )
        .bind(of.idp.as_str())
        .bind(sub)
        .bind(session),
        (None, None) => return Ok(Vec::new()),
    };
    query.fetch_all(connection).await
}

/// One statement for each session of the IdP that is named (few, and the same in every database), all or none.
async fn delete_named(
    connection: &mut SqliteConnection,
    named: &Named<'_>,
) -> Result<Vec<Gone>, sqlx::Error> {
    let name = named.name_id.key();
    if named.idp_sessions.is_empty() {
        let query =
            "DELETE FROM sessions WHERE idp = $1 AND name_id_key = $2 RETURNING key, user_id";
        return sqlx::query_as(query)
            .bind(named.idp.as_str())
            .bind(name)
            .fetch_all(connection)
            .await;
    }
    let mut gone = Vec::new();
    let mut transaction = connection.begin().await?;
    for session in named.idp_sessions {
        let query = "DELETE FROM sessions WHERE idp = $1 AND name_id_key = $2 \
             AND idp_session = $3 RETURNING key, user_id";
        let keys: Vec<Gone> = sqlx::query_as(query)
            .bind(named.idp.as_str())
            .bind(&name)
            .bind(session)
            .fetch_all(&mut *transaction)
            .await?;
        gone.extend(keys);
    }
    transaction.commit().await?;
    Ok(gone)
}

/// The sealed tokens of a session.
pub(super) async fn tokens(store: &Store, key: &SessionKey) -> Result<Option<String>, StoreError> {
    store
        .within(async {
            Ok(
                sqlx::query_scalar("SELECT tokens FROM sessions WHERE key = $1")
                    .bind(key.to_text())
                    .fetch_optional(&store.pool)
                    .await?,
            )
        })
        .await
}

/// Replaces tokens and the time of the next renewal.
pub(super) async fn put_tokens(
    store: &Store,
    key: &SessionKey,
    sealed: &str,
    renew_at: i64,
) -> Result<(), StoreError> {
    store
        .within(async {
            sqlx::query("UPDATE sessions SET tokens = $2, renew_at = $3 WHERE key = $1")
                .bind(key.to_text())
                .bind(sealed)
                .bind(renew_at)
                .execute(store.writer())
                .await?;
            Ok(())
        })
        .await
}

/// Writes last uses, all in one transaction.
pub(super) async fn put_seen(store: &Store, seen: &[(SessionKey, i64)]) -> Result<(), StoreError> {
    store
        .within(async {
            let mut transaction = store.begin().await?;
            for (key, second) in seen {
                sqlx::query("UPDATE sessions SET seen_at = $2 WHERE key = $1 AND seen_at < $2")
                    .bind(key.to_text())
                    .bind(second)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
}

/// Deletes what is over, and what was last seen before `idle_since`.
pub(super) async fn sweep(store: &Store, now: i64, idle_since: i64) -> Result<(), StoreError> {
    store
        .within(async {
            sqlx::query("DELETE FROM sessions WHERE expires_at <= $1 OR seen_at <= $2")
                .bind(now)
                .bind(idle_since)
                .execute(store.writer())
                .await?;
            Ok(())
        })
        .await
}
