//! The log as a file of JSON lines (`audit.file`), for whoever collects logs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::chain::Stored;
use super::{Audit, Line};
use crate::store::StoreError;

/// A required file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the audit file {} cannot be written: {cause}", path.display())]
pub struct FileError {
    path: PathBuf,
    cause: io::Error,
}

/// The file; each line is one write to its end.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    required: bool,
    open: Mutex<Option<File>>,
    /// Whether the last line could not be written, so that the trouble is logged once.
    failing: AtomicBool,
}

/// A line in the file: with the hash before it, so that it can be verified where the file begins anywhere.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FileLine {
    #[serde(flatten)]
    pub(super) line: Line,
    pub(super) previous: String,
}

impl LogFile {
    /// One that is not required may be away for now.
    pub(super) fn open(path: &Path, required: bool) -> Result<Self, FileError> {
        let (open, failing) = match append_to(path) {
            Ok(file) => (Some(file), false),
            Err(cause) => {
                let path = path.to_owned();
                let error = FileError { path, cause };
                if required {
                    return Err(error);
                }
                tracing::error!(event = "audit_file_failed", cause = %error, "lines of the audit log go to the store alone");
                (None, true)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            required,
            open: Mutex::new(open),
            failing: AtomicBool::new(failing),
        })
    }

    /// Writes to the end; opens the file again where it was moved away (logrotate) or failed before.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*open
            && !is_at(file, &self.path)
        {
            *open = None;
        }
        let file = match &mut *open {
            Some(file) => file,
            None => open.insert(append_to(&self.path)?),
        };
        let written = file.write_all(bytes);
        if written.is_err() {
            *open = None;
        }
        written
    }
}

/// For its owner alone where it is new; a file that is there keeps its mode, since whoever collects logs may have set it.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Whether the path still names the open file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        (_, _) => false,
    }
}

impl Audit {
    /// Writes a line to the file, where there is one.
    pub(super) async fn to_file(&self, line: Stored, previous: String) -> Result<(), StoreError> {
        let Some(file) = self.shared.file.load_full() else {
            return Ok(());
        };
        let line = Line::of(line)?;
        let mut bytes = serde_json::to_vec(&FileLine { line, previous })?;
        bytes.push(b'\n');
        // A disk that hangs must not hold up the requests of this thread.
        let target = Arc::clone(&file);
        let written = tokio::task::spawn_blocking(move || target.write(&bytes)).await;
        let cause = match written {
            Ok(Ok(())) => {
                file.failing.store(false, Ordering::Relaxed);
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.shared.file_failures.inc();
        if !file.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(
                event = "audit_file_failed",
                cause,
                required = file.required,
                "a line of the audit log was not written to the file"
            );
        }
        if file.required {
            return Err(StoreError(format!(
                "the audit file cannot be written: {cause}"
            )));
        }
        Ok(())
    }
}
