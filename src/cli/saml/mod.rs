//! `usher saml`: what concerns SAML alone.

mod inspect;
mod keys;

use std::process::ExitCode;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The keys that usher signs requests with and that assertions are encrypted to.
    Keys(keys::Options),
    /// Verify a captured response offline and say which step fails; exit 0: verified, 1: a check failed, 2: it cannot be looked at.
    Inspect(inspect::Options),
}

pub(super) async fn saml(options: &Options) -> ExitCode {
    match &options.command {
        Command::Keys(options) => keys::keys(options).await,
        Command::Inspect(options) => inspect::inspect(options).await,
    }
}
