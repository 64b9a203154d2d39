//! The chunks of an app's answer (RFC 9112 7.1). They are read as leniently as apps write them: usher frames what it
//! passes on anew.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Status};

use super::AppFault;
use super::wire::take_up_to;

/// Bytes of the line of a chunk's size, with its extensions.
const LINE_LIMIT: usize = 4 * 1024;
/// Bytes of the trailer section.
const TRAILER_LIMIT: usize = 16 * 1024;
/// Fields of the trailer section.
const TRAILERS: usize = 64;

/// Where the reading of a chunked body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before the size of a chunk.
    Size,
    /// So many bytes of a chunk are left.
    Data(u64),
    /// Before the end of a chunk's line.
    DataEnd,
    /// After the last chunk.
    Trailers,
}

/// What comes next in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// Its end.
    End(HeaderMap),
}

impl Chunks {
    /// Takes what comes next off `ahead`; none where more must be read first.
    ///
    /// # Errors
    /// `Chunk` where the framing is malformed.
    pub(super) fn take(&mut self, ahead: &mut BytesMut) -> Result<Option<Piece>, AppFault> {
        loop {
            match *self {
                Self::Size => {
                    let Some(size) = size(ahead)? else {
                        return Ok(None);
                    };
                    *self = match size {
                        0 => Self::Trailers,
                        size => Self::Data(size),
                    };
                }
                Self::Data(mut left) => {
                    if ahead.is_empty() {
                        return Ok(None);
                    }
                    let data = take_up_to(ahead, &mut left);
                    *self = match left {
                        0 => Self::DataEnd,
                        left => Self::Data(left),
                    };
                    return Ok(Some(Piece::Data(data)));
                }
                Self::DataEnd => {
                    let Some(end) = ahead.get(..2) else {
                        return Ok(None);
                    };
                    if end != b"\r\n" {
                        return Err(AppFault::Chunk);
                    }
                    ahead.advance(2);
                    *self = Self::Size;
                }
                Self::Trailers => return Ok(trailers(ahead)?.map(Piece::End)),
            }
        }
    }
}

/// Takes a line with a chunk's size.
fn size(ahead: &mut BytesMut) -> Result<Option<u64>, AppFault> {
    match httparse::parse_chunk_size(ahead) {
        Ok(Status::Complete((length, size))) => {
            ahead.advance(length);
            Ok(Some(size))
        }
        Ok(Status::Partial) if ahead.len() <= LINE_LIMIT => Ok(None),
        Ok(Status::Partial) | Err(_) => Err(AppFault::Chunk),
    }
}

/// Takes the trailer section.
fn trailers(ahead: &mut BytesMut) -> Result<Option<HeaderMap>, AppFault> {
    let mut fields = [EMPTY_HEADER; TRAILERS];
    let (length, fields) = match httparse::parse_headers(ahead, &mut fields) {
        Ok(Status::Complete(complete)) => complete,
        Ok(Status::Partial) if ahead.len() <= TRAILER_LIMIT => return Ok(None),
        Ok(Status::Partial) | Err(_) => return Err(AppFault::Chunk),
    };
    let mut trailers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| AppFault::Chunk)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| AppFault::Chunk)?;
        trailers.append(name, value);
    }
    ahead.advance(length);
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The body, the trailers and what is left behind them; none if it is not complete. `step` bytes come at once.
    type Body = Option<(Vec<u8>, HeaderMap, Vec<u8>)>;

    fn read(bytes: &[u8], step: usize) -> Result<Body, AppFault> {
        let (mut chunks, mut ahead, mut data) = (Chunks::Size, BytesMut::new(), Vec::new());
        let mut steps = bytes.chunks(step);
        loop {
            match chunks.take(&mut ahead)? {
                Some(Piece::Data(piece)) => data.extend_from_slice(&piece),
                Some(Piece::End(trailers)) => {
                    ahead.extend(steps.flatten());
                    return Ok(Some((data, trailers, ahead.to_vec())));
                }
                None => match steps.next() {
                    Some(step) => ahead.extend_from_slice(step),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn a_body_is_the_same_however_it_comes() {
        let body = b"5\r\nhello\r\n6 ;x=\"y\"\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nHTTP";
        for step in 1..body.len() {
            let (data, trailers, rest) = read(body, step).unwrap().unwrap();
            assert_eq!((&data[..], &rest[..]), (&b"hello world"[..], &b"HTTP"[..]));
            assert_eq!(trailers["x-sum"], "1");
        }
    }

    #[test]
    fn what_breaks_off_has_no_end() {
        let body = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
        for end in 0..body.len() {
            assert!(read(&body[..end], 7).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn refuses_what_is_not_chunked() {
        let long = [&b"5;"[..], &[b'a'; LINE_LIMIT]].concat();
        let trailers = [&b"0\r\nx: "[..], &[b'a'; TRAILER_LIMIT]].concat();
        for body in [
            &b"hello"[..],
            b"-5\r\nhello\r\n",
            b"5\nhello",
            b"5\r\nhelloXX",
            b"11111111111111111\r\nhello",
            b"0\r\nx y: z\r\n\r\n",
            &long,
            &trailers,
        ] {
            assert!(read(body, body.len()).is_err(), "{}", body.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_of_any_kind_read_the_same_whole_and_one_by_one(
            bytes in proptest::collection::vec(
                proptest::sample::select(&b"0123afF;= \t\r\n\r\n:x\0\xff"[..]),
                0..60,
            ),
        ) {
            let whole = read(&bytes, bytes.len().max(1));
            let stepwise = read(&bytes, 1);
            match (whole, stepwise) {
                (Ok(whole), Ok(stepwise)) => proptest::prop_assert_eq!(whole, stepwise),
                (whole, stepwise) => proptest::prop_assert!(whole.is_err() && stepwise.is_err()),
            }
        }
    }
}
