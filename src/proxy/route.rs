//! Where a request goes and where it comes from: host, scheme and client address, each believed only from whom it may be.

use std::net::{IpAddr, SocketAddr};

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use ipnet::IpNet;
use memchr::memchr;

use super::answer;
use crate::config::PublicUrl;
use crate::refusal::{Reason, Refusal};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest chain of `X-Forwarded-For` that is read, in addresses.
const CHAIN_LIMIT: usize = 64;

fn bad(cause: impl Into<String>) -> Refusal {
    Refusal::new(Reason::BadRequest, cause)
}

/// The characters of a name.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_');
        byte += 1;
    }
    table
};

/// A checked `Host`: as sent, and lower-case without its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// With the port, as the client sent it.
    pub(crate) value: HeaderValue,
    /// For comparing.
    pub(crate) name: String,
    /// The port, where one was sent.
    port: Option<u16>,
}

impl Host {
    /// Checks a `Host` value (RFC 9110 7.2): a name or address, and maybe a port.
    pub(crate) fn parse(value: HeaderValue) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad("Host is not ASCII"))?;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest
                    .split_once(']')
                    .ok_or_else(|| bad("Host is malformed"))?;
                address
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| bad("Host is malformed"))?;
                (text.get(..address.len() + 2).unwrap_or_default(), port)
            }
            None => match memchr(b':', text.as_bytes()) {
                Some(colon) => text.split_at(colon),
                None => (text, ""),
            },
        };
        let plain = |byte: u8| PLAIN[usize::from(byte)];
        if name.is_empty() || (!name.starts_with('[') && !name.bytes().all(plain)) {
            return Err(bad("Host is malformed"));
        }
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port = digits.parse::<u16>();
                Some(port.map_err(|_| bad("the port in Host is malformed"))?)
            }
            None if port.is_empty() => None,
            Some(_) | None => return Err(bad("the port in Host is malformed")),
        };
        let name = name.to_ascii_lowercase();
        Ok(Self { value, name, port })
    }

    /// Whether it is the very origin that a site's sessions are of. Browsers share cookies over ports and people may name
    /// a host otherwise: a session counts only where it was made.
    pub(crate) fn is_of(&self, public: &PublicUrl) -> bool {
        let own_port = || {
            let written = public.authority.strip_prefix(public.host.as_str());
            let digits = written.and_then(|rest| rest.strip_prefix(':'));
            let default = if public.https { 443 } else { 80 };
            digits.map_or(Some(default), |digits| digits.parse().ok())
        };
        // Mostly it is written as in the config.
        self.value.as_bytes() == public.authority.as_bytes()
            || (self.name == public.host && (self.port.is_none() || self.port == own_port()))
    }

    /// The one host of a request: exactly one `Host` field or `:authority`, and no other authority beside it.
    ///
    /// # Errors
    /// `BadRequest` for none, several, malformed or disagreeing ones.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Refusal> {
        let mut fields = answer::values(&parts.headers, &HOST);
        let field = fields.next();
        if fields.next().is_some() {
            return Err(bad("several Host fields"));
        }
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let value = match (field, authority) {
            (Some(field), None) => field.clone(),
            (Some(field), Some(authority))
                if field.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) =>
            {
                field.clone()
            }
            (Some(_), Some(_)) => return Err(bad("Host and authority disagree")),
            (None, Some(authority)) if parts.version == Version::HTTP_2 => {
                HeaderValue::from_str(authority).map_err(|_| bad("authority is malformed"))?
            }
            (None, _) => return Err(bad("no Host")),
        };
        Self::parse(value)
    }

    /// What a trusted proxy says that the browser asked for; none where it says nothing.
    ///
    /// # Errors
    /// `BadRequest` for several or a malformed one.
    pub(crate) fn forwarded(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut fields = headers.get_all(X_FORWARDED_HOST).iter();
        let Some(field) = fields.next() else {
            return Ok(None);
        };
        if fields.next().is_some() {
            return Err(bad("several X-Forwarded-Host"));
        }
        Self::parse(field.clone()).map(Some)
    }
}

/// Whether `address` is in one of the networks; an IPv4 address mapped into IPv6 counts as IPv4.
pub(crate) fn is_trusted(networks: &[IpNet], address: IpAddr) -> bool {
    !networks.is_empty() && {
        let address = address.to_canonical();
        networks.iter().any(|network| network.contains(&address))
    }
}

/// Where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client: the right-most address that is not a trusted proxy's.
    pub(crate) client: IpAddr,
    /// `X-Forwarded-For` as a trusted peer sent it, to append to.
    pub(crate) chain: Option<String>,
}

impl Origin {
    /// From the peer, and from `X-Forwarded-For` where the peer is trusted. Garbage in it leaves the peer as the client.
    pub(crate) fn of(headers: &HeaderMap, peer: IpAddr, networks: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let alone = Self {
            client: peer,
            chain: None,
        };
        if !is_trusted(networks, peer) {
            return alone;
        }
        let mut chain = Vec::new();
        for field in headers.get_all(X_FORWARDED_FOR) {
            let Ok(text) = field.to_str() else {
                return alone;
            };
            for entry in text.split(',') {
                match address(entry.trim_matches([' ', '\t'])) {
                    Some(address) if chain.len() < CHAIN_LIMIT => chain.push(address),
                    Some(_) | None => return alone,
                }
            }
        }
        let Some(first) = chain.first().copied() else {
            return alone;
        };
        let client = chain
            .iter()
            .rev()
            .copied()
            .find(|address| !is_trusted(networks, *address))
            .unwrap_or(first);
        let chain = chain.iter().map(ToString::to_string).collect::<Vec<_>>();
        Self {
            client,
            chain: Some(chain.join(", ")),
        }
    }
}

/// An address, maybe with a port as some load balancers write it.
fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::Request;

    fn host(fields: &[&str], uri: &str, version: Version) -> Result<String, ()> {
        let mut request = Request::builder().uri(uri).version(version);
        for field in fields {
            request = request.header("host", *field);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Host::of(&parts).map(|host| host.name).map_err(|_| ())
    }

    #[test]
    fn exactly_one_well_formed_host_counts() {
        let http1 = Version::HTTP_11;
        assert_eq!(
            host(&["Wiki.Example:8080"], "/", http1),
            Ok("wiki.example".into())
        );
        assert_eq!(host(&["[::1]:80"], "/", http1), Ok("[::1]".into()));
        assert_eq!(host(&["a.b"], "http://a.b/x", http1), Ok("a.b".into()));
        for fields in [
            &[][..],
            &["a.b", "a.b"],
            &["a@b"],
            &["a/b"],
            &["a b"],
            &["a.b:"],
            &["a.b:99999"],
            &["a.b:+1"],
            &["a.b:1:2"],
            &["a.b;proto=https"],
            &["a.b, c.d"],
            &["[::1"],
            &[""],
        ] {
            assert_eq!(host(fields, "/", http1), Err(()), "{fields:?}");
        }
    }

    #[test]
    fn two_authorities_must_agree() {
        assert!(host(&["a.b"], "http://evil.test/x", Version::HTTP_11).is_err());
        assert!(host(&["evil.test"], "https://a.b/", Version::HTTP_2).is_err());
        assert!(host(&["a.b:1"], "https://a.b/", Version::HTTP_2).is_err());
        assert_eq!(host(&[], "https://a.b/", Version::HTTP_2), Ok("a.b".into()));
        assert!(host(&[], "http://a.b/", Version::HTTP_11).is_err());
    }

    fn client(peer: &str, chain: &[&str]) -> (String, Option<String>) {
        let networks = [
            "127.0.0.2/32".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ];
        let mut headers = HeaderMap::new();
        for field in chain {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(field).unwrap());
        }
        let origin = Origin::of(&headers, peer.parse().unwrap(), &networks);
        (origin.client.to_string(), origin.chain)
    }

    #[test]
    fn the_right_most_untrusted_address_is_the_client() {
        let chain = |text: &str| Some(text.to_owned());
        assert_eq!(client("9.9.9.9", &["1.1.1.1"]), ("9.9.9.9".into(), None));
        assert_eq!(
            client("127.0.0.2", &["6.6.6.6, 1.1.1.1", "10.1.1.1"]),
            ("1.1.1.1".into(), chain("6.6.6.6, 1.1.1.1, 10.1.1.1"))
        );
        assert_eq!(client("::ffff:127.0.0.2", &["::ffff:1.2.3.4"]).0, "1.2.3.4");
        assert_eq!(client("127.0.0.2", &["1.1.1.1:80"]).0, "1.1.1.1");
        assert_eq!(client("127.0.0.2", &["[2001:db8::1]:443"]).0, "2001:db8::1");
    }

    #[test]
    fn garbage_in_the_chain_leaves_the_peer() {
        for garbage in [
            "unknown",
            "_hidden",
            "1.1.1.1,,2.2.2.2",
            "0x7f.1",
            "127.0.0.1%00",
            "",
        ] {
            assert_eq!(
                client("127.0.0.2", &[garbage]),
                ("127.0.0.2".into(), None),
                "{garbage}"
            );
        }
        let long = "1.1.1.1,".repeat(10_000) + "2.2.2.2";
        assert_eq!(client("127.0.0.2", &[&long]).0, "127.0.0.2");
    }
}
