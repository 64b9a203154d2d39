//! `usher demo`: an IdP, an app that keeps accounts, and usher between them, to try in a browser.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use clap::Args;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{fail, logs, run, say};
use crate::config;
use crate::demo::{self, Demo, DemoPorts};
use crate::server::Server;
use crate::usher::Usher;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Sign in by itself, print what was seen, and exit 0 if all of it was right.
    #[arg(long)]
    check: bool,
    /// The port of usher on localhost; the app and the IdP take the next two. With --check: free ones.
    #[arg(long, value_name = "PORT", default_value_t = 4180)]
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
    let ports = if options.check { free_ports()? } else { ports_from(options.port)? };
    let demo = demo::start(ports).await.map_err(|error| format!("the demo cannot start: {error}"))?;
    let config = config::parse("demo.yaml", &demo.config_yaml, &|_| None).map_err(|problems| problems.to_string())?;
    let usher = Usher::start(config, Timestamp::now()).await.map_err(|error| error.to_string())?;
    let usher = Arc::new(ArcSwap::from_pointee(usher));
    let server = Server::bind(Arc::clone(&usher), None).await.map_err(|error| error.to_string())?;
    let stop = CancellationToken::new();
    run::stop_on_signal(stop.clone()).map_err(|error| error.to_string())?;
    let url = Url::parse(&format!("http://localhost:{}", ports.usher)).map_err(|error| error.to_string())?;
    if options.check {
        let serving = tokio::spawn(server.serve(stop.clone()));
        let code = check(&url).await;
        stop.cancel();
        serving.await.map_err(|error| error.to_string())?;
        return Ok(code);
    }
    welcome(&demo, &url);
    let tending = tokio::spawn(run::tend(usher));
    server.serve(stop).await;
    tending.abort();
    Ok(ExitCode::SUCCESS)
}

async fn check(url: &Url) -> ExitCode {
    let report = demo::check::check(url, "alice").await;
    for line in report.lines() {
        say(&line);
    }
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn welcome(demo: &Demo, url: &Url) {
    say(&format!("Open {url} in a browser."));
    say("");
    say("  alice   engineering   editor in the app");
    say("  bob     admins        admin in the app, may open /admin");
    say("");
    say(&format!("The identity provider is at {}, the app itself at {}.", demo.idp.issuer(), demo.app_url()));
    say("Nothing is kept: Ctrl-C ends it all.");
}

fn ports_from(first: u16) -> Result<DemoPorts, String> {
    let next = |by: u16| first.checked_add(by).ok_or_else(|| "the port is too high".to_owned());
    Ok(DemoPorts { usher: first, app: next(3)?, idp: next(4)? })
}

/// Ports that were free a moment ago.
fn free_ports() -> Result<DemoPorts, String> {
    let bind = || std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(|error| error.to_string());
    let (one, two, three) = (bind()?, bind()?, bind()?);
    let port = |listener: &std::net::TcpListener| listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string());
    Ok(DemoPorts { usher: port(&one)?, app: port(&two)?, idp: port(&three)? })
}
