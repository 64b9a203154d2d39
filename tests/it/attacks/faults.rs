//! What the catalogue says in words, as faults of the doubles: tokens, callback answers, answers of
//! the app. Words that are not known are an error, never nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    callback::{Fault, Rule},
    recorder::Canned,
};

/// `100 MiB`, `64KiB`, `1 GiB random` in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != ',')
        .unwrap_or(text.len());
    let number: u64 = text[..end].replace(',', "").parse().ok()?;
    let unit = text[end..].split_whitespace().next().unwrap_or_default();
    Some(match unit {
        "GiB" => number << 30,
        "MiB" => number << 20,
        "KiB" => number << 10,
        "" | "B" | "bytes" => number,
        _ => return None,
    })
}

fn answer(status: u16, body: &str) -> Fault {
    Fault::Answer {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

/// How the callback misbehaves by these words; `None` for faults of its connection (TLS, an address
/// that swallows), which the caller sets up.
pub(super) fn callback(words: &str) -> Result<Rule, String> {
    if let Some(fault) = silence(words).or_else(|| bombs(words)) {
        return Ok(Rule::always(fault));
    }
    let mut rule = Rule::always(Fault::Close);
    rule.fault = match words {
        "connection refused" | "RST" | "close" | "reset" => Fault::Close,
        "hang for user slow only" => {
            rule.only = Some("slow".to_owned());
            rule.commit = true;
            Fault::Late(Duration::from_secs(20))
        }
        "commit then hang" | "commit-then-hang" | "create then timeout" => {
            rule.commit = true;
            rule.times = Some(1);
            Fault::Raw {
                bytes: Vec::new(),
                close: false,
            }
        }
        "garbage" | "not JSON" | "200 not json" | "HTML" => answer(200, "<html>no</html>"),
        "empty body" | "200 empty" => answer(200, ""),
        _ => plain_answer(words).ok_or_else(|| format!("unknown jit fault {words:?}"))?,
    };
    Ok(rule)
}

/// `503`, `200 {"allow":false}`, `{"roles":["admin"]}`.
fn plain_answer(words: &str) -> Option<Fault> {
    if words.starts_with('{') || words.starts_with('[') {
        return Some(answer(200, words));
    }
    let (status, body) = words.split_once(' ').unwrap_or((words, ""));
    let status: u16 = status.parse().ok().filter(|s| (100..600).contains(s))?;
    let body = body.trim();
    if let Some(to) = body
        .strip_prefix("to ")
        .or_else(|| body.strip_prefix("Location: "))
    {
        let headers = vec![("Location".to_owned(), to.to_owned())];
        return Some(Fault::Answer {
            status,
            headers,
            body: Vec::new(),
        });
    }
    let json = body.is_empty() || serde_json::from_str::<Value>(body).is_ok();
    json.then(|| answer(status, body))
}

fn silence(words: &str) -> Option<Fault> {
    let raw = |text: &str| Fault::Raw {
        bytes: text.as_bytes().to_vec(),
        close: false,
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n";
    Some(match words {
        "accept then silence" | "timeout" | "hang" => raw(""),
        "headers then silence" => raw(head),
        "1 byte/s body" => Fault::Drip {
            first: head.as_bytes().to_vec(),
            rest: b"{\"account\":\"1\"}".to_vec(),
        },
        "1 byte/s headers" => Fault::Drip {
            first: Vec::new(),
            rest: [head, "{\"account\":\"1\"}"].concat().into_bytes(),
        },
        _ => return None,
    })
}

fn bombs(words: &str) -> Option<Fault> {
    let head = |more: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}\r\n").into_bytes()
    };
    let many = || {
        (0..10_000)
            .map(|n| format!("X-{n}: a\r\n"))
            .collect::<String>()
    };
    Some(match words {
        "gzip bomb 1 GiB" | "jit gzip" => Fault::Answer {
            status: 200,
            headers: vec![("Content-Encoding".to_owned(), "gzip".to_owned())],
            body: gzip_bomb(1 << 30),
        },
        "10,000 headers" => Fault::Raw {
            bytes: head(&format!("{}Content-Length: 2\r\n", many())),
            close: false,
        },
        _ if words.starts_with("header ") => {
            let value = "a".repeat(usize::try_from(size(&words[7..])?).ok()?);
            Fault::Raw {
                bytes: head(&format!("X: {value}\r\nContent-Length: 2\r\n")),
                close: false,
            }
        }
        _ if words.ends_with(" Content-Length") || words.ends_with(" chunked") => {
            let bytes = size(words)?;
            if words.ends_with("chunked") {
                // One chunk that says how much there is, then the flood.
                let chunk = format!("{bytes:x}\r\n").into_bytes();
                let head = [head("Transfer-Encoding: chunked\r\n"), chunk].concat();
                return Some(Fault::Flood { head, bytes });
            }
            Fault::Flood {
                head: head(&format!("Content-Length: {bytes}\r\n")),
                bytes,
            }
        }
        _ => return None,
    })
}

/// A gzip file of zeros that unpacks to about `bytes`: one stored prefix and one deflate block that
/// repeats, written by hand since nothing else here needs a compressor.
pub(super) fn gzip_bomb(bytes: u64) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    // One final block with the fixed code: a literal 0, then matches of 258 at distance 1.
    bits.put(1, 1);
    bits.put(1, 2);
    bits.huffman(0x30, 8);
    for _ in 0..bytes / 258 {
        bits.huffman(0b1100_0101, 8);
        bits.huffman(0, 5);
    }
    bits.huffman(0, 7);
    out.extend(bits.finish());
    // The CRC is wrong; a reader learns that only after it unpacked everything.
    out.extend_from_slice(&[0; 8]);
    out
}

#[derive(Default)]
struct Bits {
    out: Vec<u8>,
    byte: u8,
    used: u8,
}

impl Bits {
    fn put(&mut self, value: u32, count: u8) {
        for n in 0..count {
            self.byte |= u8::try_from((value >> n) & 1).unwrap() << self.used;
            self.used += 1;
            if self.used == 8 {
                self.out.push(self.byte);
                (self.byte, self.used) = (0, 0);
            }
        }
    }

    /// Huffman codes go most significant bit first.
    fn huffman(&mut self, code: u32, count: u8) {
        for n in (0..count).rev() {
            self.put((code >> n) & 1, 1);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.out.push(self.byte);
        }
        self.out
    }
}

/// The raw answer of the app that these words mean.
pub(super) fn upstream_raw(words: &str) -> Result<Canned, String> {
    let raw = |text: &str, close: bool| Canned::Raw {
        bytes: text.as_bytes().to_vec(),
        close,
    };
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"user\":\"smuggled\"}";
    Ok(match words {
        "CL and TE" => raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nhello",
            false,
        ),
        "two responses for one request" => raw(
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{smuggled}"),
            false,
        ),
        "CL 5 body 10" => raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellohello",
            false,
        ),
        "CL 10 body 5 then close" => {
            raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true)
        }
        "204 with body" => raw(&format!("HTTP/1.1 204 No Content\r\n\r\n{smuggled}"), false),
        "304 with body" => raw(
            &format!("HTTP/1.1 304 Not Modified\r\n\r\n{smuggled}"),
            false,
        ),
        // The request of the row is a GET: an answer to HEAD has a length and no body.
        "HEAD with body" => raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true),
        "101 unasked" => raw(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            true,
        ),
        "1xx x 10000" => {
            let many = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000);
            raw(
                &format!("{many}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
                true,
            )
        }
        "bare LF headers" => raw("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", true),
        "bad chunk size" => raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
            true,
        ),
        "duplicate differing CL" => raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
            true,
        ),
        "obs-fold" => raw(
            "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
            true,
        ),
        "header name with space" => raw(
            "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 5\r\n\r\nhello",
            true,
        ),
        "HTTP/0.9 text" => raw("hello", true),
        "status 99" => raw("HTTP/1.1 99 Odd\r\nContent-Length: 5\r\n\r\nhello", true),
        "status 1000" => raw("HTTP/1.1 1000 Odd\r\nContent-Length: 5\r\n\r\nhello", true),
        other if other.starts_with("HTTP/") => raw(other, true),
        other => return Err(format!("unknown upstream.raw {other:?}")),
    })
}

/// The answer of the app that this value means.
pub(super) fn upstream_respond(value: &Value) -> Result<Canned, String> {
    if let Value::String(words) = value {
        return upstream_bomb(words).ok_or_else(|| format!("unknown upstream.respond {words:?}"));
    }
    let known = ["status", "headers", "body"];
    let map = value
        .as_object()
        .ok_or_else(|| format!("unknown upstream.respond {value}"))?;
    if let Some(odd) = map.keys().find(|k| !known.contains(&k.as_str())) {
        return Err(format!("unknown upstream.respond field {odd:?}"));
    }
    let pair = |field: &Value| {
        let text = |n: usize| field[n].as_str().unwrap_or_default().to_owned();
        (text(0), text(1))
    };
    let headers = value["headers"].as_array().cloned().unwrap_or_default();
    Ok(Canned::Answer {
        status: value["status"]
            .as_u64()
            .and_then(|s| u16::try_from(s).ok())
            .unwrap_or(200),
        headers: headers.iter().map(pair).collect(),
        body: value["body"]
            .as_str()
            .unwrap_or_default()
            .as_bytes()
            .to_vec(),
    })
}

fn upstream_bomb(words: &str) -> Option<Canned> {
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}\r\n").into_bytes();
    Some(match words {
        "10,000 headers" => {
            let many: String = (0..10_000).map(|n| format!("X-{n}: a\r\n")).collect();
            Canned::Raw {
                bytes: head(&format!("{many}Content-Length: 0\r\n")),
                close: true,
            }
        }
        "Content-Length 2^63" => Canned::Raw {
            bytes: head("Content-Length: 9223372036854775808\r\n"),
            close: false,
        },
        "drip 1B/s" => Canned::Drip {
            head: head("Content-Length: 5\r\n"),
        },
        _ if words.starts_with("header ") => {
            let value = "a".repeat(usize::try_from(size(&words[7..])?).ok()?);
            Canned::Raw {
                bytes: head(&format!("X: {value}\r\nContent-Length: 0\r\n")),
                close: true,
            }
        }
        _ => {
            let bytes = size(words.strip_prefix("body ")?)?;
            Canned::Flood {
                head: head(&format!("Content-Length: {bytes}\r\n")),
                bytes,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1 GiB random"), Some(1 << 30));
        assert_eq!(size("many"), None);
    }

    #[test]
    fn words_that_are_unknown_are_an_error() {
        assert!(callback("something new").is_err());
        assert!(upstream_raw("something new").is_err());
        assert!(upstream_respond(&json!("something new")).is_err());
        assert!(upstream_respond(&json!({"statuz": 1})).is_err());
    }
}
