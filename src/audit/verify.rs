//! Whether the log is whole: every line there, in its place, and as it was written.

use std::collections::VecDeque;

use super::Audit;
use super::chain::{ANCHOR, COLUMNS, End, HEAD, Stored, end};
use super::file::FileLine;
use crate::store::StoreError;

/// Lines read at once.
const AT_ONCE: i64 = 1_000;
/// How often a verification begins anew, because the oldest lines were taken away meanwhile.
const TRIES: u32 = 5;
/// Lines of one change at most that can be followed by others with their numbers in a file.
const ROLLED_BACK_AT_MOST: usize = 64;

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many lines.
    pub lines: u64,
    /// Number of the last one; 0: there never was one.
    pub last: i64,
    /// Its hash: whoever keeps it elsewhere can tell later that nothing before it was rewritten.
    pub hash: String,
}

/// Why the log is not what it was.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first line that is not right.
    #[error("line {number}: {why}")]
    Broken {
        /// Its number; in a file, where a line has none, the number of the line in the file.
        number: i64,
        /// What is wrong.
        why: &'static str,
    },
}

impl From<sqlx::Error> for VerifyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn broken(number: i64, why: &'static str) -> VerifyError {
    VerifyError::Broken { number, why }
}

/// Both ends of the chain as they were at one moment, and the first and last line in the table.
struct Ends {
    anchor: End,
    head: End,
    first: i64,
    last: i64,
}

impl Audit {
    /// Recomputes the chain from the anchor to the line that is the last one now.
    ///
    /// # Errors
    /// `Broken` with the first line that was changed, removed, added or moved.
    pub async fn verify(&self) -> Result<Verified, VerifyError> {
        let mut tries = 1;
        loop {
            let ends = self.ends().await?;
            let verified = self.follow(&ends).await;
            let moved = self.ends().await?.anchor != ends.anchor;
            match verified {
                Err(VerifyError::Broken { .. }) if moved && tries < TRIES => tries += 1,
                Ok(_) | Err(_) => return verified,
            }
        }
    }

    async fn ends(&self) -> Result<Ends, StoreError> {
        let work = async {
            let mut transaction = self.store.pool.begin().await?;
            let on = &mut *transaction;
            let (first, last): (Option<i64>, Option<i64>) =
                sqlx::query_as("SELECT MIN(number), MAX(number) FROM audit")
                    .fetch_one(&mut *on)
                    .await?;
            let (anchor, head) = (end(on, ANCHOR).await?, end(on, HEAD).await?);
            Ok(Ends {
                first: first.unwrap_or(anchor.number + 1),
                last: last.unwrap_or(anchor.number),
                anchor,
                head,
            })
        };
        self.store.within(work).await
    }

    async fn follow(&self, ends: &Ends) -> Result<Verified, VerifyError> {
        let Ends { anchor, head, .. } = ends;
        if ends.first <= anchor.number {
            return Err(broken(ends.first, "it stands before the beginning"));
        }
        if ends.last > head.number {
            return Err(broken(head.number + 1, "it stands after the end"));
        }
        let mut before = anchor.clone();
        while before.number < head.number {
            let lines = self.lines_after(before.number, head.number).await?;
            if lines.is_empty() {
                return Err(broken(before.number + 1, "it is missing"));
            }
            for line in lines {
                before = check(&before, line)?;
            }
        }
        if before != *head {
            return Err(broken(head.number, "it is not the last line"));
        }
        Ok(Verified {
            lines: u64::try_from(head.number - anchor.number).unwrap_or_default(),
            last: before.number,
            hash: before.hash,
        })
    }

    async fn lines_after(&self, number: i64, until: i64) -> Result<Vec<Stored>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM audit WHERE number > $1 AND number <= $2 ORDER BY number LIMIT $3"
        );
        let work = async {
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(query))
                .bind(number)
                .bind(until)
                .bind(AT_ONCE)
                .fetch_all(&self.store.pool)
                .await?)
        };
        self.store.within(work).await
    }

    /// The hash of a line in the table; none: it is not there (any more).
    ///
    /// # Errors
    /// If the store fails.
    pub async fn hash_of(&self, number: i64) -> Result<Option<String>, StoreError> {
        let work = async {
            Ok(
                sqlx::query_scalar("SELECT hash FROM audit WHERE number = $1")
                    .bind(number)
                    .fetch_optional(&self.store.pool)
                    .await?,
            )
        };
        self.store.within(work).await
    }
}

fn check(before: &End, line: Stored) -> Result<End, VerifyError> {
    if line.number != before.number + 1 {
        return Err(broken(before.number + 1, "it is missing"));
    }
    if line.hash_after(&before.hash)? != line.hash {
        return Err(broken(line.number, "it is not as it was written"));
    }
    Ok(End {
        number: line.number,
        hash: line.hash,
    })
}

/// Verifies the lines of an audit file, which may begin anywhere. A line whose change was rolled back may be followed by another
/// one with its number: then that one counts.
///
/// # Errors
/// `Broken` with the first line that was changed, removed, added or moved.
pub fn verify_lines(lines: impl Iterator<Item = impl AsRef<str>>) -> Result<Verified, VerifyError> {
    let mut kept: VecDeque<End> = VecDeque::new();
    let mut count = 0;
    for (place, text) in (1..).zip(lines) {
        let FileLine { line, previous } = serde_json::from_str(text.as_ref())
            .map_err(|_| broken(place, "of the file: it is no line of an audit log"))?;
        let line = line.to_stored()?;
        while kept.back().is_some_and(|last| last.number >= line.number) {
            kept.pop_back();
            count -= 1;
        }
        let before = match kept.back() {
            Some(before) => before.clone(),
            None if count == 0 => End {
                number: line.number - 1,
                hash: previous.clone(),
            },
            None => return Err(broken(line.number, "it is there twice")),
        };
        if previous != before.hash {
            return Err(broken(line.number, "it does not follow the line before"));
        }
        kept.push_back(check(&before, line)?);
        count += 1;
        if kept.len() > ROLLED_BACK_AT_MOST {
            kept.pop_front();
        }
    }
    let last = kept.pop_back();
    Ok(Verified {
        lines: count,
        last: last.as_ref().map_or(0, |last| last.number),
        hash: last.map(|last| last.hash).unwrap_or_default(),
    })
}
