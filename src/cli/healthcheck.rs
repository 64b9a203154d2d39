//! `usher healthcheck`: asks a running usher whether it is ready. For containers without curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode};

use super::{ConfigFile, fail, say};
use crate::config;
use crate::outbound::Outbound;

/// Longest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask this URL instead of `/readyz` at the config's `metrics.listen`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Give up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    timeout: u64,
}

pub(super) async fn healthcheck(options: &Options) -> ExitCode {
    match ask(options).await {
        Ok(url) => {
            say(&format!("ready: {url}"));
            ExitCode::SUCCESS
        }
        Err(why) => fail(&why),
    }
}

async fn ask(options: &Options) -> Result<String, String> {
    let url = match &options.url {
        Some(url) => url.clone(),
        None => ready_url(options)?,
    };
    let request = Request::get(&url)
        .body(Bytes::new())
        .map_err(|error| format!("{url}: {error}"))?;
    let within = Duration::from_secs(options.timeout.max(1));
    let answer = Outbound::new(&[])
        .map_err(|error| error.to_string())?
        .send(request, ANSWER_LIMIT, within)
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    if answer.status == StatusCode::OK {
        return Ok(url);
    }
    let body = String::from_utf8_lossy(&answer.body);
    Err(format!(
        "{url}: not ready ({}): {}",
        answer.status,
        body.trim()
    ))
}

/// Secrets do not matter for this question, so they need not be set where it is asked.
fn ready_url(options: &Options) -> Result<String, String> {
    let offline =
        config::load_offline(&options.file.config).map_err(|problems| problems.to_string())?;
    let listen = offline.config.metrics.ok_or(
        "the config has no `metrics.listen`, so there is nothing to ask: add it, or give --url",
    )?;
    Ok(format!("http://{}/readyz", reachable(listen)))
}

/// An address to listen at as one to connect to: `0.0.0.0` is everywhere, so here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}
