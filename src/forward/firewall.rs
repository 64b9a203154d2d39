//! Inbound headers that an app could read as one of ours are removed on every request.

use http::{HeaderMap, HeaderName};

/// The names that must never come from a client, folded as CGI, WSGI and Rack fold them; built once for each app.
#[derive(Debug)]
pub struct Firewall {
    folded: Vec<String>,
}

impl Firewall {
    /// For every name that any preset of usher uses and those of this app (a client must not forge for another reader either).
    pub fn new(app: &crate::config::App) -> Self {
        let _ = app;
        todo!()
    }

    /// Whether a client's header of that name is dropped: its folded form (lower case, every non-alphanumeric as `-`) is one of ours.
    pub fn drops(&self, name: &HeaderName) -> bool {
        let _ = (&self.folded, name);
        todo!()
    }

    /// Removes from `headers`, in one pass: what [`Firewall::drops`], hop-by-hop fields (RFC 9110 7.6.1), what `Connection` nominates,
    /// `Proxy`, `Forwarded` and `X-Forwarded-*` (the data plane sets its own), trailers' announcements that name ours; usher's own cookies out of `Cookie`
    /// (`cookie_name`, `cookie_name-*`), the field itself when nothing is left.
    pub fn clean(&self, headers: &mut HeaderMap, cookie_name: &str) {
        let _ = (headers, cookie_name);
        todo!()
    }
}
