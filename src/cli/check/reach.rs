//! Who can be reached from here: hosts of the sites, upstreams, callbacks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::Lines;
use crate::config::{App, MailConfig, ScimTarget, Site, Target, Upstream};
use crate::mail::Mailer;
use crate::outbound::{self, Outbound};

/// For a name to be found.
const DNS_WITHIN: Duration = Duration::from_secs(5);
/// For a callback to answer.
const CALLBACK_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a callback's answer to `OPTIONS`.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Looks a name up; says how many addresses it has.
pub(super) async fn dns(host: &str, port: u16) -> Result<usize, String> {
    let host = host.trim_matches(['[', ']']);
    match timeout(DNS_WITHIN, lookup_host((host, port))).await {
        Err(_) => Err(format!("DNS gives no answer for {host} within 5 s")),
        Ok(Err(error)) => Err(format!("{host} is not found in DNS: {error}")),
        Ok(Ok(addresses)) => match addresses.count() {
            0 => Err(format!("{host} has no address in DNS")),
            number => Ok(number),
        },
    }
}

/// The hosts of a site. Split DNS is common, so an unknown name is a warning.
pub(super) async fn site(site: &Site) -> Lines {
    let mut lines = Lines::default();
    let check = format!("host of {}", site.public_url.origin);
    for host in &site.hosts {
        match dns(host, 443).await {
            Ok(_) => lines.fine(&check, format!("{host} is in DNS")),
            Err(why) => lines.warn(&check, format!("{why} (from here)")),
        }
    }
    lines
}

/// The mail server: reached, and signed in to; nothing is sent.
pub(super) async fn mail(config: &MailConfig, lines: &mut Lines) {
    let tested = match Mailer::new(config) {
        Ok(mailer) => mailer.test().await,
        Err(error) => Err(error),
    };
    match tested {
        Ok(()) => lines.fine("mail", "the mail server answers and takes the credentials"),
        Err(error) => lines.fail("mail", error.to_string()),
    }
}

/// An app: its upstream and its callback.
pub(super) async fn app(app: &App, outbound: &Outbound, within: Duration) -> Lines {
    let mut lines = Lines::default();
    let check = format!("upstream of {}", app.id);
    if let Some(to) = &app.upstream {
        match timeout(within, upstream(to)).await {
            Ok(Ok(what)) => lines.fine(&check, what),
            Ok(Err(why)) => lines.fail(&check, why),
            Err(_) => lines.fail(&check, format!("no connection within {within:?}")),
        }
    } else {
        lines.fine(&check, "none: a proxy in front forwards its requests");
    }
    let target = app.provisioning.as_ref().and_then(|p| p.target.as_ref());
    match target {
        Some(Target::Callback(to)) => {
            let check = format!("callback of {}", app.id);
            callback(&check, &to.url, outbound, &mut lines).await;
        }
        Some(Target::Scim(scim)) => self::scim(app, scim, outbound, &mut lines).await,
        Some(Target::Rest(rest)) => {
            let check = format!("API of {}", app.id);
            callback(&check, &rest.url, outbound, &mut lines).await;
        }
        None => {}
    }
    lines
}

async fn upstream(upstream: &Upstream) -> Result<String, String> {
    match upstream {
        Upstream::Unix(path) => {
            let shown = path.display();
            UnixStream::connect(path)
                .await
                .map(|_| format!("connected to {shown}"))
                .map_err(|error| format!("no connection to {shown}: {error}"))
        }
        Upstream::Http { host, port } => {
            tcp(host, *port).await?;
            Ok(format!("connected to {host}:{port}"))
        }
        Upstream::Https { host, port } => {
            let stream = tcp(host, *port).await?;
            let name = ServerName::try_from(host.clone())
                .map_err(|error| format!("{host} cannot be in a certificate: {error}"))?;
            tls()?
                .connect(name, stream)
                .await
                .map(|_| format!("connected to {host}:{port}, its certificate is trusted"))
                .map_err(|error| format!("no TLS with {host}:{port}: {error}"))
        }
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    dns(host, port).await?;
    TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("no connection to {host}:{port}: {error}"))
}

fn tls() -> Result<TlsConnector, String> {
    let roots = outbound::extra_roots().map_err(|error| error.to_string())?;
    let tls = outbound::client_tls(&roots, &[b"http/1.1"]).map_err(|error| error.to_string())?;
    Ok(TlsConnector::from(Arc::new(tls)))
}

/// Asks a callback's URL with `OPTIONS`: a real event would make an account.
async fn callback(check: &str, url: &Url, outbound: &Outbound, lines: &mut Lines) {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(url.as_str())
        .body(Bytes::new());
    let request = match request {
        Ok(request) => request,
        Err(error) => return lines.fail(check, format!("{url}: {error}")),
    };
    match outbound.send(request, ANSWER_LIMIT, CALLBACK_WITHIN).await {
        Err(error) => lines.fail(check, format!("{url}: {error}")),
        Ok(answer) if answer.status == StatusCode::NOT_FOUND => lines.warn(
            check,
            format!("{url} answers 404 to OPTIONS: is the path right?"),
        ),
        Ok(answer) if answer.status.is_server_error() || answer.status.is_redirection() => {
            lines.warn(check, format!("{url} answers {} to OPTIONS", answer.status))
        }
        Ok(answer) => lines.fine(
            check,
            format!("{url} is reached ({} to OPTIONS)", answer.status),
        ),
    }
}

/// Asks an app's SCIM endpoint what it can do (RFC 7644 4), with the token.
async fn scim(app: &App, scim: &ScimTarget, outbound: &Outbound, lines: &mut Lines) {
    let check = format!("SCIM of {}", app.id);
    let base = scim.url.as_str().trim_end_matches('/');
    let url = format!("{base}/ServiceProviderConfig");
    let request = Request::get(&url)
        .header(AUTHORIZATION, format!("Bearer {}", scim.token.expose()))
        .body(Bytes::new());
    let request = match request {
        Ok(request) => request,
        Err(error) => return lines.fail(&check, format!("{url}: {error}")),
    };
    match outbound.send(request, ANSWER_LIMIT, CALLBACK_WITHIN).await {
        Err(error) => lines.fail(&check, format!("{url}: {error}")),
        Ok(answer) if answer.status.is_success() => lines.fine(&check, format!("{url} answers")),
        Ok(answer)
            if matches!(
                answer.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            ) =>
        {
            let what = format!(
                "{url} answers {}: it does not take the token",
                answer.status
            );
            lines.fail(&check, what);
        }
        Ok(answer) => lines.warn(&check, format!("{url} answers {}", answer.status)),
    }
}
