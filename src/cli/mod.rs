//! The command line: arguments as written, and what each command does.

mod audit;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod healthcheck;
mod invite;
mod logs;
mod openapi;
mod reload;
mod run;
mod saml;
mod schema;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Single sign-on in front of an app that knows nothing of it.
#[derive(Debug, Parser)]
#[command(name = "usher", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Run(Run),
    /// Check the config and everything that it names; exit 0: fine, 1: a check failed, 2: the config cannot be used.
    Check(check::Options),
    /// Print the JSON Schema of the config.
    Schema(schema::Options),
    /// Print the OpenAPI document of the admin API.
    Openapi,
    /// Ask a running usher whether it is ready; exit 0 or 1.
    Healthcheck(healthcheck::Options),
    /// Verify or export the audit log, also while usher runs.
    Audit(audit::Options),
    /// Invite somebody and print the link; usher may be running.
    Invite(invite::Options),
    /// SAML: the service provider's keys.
    Saml(saml::Options),
    /// Start a demo identity provider, a demo app and usher between them.
    #[cfg(feature = "demo")]
    Demo(demo::Options),
}

/// Which config file a command is about.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The config file.
    #[arg(
        long,
        short,
        global = true,
        env = "USHER_CONFIG",
        value_name = "FILE",
        default_value = "usher.yaml"
    )]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    file: ConfigFile,
    /// Threads that serve requests; by default one for each core.
    #[arg(long, env = "USHER_WORKERS", value_name = "N")]
    workers: Option<std::num::NonZeroUsize>,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // One crypto provider for everything, installed before anything can ask for one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return fail("another crypto provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Run(options) => run::run(&options.file.config, options.workers).await,
            Command::Check(options) => check::check(&options).await,
            Command::Schema(options) => schema::schema(&options),
            Command::Openapi => openapi::openapi(),
            Command::Healthcheck(options) => healthcheck::healthcheck(&options).await,
            Command::Audit(options) => audit::audit(&options).await,
            Command::Invite(options) => invite::invite_somebody(&options).await,
            Command::Saml(options) => saml::saml(&options).await,
            #[cfg(feature = "demo")]
            Command::Demo(options) => demo::demo(&options).await,
        }
    })
}

/// Says what went wrong on standard error; exit code 1.
fn fail(what: &str) -> ExitCode {
    say_error(&format!("usher: {what}"));
    ExitCode::FAILURE
}

/// A line on standard error. That it cannot be written is nothing that could be said anywhere.
fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A line on standard output.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
