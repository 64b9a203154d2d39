//! The strict reading of an HTTP/1 request head (RFC 9112): where a lenient reader and a strict one could disagree, it is refused.

use memchr::memchr;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// By `Content-Length`, in bytes.
    Length(u64),
    /// By `Transfer-Encoding: chunked`.
    Chunked,
}

/// What the guard must know of a head that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Delimitation of the body.
    pub(super) framing: Framing,
    /// Whether the client asks for another protocol (RFC 9110 7.8).
    pub(super) upgrade: bool,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 400.
    Malformed,
    /// 431.
    TooLarge,
    /// 405: CONNECT.
    Method,
}

/// The method of a request that the guard puts in the place of one that it refuses; never accepted from a client.
pub(crate) const REFUSED_METHOD: &str = "!";

/// Whether the first line could be a malformed request: each has a slash, in its target or its version.
pub(super) fn looks_like_http(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .find(|line| line.len() > 1);
    line.is_some_and(|line| line.contains(&b'/'))
}

impl Fault {
    /// The request that hyper is shown instead. Its method cannot come from a client.
    pub(super) fn stand_in(self) -> &'static [u8] {
        match self {
            Self::Malformed => b"! /400 HTTP/1.1\r\nhost: -\r\n\r\n",
            Self::TooLarge => b"! /431 HTTP/1.1\r\nhost: -\r\n\r\n",
            Self::Method => b"! /405 HTTP/1.1\r\nhost: -\r\n\r\n",
        }
    }

    /// The fault that a stand-in tells of.
    pub(crate) fn of_stand_in(path: &str) -> Self {
        match path {
            "/431" => Self::TooLarge,
            "/405" => Self::Method,
            _ => Self::Malformed,
        }
    }
}

/// Where the search for the end of a head stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The head is the first so many bytes.
    At(usize),
    /// More bytes are needed; the next search may begin at this line.
    Incomplete(usize),
    /// A line ends with a bare LF.
    BareLf,
}

/// Finds the empty line that ends the head, from the line that begins at `from`. Empty lines before the request line are
/// skipped (RFC 9112 2.2).
pub(super) fn find_end(bytes: &[u8], from: usize) -> End {
    let mut line = from;
    let mut begun = bytes
        .get(..from)
        .is_some_and(|before| before.iter().any(|byte| !matches!(byte, b'\r' | b'\n')));
    while let Some(length) = bytes.get(line..).and_then(|rest| memchr(b'\n', rest)) {
        let end = line + length;
        if length == 0 || bytes.get(end - 1) != Some(&b'\r') {
            return End::BareLf;
        }
        let empty = length == 1;
        if empty && begun {
            return End::At(end + 1);
        }
        begun |= !empty;
        line = end + 1;
    }
    End::Incomplete(line)
}

/// Checks a whole head (with its final empty line) of at most `max_headers` fields.
pub(super) fn check(head: &[u8], max_headers: usize) -> Result<Head, Fault> {
    let mut lines = Lines(head);
    let request_line = loop {
        match lines.next() {
            Some([]) => {}
            Some(line) => break line,
            None => return Err(Fault::Malformed),
        }
    };
    let old = check_request_line(request_line)?;
    let mut fields = Fields::default();
    let mut count = 0;
    for line in lines {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > max_headers {
            return Err(Fault::TooLarge);
        }
        fields.note(check_field_line(line)?)?;
    }
    fields.framing(old)
}

/// Splits at CRLF; the caller made sure that every LF has its CR.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at(end + 1);
        self.0 = rest;
        line.get(..end.saturating_sub(1))
    }
}

/// Checks `method SP target SP version`; true for HTTP/1.0.
fn check_request_line(line: &[u8]) -> Result<bool, Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::Malformed);
    };
    if method.is_empty() || method == REFUSED_METHOD.as_bytes() || !all_token(method) {
        return Err(Fault::Malformed);
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Fault::Malformed),
    };
    if method == b"CONNECT" {
        return Err(Fault::Method);
    }
    if !target
        .iter()
        .all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#')
    {
        return Err(Fault::Malformed);
    }
    let absolute = target
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"http://"))
        || target
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"https://"));
    if !absolute && target.first() != Some(&b'/') {
        return Err(Fault::Malformed);
    }
    Ok(old)
}

/// Checks one field line and splits it into its name and its trimmed value.
pub(super) fn check_field_line(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let colon = memchr(b':', line).ok_or(Fault::Malformed)?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    // An obs-fold begins with white space, which is no token character either.
    if name.is_empty() || !all_token(name) {
        return Err(Fault::Malformed);
    }
    let bad = value.iter().fold(false, |bad, byte| {
        bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f)
    });
    if bad {
        return Err(Fault::Malformed);
    }
    Ok((name, trim(value)))
}

/// Without optional white space around (RFC 9110 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
            | b'^' | b'_' | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
        byte += 1;
    }
    table
};

/// Whether all bytes are token characters (RFC 9110 5.6.2).
fn all_token(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// The fields that decide about framing.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Fields {
    fn note(&mut self, (name, value): (&[u8], &[u8])) -> Result<(), Fault> {
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Fault::Malformed);
                }
                self.length = Some(length(value).ok_or(Fault::Malformed)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Malformed);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(self, old: bool) -> Result<Head, Fault> {
        let framing = match (self.length, self.chunked) {
            (Some(_), true) => return Err(Fault::Malformed),
            (None, true) if old => return Err(Fault::Malformed),
            (None, true) => Framing::Chunked,
            (Some(0) | None, false) => Framing::None,
            (Some(length), false) => Framing::Length(length),
        };
        Ok(Head {
            framing,
            upgrade: self.upgrade,
        })
    }
}

/// A `Content-Length`: digits alone (RFC 9110 8.6), and small enough that no reader overflows.
fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    )
}
