//! The database under `session/`, `directory/`, `claims` and `keys/`: opening and migrating it.
//! SQL here and there stays within what PostgreSQL understands too.

use std::fs::{OpenOptions, Permissions};
use std::future::Future;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite, SqlitePool, Transaction};

use crate::config::StoreConfig;

/// How long the store may take for one step of a caller; after that it counts as failed.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long SQLite waits for a lock that another process holds.
const BUSY: Duration = Duration::from_secs(5);
/// Connections that read. Few: each costs a thread and a page cache.
const READERS: u32 = 2;
/// How often opening is tried while another process is switching the file to WAL.
const OPEN_TRIES: u32 = 20;

/// The schema, one text for each version; never changed once released, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("store/0001_initial.sql"),
    include_str!("store/0002_directory.sql"),
];

/// An open, migrated database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    /// For reading only.
    pub(crate) pool: SqlitePool,
    /// The one connection that writes: SQLite has one writer anyway, and queueing here is fair where its busy handler is not.
    writer: SqlitePool,
}

/// The store failed: the caller answers 503, never "anonymous".
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        // The position only: the text could hold what a person's attributes say.
        Self(format!(
            "a stored document cannot be read (column {})",
            error.column()
        ))
    }
}

impl Store {
    /// Opens (creating it where missing) and migrates the database. A new file can be read by its owner only.
    ///
    /// # Errors
    /// Where the folder is missing, the file cannot be opened, or its schema is newer than this program knows.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        let store = match config {
            StoreConfig::Memory => {
                let pool = pool(1)
                    .connect_with(settings(SqliteConnectOptions::from_str("sqlite::memory:")?))
                    .await?;
                Self {
                    writer: pool.clone(),
                    pool,
                }
            }
            StoreConfig::Sqlite(path) => {
                private_file(path)?;
                let options = settings(SqliteConnectOptions::new().filename(path))
                    .journal_mode(SqliteJournalMode::Wal);
                let writer = connect_writer(&options).await?;
                let pool = pool(READERS).connect_with(options).await?;
                Self { pool, writer }
            }
        };
        store.migrate().await?;
        Ok(store)
    }

    /// Begins a transaction that may write; it holds the write lock from the start, so that what it reads stays true.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The connection for a single writing statement.
    pub(crate) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// The writing connection, so that what is committed over it reaches the disk before it counts, with all that was
    /// committed before: for what a power failure must not take back. It costs an `fsync`; all other writes do without.
    pub(crate) async fn durable(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        let mut connection = self.writer.acquire().await?;
        sqlx::query("PRAGMA synchronous = FULL")
            .execute(&mut *connection)
            .await?;
        Ok(connection)
    }

    /// Runs one step against the store under its deadline, so that a store that hangs is an error and not a hang.
    pub(crate) async fn within<T, E: From<StoreError>>(
        &self,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(DEADLINE, step).await {
            Ok(done) => done,
            Err(_) => Err(StoreError(format!("no answer within {DEADLINE:?}")).into()),
        }
    }

    /// Whether the store answers, for `/readyz`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.within(async {
            sqlx::query("SELECT version FROM schema_version")
                .fetch_one(&self.pool)
                .await?;
            Ok(())
        })
        .await
    }

    /// Closes all connections; every later use is an error.
    pub async fn close(&self) {
        self.pool.close().await;
        self.writer.close().await;
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
            .execute(&mut *transaction)
            .await?;
        let done: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM schema_version")
            .fetch_one(&mut *transaction)
            .await?;
        let done = usize::try_from(done.unwrap_or(0)).unwrap_or(usize::MAX);
        if done > MIGRATIONS.len() {
            return Err(StoreError(format!(
                "its schema has version {done}, newer than this usher knows ({})",
                MIGRATIONS.len()
            )));
        }
        for text in MIGRATIONS.iter().skip(done) {
            sqlx::raw_sql(*text).execute(&mut *transaction).await?;
        }
        sqlx::query("DELETE FROM schema_version")
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
            .bind(i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}

/// A pattern that matches texts with `part` in them (`LIKE … ESCAPE '\'`), whatever characters it has.
pub(crate) fn containing(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for letter in part.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// A pool that neither closes nor replaces its connections: they are to a file (or to memory that goes with them).
fn pool(size: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(size)
        .min_connections(1)
        .acquire_timeout(DEADLINE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

fn settings(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .busy_timeout(BUSY)
        .foreign_keys(true)
        // In WAL mode this survives kill -9; `Store::durable` is for what must survive a power failure too.
        .synchronous(SqliteSynchronous::Normal)
        .statement_cache_capacity(48)
        // Negative: KiB. The default of 2 MiB for each connection buys nothing here.
        .pragma("cache_size", "-512")
        .disable_statement_logging()
}

/// Takes [`Store::durable`] back when the connection returns to its pool.
fn lasting(options: PoolOptions<Sqlite>) -> PoolOptions<Sqlite> {
    options.after_release(|connection, _| {
        Box::pin(async move {
            sqlx::query("PRAGMA synchronous = NORMAL")
                .execute(connection)
                .await?;
            Ok(true)
        })
    })
}

/// Opens the writer, again while another process holds the file for its switch to WAL (SQLite calls no busy handler then).
async fn connect_writer(options: &SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let mut tries = 1;
    loop {
        match lasting(pool(1)).connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(error) if tries >= OPEN_TRIES => return Err(error.into()),
            Err(error) if !error.to_string().contains("locked") => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        tries += 1;
    }
}

/// Makes sure that the file exists and is for its owner alone; SQLite gives its side files the same mode.
fn private_file(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError(format!("{}: {error}", path.display()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn makes_a_file_for_its_owner_alone_and_opens_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usher.db");
        let config = StoreConfig::Sqlite(path.clone());
        let store = Store::open(&config).await.unwrap();
        for name in ["usher.db", "usher.db-wal", "usher.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let again = Store::open(&config).await.unwrap();
        again.ping().await.unwrap();
        store.close().await;
        assert!(store.ping().await.is_err());
        again.ping().await.unwrap();
    }

    #[tokio::test]
    async fn refuses_a_missing_folder_and_a_newer_schema() {
        let folder = tempfile::tempdir().unwrap();
        let missing = StoreConfig::Sqlite(folder.path().join("none/usher.db"));
        assert!(Store::open(&missing).await.is_err());
        let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
        let store = Store::open(&config).await.unwrap();
        sqlx::query("UPDATE schema_version SET version = 999")
            .execute(store.writer())
            .await
            .unwrap();
        assert!(Store::open(&config).await.is_err());
    }

    #[tokio::test]
    async fn several_that_open_a_new_file_at_once_all_succeed() {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
        let opened = futures_util::future::join_all((0..8).map(|_| Store::open(&config))).await;
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    }

    #[tokio::test]
    async fn a_step_that_hangs_is_an_error() {
        let store = Store::open(&StoreConfig::Memory).await.unwrap();
        let step = store.within(std::future::pending::<Result<(), StoreError>>());
        assert!(step.await.is_err());
    }
}
