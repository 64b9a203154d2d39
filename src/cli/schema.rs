//! `usher schema`: what the config may hold, for editors and for people.

use std::process::ExitCode;

use clap::Args;

use super::{fail, say};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print a Markdown table of all keys instead of the JSON Schema.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn schema(options: &Options) -> ExitCode {
    if options.markdown {
        say(config::markdown().trim_end());
        return ExitCode::SUCCESS;
    }
    match serde_json::to_string_pretty(&config::json_schema()) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}
