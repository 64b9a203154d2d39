//! The strict reading of a chunked body (RFC 9112 7.1), byte for byte as it passes.

use memchr::memchr;

use super::head::check_field_line;

/// Longest chunk extension on one line, in bytes.
const EXTENSION_LIMIT: u32 = 256;
/// All chunk extensions of one body together, in bytes.
const EXTENSIONS_LIMIT: u32 = 16 * 1024;

/// Where the reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size {
        digits: u8,
    },
    Extension {
        length: u32,
        quoted: bool,
        escaped: bool,
    },
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    Done,
}

/// The body is not framed as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The reader of one chunked body.
#[derive(Debug)]
pub(super) struct Chunked {
    at: At,
    left: u64,
    extensions: u32,
    trailer: Vec<u8>,
    trailers: (usize, usize),
    limits: (usize, usize),
}

impl Chunked {
    /// For a body whose trailer section has at most so many bytes and fields.
    pub(super) fn new(trailer_bytes: usize, trailer_fields: usize) -> Self {
        Self {
            at: At::Size { digits: 0 },
            left: 0,
            extensions: 0,
            trailer: Vec::new(),
            trailers: (0, 0),
            limits: (trailer_bytes, trailer_fields),
        }
    }

    /// Reads on: how many of `bytes` belong to this body, and whether it ended there.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut read = 0;
        while let Some(rest) = bytes.get(read..)
            && let Some(&byte) = rest.first()
        {
            match self.at {
                At::Data => {
                    let here = rest
                        .len()
                        .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= here as u64;
                    read += here;
                    if self.left == 0 {
                        self.at = At::DataCr;
                    }
                    continue;
                }
                At::Trailer => {
                    read += self.trailer_bytes(rest)?;
                    if self.at == At::Done {
                        return Ok((read, true));
                    }
                    continue;
                }
                At::Size { digits } => self.at = self.size(byte, digits)?,
                At::Extension {
                    length,
                    quoted,
                    escaped,
                } => {
                    self.at = self.extension(byte, length, quoted, escaped)?;
                }
                At::SizeLf => self.at = self.size_line_end(byte)?,
                At::DataCr => self.at = expect(byte, b'\r', At::DataLf)?,
                At::DataLf => self.at = expect(byte, b'\n', At::Size { digits: 0 })?,
                At::Done => return Ok((read, true)),
            }
            read += 1;
        }
        Ok((read, self.at == At::Done))
    }

    fn size(&mut self, byte: u8, digits: u8) -> Result<At, Malformed> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(At::SizeLf),
            b';' if digits > 0 => {
                return Ok(At::Extension {
                    length: 0,
                    quoted: false,
                    escaped: false,
                });
            }
            _ => return Err(Malformed),
        };
        // 15 digits: no reader overflows, signed or not.
        if digits >= 15 {
            return Err(Malformed);
        }
        self.left = self.left * 16 + u64::from(value);
        Ok(At::Size { digits: digits + 1 })
    }

    fn extension(
        &mut self,
        byte: u8,
        length: u32,
        quoted: bool,
        escaped: bool,
    ) -> Result<At, Malformed> {
        if byte == b'\r' {
            return if quoted {
                Err(Malformed)
            } else {
                Ok(At::SizeLf)
            };
        }
        self.extensions += 1;
        let text = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
        if !text || length >= EXTENSION_LIMIT || self.extensions > EXTENSIONS_LIMIT {
            return Err(Malformed);
        }
        Ok(At::Extension {
            length: length + 1,
            quoted: quoted ^ (byte == b'"' && !escaped),
            escaped: quoted && byte == b'\\' && !escaped,
        })
    }

    fn size_line_end(&mut self, byte: u8) -> Result<At, Malformed> {
        let next = if self.left == 0 {
            At::Trailer
        } else {
            At::Data
        };
        expect(byte, b'\n', next)
    }

    /// Takes bytes of the trailer section up to the end of a line.
    fn trailer_bytes(&mut self, rest: &[u8]) -> Result<usize, Malformed> {
        let end = memchr(b'\n', rest);
        let here = end.map_or(rest.len(), |end| end + 1);
        let (bytes, fields) = &mut self.trailers;
        *bytes += here;
        if *bytes > self.limits.0 {
            return Err(Malformed);
        }
        self.trailer
            .extend_from_slice(rest.get(..here).unwrap_or_default());
        if end.is_none() {
            return Ok(here);
        }
        let line = self.trailer.strip_suffix(b"\r\n").ok_or(Malformed)?;
        if line.is_empty() {
            self.at = At::Done;
        } else {
            *fields += 1;
            check_field_line(line).map_err(|_| Malformed)?;
            if *fields > self.limits.1 {
                return Err(Malformed);
            }
        }
        self.trailer.clear();
        Ok(here)
    }
}

fn expect(byte: u8, wanted: u8, next: At) -> Result<At, Malformed> {
    if byte == wanted {
        Ok(next)
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `body` whole and byte by byte; both must agree.
    fn read(body: &[u8]) -> Result<(usize, bool), Malformed> {
        let whole = Chunked::new(1024, 10).advance(body);
        let mut reader = Chunked::new(1024, 10);
        let mut stepwise = Ok((0, false));
        for byte in body {
            match reader.advance(std::slice::from_ref(byte)) {
                Ok((read, done)) => stepwise = stepwise.map(|(sum, _)| (sum + read, done)),
                Err(fault) => stepwise = Err(fault),
            }
            if stepwise.is_err() || matches!(stepwise, Ok((_, true))) {
                break;
            }
        }
        assert_eq!(whole, stepwise, "{}", body.escape_ascii());
        whole
    }

    #[test]
    fn reads_bodies_as_the_standard_writes_them() {
        for body in [
            &b"5\r\nhello\r\n0\r\n\r\n"[..],
            b"5;x=y\r\nhello\r\n0\r\n\r\n",
            b"5;x=\"a b;\\\"\"\r\nhello\r\n0\r\n\r\n",
            b"00005\r\nhello\r\n000\r\nX-A: b\r\n\r\n",
            b"A\r\n0123456789\r\n0;last\r\n\r\n",
        ] {
            assert_eq!(
                read(body),
                Ok((body.len(), true)),
                "{}",
                body.escape_ascii()
            );
        }
        assert_eq!(read(b"5\r\nhel"), Ok((6, false)));
        assert_eq!(Chunked::new(9, 9).advance(b"0\r\n\r\nGET /"), Ok((5, true)));
    }

    #[test]
    fn refuses_what_readers_disagree_on() {
        let long = [&b"0;"[..], &[b'a'; 300], b"\r\n\r\n"].concat();
        let trailer = [&b"0\r\nx: "[..], &[b'a'; 2000], b"\r\n\r\n"].concat();
        for body in [
            &b"0x5\r\nhello\r\n0\r\n\r\n"[..],
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"5 \r\nhello\r\n0\r\n\r\n",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
            b"10000000000000005\r\nhello\r\n",
            b"5\nhello\n0\n\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"\r\n5\r\nhello\r\n0\r\n\r\n",
            b"5\r\rhello\r\n",
            b"0\r\nX-A : b\r\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nx: y\n\r\n",
            &long,
            &trailer,
        ] {
            assert_eq!(read(body), Err(Malformed), "{}", body.escape_ascii());
        }
    }
}
