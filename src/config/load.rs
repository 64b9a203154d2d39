//! From a file to a [`Config`]: every problem at once, each with its place.

use std::path::Path;

use super::Config;

/// One thing that is wrong with a config, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

/// All problems of one file. `Display` prints `file:line:column: what` and `  fix`, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file as it was named.
    pub file: String,
    /// At least one problem, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Reads and checks the config file at `path`. Secrets are read from the environment and from files.
///
/// # Errors
/// All problems together; also when the file itself cannot be read.
pub fn load(path: &Path) -> Result<Config, Problems> {
    todo!("{path:?}")
}

/// The same over text that is at hand; `environment` answers for `{ env: NAME }`.
///
/// # Errors
/// All problems together.
pub fn parse(
    file: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let _ = (file, text, environment);
    todo!()
}
