//! A pingora-proxy that strips and sets identity headers, forwards to one upstream and writes an access log.
//!
//! `pingora-baseline LISTEN UPSTREAM LOG`: `127.0.0.1:8080 127.0.0.1:8081 access.log`. It looks the session cookie up in a
//! map with one entry, as usher's cache would, so that both do the same kind of work for a signed-in request.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Mutex;

use async_trait::async_trait;
use pingora_core::prelude::{HttpPeer, Opt, Server};
use pingora_core::server::configuration::ServerConf;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

/// What the app would read as the user's identity.
struct Identity {
    user: String,
    email: String,
    roles: String,
}

struct Baseline {
    upstream: String,
    sessions: HashMap<String, Identity>,
    log: Mutex<BufWriter<File>>,
}

/// What one request found out about itself.
#[derive(Default)]
struct Context {
    session: Option<String>,
}

#[async_trait]
impl ProxyHttp for Baseline {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        context.session = session
            .req_header()
            .headers
            .get("cookie")
            .and_then(|value| value.to_str().ok())
            .and_then(|cookies| cookies.split("; ").find_map(|pair| pair.strip_prefix("usher=")))
            .map(str::to_owned);
        Ok(false)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Context) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream.as_str(), false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        let forged: Vec<String> = request
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-forwarded-"))
            .map(|name| name.as_str().to_owned())
            .collect();
        for name in forged {
            request.remove_header(&name);
        }
        request.remove_header("cookie");
        let identity = context.session.as_ref().and_then(|id| self.sessions.get(id));
        if let Some(identity) = identity {
            request.insert_header("x-forwarded-user", identity.user.as_str())?;
            request.insert_header("x-forwarded-email", identity.email.as_str())?;
            request.insert_header("x-forwarded-roles", identity.roles.as_str())?;
        }
        Ok(())
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, _: &mut Context) {
        let status = session.response_written().map_or(0, |answer| answer.status.as_u16());
        let line = session.request_summary();
        if let Ok(mut log) = self.log.lock() {
            // A log that cannot be written must not stop the benchmark; nothing reads it.
            let _ = writeln!(log, "{line} {status}");
        }
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream), Some(log)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err(Error::explain(ErrorType::InternalError, "usage: pingora-baseline LISTEN UPSTREAM LOG"));
    };
    let log = File::create(log).map_err(|error| Error::because(ErrorType::InternalError, "the access log", error))?;
    let identity = Identity {
        user: "usr_0190a000000070008000000000000000".to_owned(),
        email: "bench@acme.example".to_owned(),
        roles: "viewer,editor".to_owned(),
    };
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 128, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None::<Opt>, conf);
    server.bootstrap();
    let baseline = Baseline {
        upstream,
        sessions: HashMap::from([("bench".to_owned(), identity)]),
        log: Mutex::new(BufWriter::with_capacity(64 * 1024, log)),
    };
    let mut service = http_proxy_service(&server.configuration, baseline);
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
