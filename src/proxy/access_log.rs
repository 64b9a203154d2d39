//! One JSON line for each decision. Each thread fills its own buffer; one thread writes them all.

use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;

/// A buffer of so many bytes is handed over at once.
const HAND_OVER: usize = 64 * 1024;
/// Buffers waiting for the writer.
const WAITING: usize = 64;
/// While the writer is behind, a thread keeps at most so many bytes; then lines are dropped and counted.
const KEEP: usize = 1024 * 1024;

/// What a line tells. The query is left out: it may hold secrets.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) at: Timestamp,
    pub(crate) request_id: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) app: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    /// The forward-auth endpoint, where a proxy asked about the request instead of sending it.
    pub(crate) asked_at: Option<&'a str>,
    pub(crate) outcome: &'a str,
    pub(crate) status: u16,
    pub(crate) micros: u64,
    pub(crate) bytes: u64,
    pub(crate) cause: Option<&'a str>,
    /// The trace that it is in.
    pub(crate) trace_id: Option<&'a str>,
}

/// The end of the log: a thread of its own, so that a slow reader never holds up a request.
#[derive(Debug)]
pub(crate) struct LogWriter {
    buffers: SyncSender<Vec<u8>>,
    thread: JoinHandle<()>,
    wanted: bool,
    dropped: Arc<AtomicU64>,
}

impl LogWriter {
    /// Writes to `out`, if there is one, until [`LogWriter::finish`].
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn start(out: Option<Box<dyn Write + Send>>) -> std::io::Result<Self> {
        let wanted = out.is_some();
        let mut out = out.unwrap_or_else(|| Box::new(std::io::sink()));
        let (buffers, waiting): (_, Receiver<Vec<u8>>) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                for buffer in waiting {
                    // A closed pipe is no reason to stop serving.
                    let _ = out.write_all(&buffer).and_then(|()| out.flush());
                }
            })?;
        Ok(Self {
            buffers,
            thread,
            wanted,
            dropped: Arc::default(),
        })
    }

    /// The log of one more thread.
    pub(crate) fn log(&self) -> AccessLog {
        AccessLog {
            buffer: Mutex::new(Buffer::default()),
            wanted: self.wanted,
            buffers: self.buffers.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }

    /// How many lines were dropped because the reader of the log was too slow.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits until all is written; every [`AccessLog`] must be gone.
    pub(crate) fn finish(self) {
        drop(self.buffers);
        let _ = self.thread.join();
    }
}

/// The log of one thread.
#[derive(Debug)]
pub(crate) struct AccessLog {
    buffer: Mutex<Buffer>,
    wanted: bool,
    buffers: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The second that `prefix` tells, in Unix time.
    second: i64,
    /// `2026-11-22T08:00:00`.
    prefix: String,
}

impl AccessLog {
    /// Adds a line.
    pub(crate) fn write(&self, line: &Line<'_>) {
        if !self.wanted {
            return;
        }
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.bytes.len() > KEEP {
            self.dropped.fetch_add(1, Relaxed);
        } else {
            buffer.add(line);
        }
        if buffer.bytes.len() >= HAND_OVER {
            self.hand_over(&mut buffer);
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if !buffer.bytes.is_empty() {
            self.hand_over(&mut buffer);
        }
    }

    fn hand_over(&self, buffer: &mut Buffer) {
        let full = std::mem::take(&mut buffer.bytes);
        match self.buffers.try_send(full) {
            Ok(()) => buffer.bytes.reserve(HAND_OVER + 1024),
            Err(TrySendError::Full(full) | TrySendError::Disconnected(full)) => {
                buffer.bytes = full;
            }
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let buffer = self
            .buffer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = self.buffers.send(std::mem::take(&mut buffer.bytes));
    }
}

impl Buffer {
    fn add(&mut self, line: &Line<'_>) {
        if line.at.as_second() != self.second || self.prefix.is_empty() {
            self.second = line.at.as_second();
            self.prefix = format!("{:.0}", line.at);
            self.prefix.truncate("2026-11-22T08:00:00".len());
        }
        let millis = line.at.subsec_nanosecond().max(0) / 1_000_000;
        let out = &mut self.bytes;
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.prefix.as_bytes());
        out.push(b'.');
        push_thousandths(out, u64::from(millis.unsigned_abs()));
        out.extend_from_slice(b"Z\",\"request_id\":");
        quote_word(out, line.request_id);
        out.extend_from_slice(b",\"client\":\"");
        push_address(out, line.client);
        out.extend_from_slice(b"\",\"method\":");
        quote_word(out, line.method);
        for (name, value) in [(",\"host\":", line.host), (",\"path\":", line.path)] {
            out.extend_from_slice(name.as_bytes());
            quote(out, value);
        }
        for (name, value) in [(",\"app\":", line.app), (",\"user\":", line.user)] {
            if let Some(value) = value {
                out.extend_from_slice(name.as_bytes());
                quote(out, value);
            }
        }
        if let Some(asked_at) = line.asked_at {
            out.extend_from_slice(b",\"forward_auth\":");
            quote_word(out, asked_at);
        }
        out.extend_from_slice(b",\"outcome\":");
        quote_word(out, line.outcome);
        for (name, value) in [
            (",\"cause\":", line.cause),
            (",\"trace_id\":", line.trace_id),
        ] {
            if let Some(value) = value {
                out.extend_from_slice(name.as_bytes());
                quote(out, value);
            }
        }
        out.extend_from_slice(b",\"status\":");
        push_number(out, u64::from(line.status));
        out.extend_from_slice(b",\"ms\":");
        push_number(out, line.micros / 1000);
        out.push(b'.');
        push_thousandths(out, line.micros % 1000);
        out.extend_from_slice(b",\"bytes\":");
        push_number(out, line.bytes);
        out.extend_from_slice(b"}\n");
    }
}

fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

/// Writes a number; by hand, since `write!` costs several times as much and there is a line for each request.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    // As many digits as the largest number has.
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for (place, space) in digits.iter_mut().enumerate().rev() {
        *space = digit(number);
        number /= 10;
        first = place;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// Writes the three digits of a number below 1000.
fn push_thousandths(out: &mut Vec<u8>, number: u64) {
    for unit in [100, 10, 1] {
        out.push(digit(number / unit));
    }
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_number(out, u64::from(first));
            for octet in rest {
                out.push(b'.');
                push_number(out, u64::from(octet));
            }
        }
        // Writing to memory cannot fail.
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// Writes a word as a JSON string: a name of usher's own, or what was checked to be made of token characters (RFC 9110 5.6.2), among which is
/// nothing to escape.
fn quote_word(out: &mut Vec<u8>, word: &str) {
    debug_assert!(is_plain(word.as_bytes()));
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

/// Writes a JSON string (RFC 8259 7).
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        // The bytes of other characters are all above.
        for byte in text.bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                0..0x20 => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                plain => out.push(plain),
            }
        }
    }
    out.push(b'"');
}

/// Whether a JSON string may hold these bytes as they are.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut special = words
        .iter()
        .fold(0, |special, word| special | specials(*word));
    if !rest.is_empty() {
        let mut word = [b' '; 8];
        for (place, byte) in word.iter_mut().zip(rest) {
            *place = *byte;
        }
        special |= specials(word);
    }
    special == 0
}

/// Not 0 if one of eight bytes is a control character, a quote or a backslash; all are looked at together.
fn specials(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_ne_bytes(word);
    // The high bit of a byte that is below `limit` (itself below 128), as it borrows from there; those above 127 are none. A borrow
    // goes on to the next byte only from one that is below, so that a word without any is never taken for one with.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line<'a>(path: &'a str) -> Line<'a> {
        Line {
            at: "2026-11-22T08:30:01.0425Z".parse().unwrap(),
            request_id: "00ff",
            client: [127, 0, 0, 1].into(),
            method: "GET",
            host: "wiki.example",
            path,
            app: Some("wiki"),
            user: None,
            asked_at: None,
            outcome: "public",
            status: 200,
            micros: 1_234,
            bytes: 5,
            cause: None,
            trace_id: None,
        }
    }

    #[test]
    fn every_byte_that_must_be_escaped_is_seen_in_every_place() {
        for byte in 0..=255_u8 {
            let special = byte < 0x20 || byte == b'"' || byte == b'\\';
            for length in 1..20 {
                for place in 0..length {
                    for other in [b' ', b'a', 0x7f, 0x80, 0xff] {
                        let mut bytes = vec![other; length];
                        bytes[place] = byte;
                        assert_eq!(is_plain(&bytes), !special, "{byte} at {place} of {length}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn a_line_is_one_json_object_whatever_the_client_sent() {
        let sink = Sink::default();
        let writer = LogWriter::start(Some(Box::new(sink.clone()))).unwrap();
        let log = writer.log();
        log.write(&line("/a\"b\\c\n\u{7f}é"));
        log.write(&line("/x"));
        drop(log);
        writer.finish();
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["path"], "/a\"b\\c\n\u{7f}é");
        assert_eq!(lines[0]["time"], "2026-11-22T08:30:01.042Z");
        assert_eq!(lines[1]["ms"], 1.234);
        assert_eq!(lines[1]["client"], "127.0.0.1");
        assert_eq!(lines[1]["status"], 200);
        assert_eq!(lines[1]["bytes"], 5);
    }
}
