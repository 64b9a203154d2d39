//! An HTTP/2 client that writes frames itself, so that names and values go out as they stand.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::huffman;
use crate::support::wire::{Answer, UNTRUSTED, Wire};

/// What a request over HTTP/2 consists of.
#[derive(Clone, Debug, Default)]
pub(super) struct H2Request {
    /// Pseudo-headers and headers in the order in which they are written.
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What came back on the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct H2Outcome {
    pub(super) answer: Option<Answer>,
    /// RST_STREAM, GOAWAY with an error, or the end of the connection before an answer.
    pub(super) refused: bool,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection with prior knowledge (plain TCP).
pub(super) struct H2 {
    wire: Wire,
    buffer: Vec<u8>,
}

/// A frame as it came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl H2 {
    /// Connects, and sends the preface and SETTINGS (no dynamic table for what the peer encodes,
    /// and this initial window).
    pub(super) async fn connect(to: SocketAddr, window: u32) -> std::io::Result<Self> {
        Ok(Self::over(Wire::connect(to, UNTRUSTED).await?, window).await)
    }

    /// The same over a connection that is there already, such as TLS with ALPN `h2`.
    pub(super) async fn over(wire: Wire, window: u32) -> Self {
        let mut h2 = Self {
            wire,
            buffer: Vec::new(),
        };
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let mut settings = vec![0, 1, 0, 0, 0, 0];
        settings.extend_from_slice(&[0, 4]);
        settings.extend_from_slice(&window.to_be_bytes());
        hello.extend(frame(SETTINGS, 0, 0, &settings));
        h2.wire.send(&hello).await;
        h2
    }

    /// Writes bytes as they stand.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        self.wire.send(bytes).await;
    }

    /// The next frame; `None` at the end or when nothing came in time.
    pub(super) async fn read(&mut self, until: Instant) -> Option<Frame> {
        loop {
            if let Some(frame) = take_frame(&mut self.buffer) {
                return Some(frame);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let part = self.wire.some(left).await;
            if part.is_empty() {
                return None;
            }
            self.buffer.extend(part);
        }
    }

    /// Sends one request on this stream and waits for what comes of it.
    pub(super) async fn exchange(&mut self, stream: u32, request: &H2Request) -> H2Outcome {
        self.wire.send(&request_frames(stream, request)).await;
        let until = Instant::now() + Duration::from_secs(8);
        let mut outcome = H2Outcome::default();
        let mut block = Vec::new();
        while let Some(frame) = self.read(until).await {
            match frame.kind {
                SETTINGS if frame.flags & 1 == 0 => {
                    let ack = self::frame(SETTINGS, 1, 0, &[]);
                    self.wire.send(&ack).await;
                }
                PING if frame.flags & 1 == 0 => {
                    let ack = self::frame(PING, 1, 0, &frame.payload);
                    self.wire.send(&ack).await;
                }
                GOAWAY => {
                    outcome.refused |= frame.payload.get(4..8) != Some(&[0, 0, 0, 0]);
                    if outcome.refused {
                        break;
                    }
                }
                RST_STREAM if frame.stream == stream => {
                    // NO_ERROR after a whole answer only says that the rest of the body is not wanted.
                    outcome.refused |= frame.payload != [0, 0, 0, 0];
                    break;
                }
                HEADERS | CONTINUATION if frame.stream == stream => {
                    block.extend(unpadded(&frame));
                    if frame.flags & END_HEADERS != 0 {
                        add_fields(&mut outcome, &decode(&std::mem::take(&mut block)));
                    }
                    if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
                        break;
                    }
                }
                DATA if frame.stream == stream => {
                    if let Some(answer) = outcome.answer.as_mut() {
                        answer.body.extend(unpadded(&frame));
                    }
                    if frame.flags & END_STREAM != 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        if let Some(answer) = outcome.answer.as_mut() {
            answer.complete = true;
        } else {
            outcome.refused |= self.wire.ended();
        }
        outcome
    }
}

fn add_fields(outcome: &mut H2Outcome, fields: &[(String, Vec<u8>)]) {
    let status = fields.iter().find(|(n, _)| n == ":status");
    let status = status.and_then(|(_, v)| String::from_utf8_lossy(v).parse().ok());
    match (status, outcome.answer.as_mut()) {
        (Some(100..=199), _) => {}
        (Some(status), _) => {
            let fields = fields
                .iter()
                .filter(|(n, _)| !n.starts_with(':'))
                .cloned()
                .collect();
            outcome.answer = Some(Answer {
                status,
                fields,
                ..Answer::default()
            });
        }
        (None, Some(answer)) => answer.trailers = fields.to_vec(),
        (None, None) => {}
    }
}

fn take_frame(buffer: &mut Vec<u8>) -> Option<Frame> {
    let head: [u8; 9] = buffer.get(..9)?.try_into().ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    if buffer.len() < 9 + length {
        return None;
    }
    let payload = buffer.drain(..9 + length).skip(9).collect();
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Some(Frame {
        kind: head[3],
        flags: head[4],
        stream,
        payload,
    })
}

fn unpadded(frame: &Frame) -> Vec<u8> {
    let mut payload = frame.payload.as_slice();
    if frame.kind != CONTINUATION && frame.flags & 8 != 0 {
        let padding = usize::from(payload.first().copied().unwrap_or(0));
        payload = payload
            .get(1..payload.len().saturating_sub(padding))
            .unwrap_or_default();
    }
    if frame.kind == HEADERS && frame.flags & 0x20 != 0 {
        payload = payload.get(5..).unwrap_or_default();
    }
    payload.to_vec()
}

/// One frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// HEADERS, CONTINUATION and DATA of a request.
pub(super) fn request_frames(stream: u32, request: &H2Request) -> Vec<u8> {
    let last = request.body.is_none() && request.trailers.is_empty();
    let mut out = block_frames(stream, &encode(&request.fields), last);
    if let Some(body) = &request.body {
        let parts: Vec<_> = body.chunks(16 * 1024).collect();
        for (n, part) in parts.iter().enumerate() {
            let end = n + 1 == parts.len() && request.trailers.is_empty();
            out.extend(frame(DATA, u8::from(end) * END_STREAM, stream, part));
        }
        if parts.is_empty() && request.trailers.is_empty() {
            out.extend(frame(DATA, END_STREAM, stream, &[]));
        }
    }
    if !request.trailers.is_empty() {
        out.extend(block_frames(stream, &encode(&request.trailers), true));
    }
    out
}

fn block_frames(stream: u32, block: &[u8], end_stream: bool) -> Vec<u8> {
    let mut parts: Vec<_> = block.chunks(16 * 1024).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut out = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let mut flags = if n + 1 == parts.len() { END_HEADERS } else { 0 };
        if n == 0 && end_stream {
            flags |= END_STREAM;
        }
        let kind = if n == 0 { HEADERS } else { CONTINUATION };
        out.extend(frame(kind, flags, stream, part));
    }
    out
}

/// Every field as a literal without indexing and without Huffman (RFC 7541 section 6.2.2).
pub(super) fn encode(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            integer(&mut out, text.len(), 7, 0);
            out.extend_from_slice(text);
        }
    }
    out
}

/// An integer with an N-bit prefix (RFC 7541 section 5.1).
pub(super) fn integer(out: &mut Vec<u8>, mut value: usize, bits: u32, first: u8) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.push(first | value.to_le_bytes()[0]);
        return;
    }
    out.push(first | most.to_le_bytes()[0]);
    value -= most;
    while value >= 128 {
        out.push((value % 128).to_le_bytes()[0] | 0x80);
        value /= 128;
    }
    out.push(value.to_le_bytes()[0]);
}

/// The fields of a block; what cannot be read ends the list.
pub(super) fn decode(block: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = Block { rest: block };
    let mut fields = Vec::new();
    while let Some(field) = reader.field() {
        if let Some(field) = field {
            fields.push(field);
        }
    }
    fields
}

struct Block<'a> {
    rest: &'a [u8],
}

impl Block<'_> {
    /// The next field; `Some(None)` for what is none (a table size update).
    fn field(&mut self) -> Option<Option<(String, Vec<u8>)>> {
        let first = *self.rest.first()?;
        if first & 0x80 != 0 {
            let (name, value) = static_field(self.integer(7)?)?;
            return Some(Some((name.to_owned(), value.as_bytes().to_vec())));
        }
        if first & 0xe0 == 0x20 {
            self.integer(5)?;
            return Some(None);
        }
        let index = self.integer(if first & 0x40 != 0 { 6 } else { 4 })?;
        let name = match index {
            0 => String::from_utf8_lossy(&self.text()?).into_owned(),
            index => static_field(index)?.0.to_owned(),
        };
        Some(Some((name, self.text()?)))
    }

    fn integer(&mut self, bits: u32) -> Option<usize> {
        let most = (1_usize << bits) - 1;
        let (first, mut rest) = self.rest.split_first()?;
        let mut value = usize::from(*first) & most;
        if value == most {
            let mut shift = 0_u32;
            loop {
                let (byte, after) = rest.split_first()?;
                rest = after;
                value += usize::from(byte & 0x7f).checked_shl(shift)?;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        self.rest = rest;
        Some(value)
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let coded = *self.rest.first()? & 0x80 != 0;
        let length = self.integer(7)?;
        let text = self.rest.get(..length)?;
        self.rest = self.rest.get(length..)?;
        if coded {
            huffman::decode(text)
        } else {
            Some(text.to_vec())
        }
    }
}

/// The static table (RFC 7541 appendix A) from what answers use.
fn static_field(index: usize) -> Option<(&'static str, &'static str)> {
    const FROM_8: [(&str, &str); 7] = [
        (":status", "200"),
        (":status", "204"),
        (":status", "206"),
        (":status", "304"),
        (":status", "400"),
        (":status", "404"),
        (":status", "500"),
    ];
    const FROM_15: [&str; 47] = [
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "accept-ranges",
        "accept",
        "access-control-allow-origin",
        "age",
        "allow",
        "authorization",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "etag",
        "expect",
        "expires",
        "from",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "last-modified",
        "link",
        "location",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "range",
        "referer",
        "refresh",
        "retry-after",
        "server",
        "set-cookie",
        "strict-transport-security",
        "transfer-encoding",
        "user-agent",
        "vary",
        "via",
        "www-authenticate",
    ];
    match index {
        8..=14 => FROM_8.get(index - 8).copied(),
        15.. => FROM_15.get(index - 15).map(|name| (*name, "")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let fields = [
            (b"x-a".to_vec(), vec![b'v'; 300]),
            (b"b\r\n".to_vec(), b"".to_vec()),
        ];
        let back = decode(&encode(&fields));
        assert_eq!(back[0], ("x-a".to_owned(), vec![b'v'; 300]));
        assert_eq!(back[1].0, "b\r\n");
    }

    #[test]
    fn reads_indexed_statuses_and_names() {
        assert_eq!(decode(&[0x88]), [(":status".to_owned(), b"200".to_vec())]);
        let block = [0x48, 0x03, b'3', b'0', b'2', 0x0f, 0x1f, 0x01, b'/'];
        let fields = decode(&block);
        assert_eq!(fields[0], (":status".to_owned(), b"302".to_vec()));
        assert_eq!(fields[1], ("location".to_owned(), b"/".to_vec()));
    }
}
