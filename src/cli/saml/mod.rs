//! `usher saml`: what concerns SAML alone.

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
}

pub(super) async fn saml(options: &Options) -> ExitCode {
    match &options.command {
        Command::Keys(options) => keys::keys(options).await,
    }
}
