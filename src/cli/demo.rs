//! `usher demo`: an IdP, an app that keeps accounts, and usher between them, to try in a browser.

use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::Args;
use jiff::Timestamp;
use url::Url;

use super::{fail, logs, run, say};
use crate::config;
use crate::demo::{self, Demo};
use crate::server::{Server, Stop};
use crate::usher::Usher;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Sign in by itself, print what was seen, and exit 0 if all of it was right.
    #[arg(long)]
    check: bool,
    /// The port of usher on localhost; with --check, a free one is taken.
    #[arg(long, value_name = "PORT", default_value_t = demo::USHER_PORT)]
    port: u16,
}

pub(super) async fn demo(options: &Options) -> ExitCode {
    logs::install("warn");
    match start(options).await {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn start(options: &Options) -> Result<ExitCode, String> {
    let port = if options.check { 0 } else { options.port };
    let demo = Demo::start(port)
        .await
        .map_err(|error| format!("the demo cannot start: {error}"))?;
    let config = config::parse("demo.yaml", &demo.config_yaml, &|_| None)
        .map_err(|problems| problems.to_string())?;
    let usher = Usher::start(config, Timestamp::now())
        .await
        .map_err(|error| error.to_string())?;
    let usher = Arc::new(ArcSwap::from_pointee(usher));
    let server = Server::bind(Arc::clone(&usher), None)
        .await
        .map_err(|error| error.to_string())?;
    let stop = Stop::default();
    run::stop_on_signal(stop.clone()).map_err(|error| error.to_string())?;
    if options.check {
        let url = Url::parse(&demo.public_url).map_err(|error| error.to_string())?;
        let serving = tokio::spawn(server.serve(stop.clone()));
        let code = check(&url).await;
        stop.now();
        serving.await.map_err(|error| error.to_string())?;
        return Ok(code);
    }
    welcome(&demo);
    let tending = tokio::spawn(run::tend(usher));
    server.serve(stop).await;
    tending.abort();
    Ok(ExitCode::SUCCESS)
}

async fn check(url: &Url) -> ExitCode {
    let report = match demo::check::check(url, "alice").await {
        Ok(report) => report,
        Err(error) => return fail(&error),
    };
    for step in &report.steps {
        say(&step.to_string());
    }
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn welcome(demo: &Demo) {
    say(&format!(
        "Open {} in a browser, and sign in as one of these:",
        demo.public_url
    ));
    say("");
    for user in demo::demo_users() {
        let role = demo::role_of(&user);
        say(&format!(
            "  {:<6} in the group {:<12} is {role} in the app",
            user.username,
            user.groups.join(", ")
        ));
    }
    say("");
    say(&format!(
        "The identity provider is at {}, the app itself at {}.",
        demo.idp.issuer(),
        demo.app.address()
    ));
    say("Nothing is kept: Ctrl-C ends it all.");
}
