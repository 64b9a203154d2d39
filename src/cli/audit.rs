//! `usher audit`: verifies and exports the audit log, also while usher runs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::{ConfigFile, say, say_error};
use crate::audit::{Audit, ExportForm, Filter, Verified, VerifyError, verify_lines};
use crate::config::{self, Config, StoreConfig};
use crate::identity::UserId;
use crate::store::Store;

/// The log is not whole.
const BROKEN: u8 = 1;
/// It cannot be looked at.
const UNREADABLE: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Recompute the chain of hashes; exit 0: whole, 1: changed, the first wrong line is named, 2: it cannot be read.
    Verify {
        /// Verify a file of JSON lines (by default `audit.file`), and that it ends as the store says.
        #[arg(long, value_name = "FILE", num_args = 0..=1)]
        file: Option<Option<PathBuf>>,
    },
    /// Print the lines, the newest first; exit 0 or 2.
    Export(Box<Export>),
}

#[derive(Debug, Args)]
struct Export {
    /// What to print.
    #[arg(long, value_enum, default_value_t = Form::Csv)]
    format: Form,
    /// Not before: 2026-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Before.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// About that user: usr_…
    #[arg(long)]
    user: Option<String>,
    /// By that actor: user:usr_…, token:ci, scim:acme, idp:acme, system
    #[arg(long)]
    actor: Option<String>,
    /// What was done: sign_in, roles, …
    #[arg(long)]
    action: Option<String>,
    /// In that app.
    #[arg(long)]
    app: Option<String>,
    /// At that identity provider.
    #[arg(long)]
    idp: Option<String>,
    /// With that outcome: ok, or a code.
    #[arg(long)]
    outcome: Option<String>,
    /// Part of the reason.
    #[arg(long)]
    text: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// With a header, for spreadsheets.
    Csv,
    /// One JSON object for each line.
    Jsonl,
}

pub(super) async fn audit(options: &Options) -> ExitCode {
    let config = match config::load_offline(&options.file.config) {
        Ok(offline) => offline.config,
        Err(problems) => {
            say_error(&problems.to_string());
            return ExitCode::from(UNREADABLE);
        }
    };
    let done = match &options.action {
        Action::Verify { file: None } => verify(&config).await,
        Action::Verify { file: Some(path) } => verify_file(&config, path.as_deref()).await,
        Action::Export(export) => print(&config, export).await.map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|why| {
        say_error(&format!("usher: {why}"));
        ExitCode::from(UNREADABLE)
    })
}

async fn open(config: &Config) -> Result<Audit, String> {
    match &config.store {
        StoreConfig::Memory => {
            let why = "`store: memory` keeps the audit log within the running process alone";
            return Err(why.to_owned());
        }
        // Looking must not make a new one.
        StoreConfig::Sqlite(path) if !path.exists() => {
            return Err(format!("{} is not there", path.display()));
        }
        StoreConfig::Sqlite(_) => {}
    }
    let store = Store::open(&config.store).await;
    store.map(Audit::new).map_err(|error| error.to_string())
}

/// Says how it went.
fn verdict(what: &str, verified: Result<Verified, VerifyError>) -> Result<ExitCode, String> {
    match verified {
        Ok(Verified { lines, last, hash }) => {
            say(&format!(
                "{what}: {lines} lines, all as they were written; the last is {last} with the hash {hash:?}"
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ VerifyError::Broken { .. }) => {
            say(&format!("{what}: {error}"));
            Ok(ExitCode::from(BROKEN))
        }
        Err(VerifyError::Store(error)) => Err(error.to_string()),
    }
}

async fn verify(config: &Config) -> Result<ExitCode, String> {
    let audit = open(config).await?;
    verdict("store", audit.verify().await)
}

async fn verify_file(config: &Config, path: Option<&Path>) -> Result<ExitCode, String> {
    let path = path.or(config.audit.file.as_deref());
    let path = path.ok_or("the config names no `audit.file`: say which file")?;
    let shown = path.display().to_string();
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut trouble = None;
    let lines = file.lines().map_while(|line| match line {
        Ok(line) => Some(line),
        Err(error) => {
            trouble = Some(error);
            None
        }
    });
    let verified = verify_lines(lines);
    if let Some(error) = trouble {
        return Err(failed(error));
    }
    let Ok(end) = &verified else {
        return verdict(&shown, verified);
    };
    // The file alone could have been written anew from any line on.
    let audit = open(config).await?;
    let kept = audit.hash_of(end.last).await;
    match kept.map_err(|error| error.to_string())? {
        Some(hash) if hash != end.hash => {
            say(&format!(
                "{shown}: line {} is another one in the store",
                end.last
            ));
            Ok(ExitCode::from(BROKEN))
        }
        Some(_) | None => verdict(&shown, verified),
    }
}

async fn print(config: &Config, export: &Export) -> Result<(), String> {
    let audit = open(config).await?;
    let filter = Filter {
        from: export.from,
        until: export.until,
        user: export.user.as_deref().map(UserId::new),
        actor: export.actor.clone(),
        action: export.action.clone(),
        app: export.app.clone(),
        idp: export.idp.clone(),
        outcome: export.outcome.clone(),
        text: export.text.clone(),
    };
    let form = match export.format {
        Form::Csv => ExportForm::Csv,
        Form::Jsonl => ExportForm::JsonLines,
    };
    let mut pieces = audit.export(filter, form);
    let mut out = std::io::stdout().lock();
    while let Some(piece) = pieces.next().await.map_err(|error| error.to_string())? {
        out.write_all(&piece).map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())
}
