//! How a request head is read: leniently, with a note of all that a strict reader (RFC 9112) objects to.

use super::recorder::Seen;

pub(crate) fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
    let value = line.get(colon + 1..).unwrap_or_default();
    (
        String::from_utf8_lossy(&line[..colon]).into_owned(),
        value.trim_ascii().to_vec(),
    )
}

/// Reads a head leniently and notes what a strict reader objects to.
pub(crate) fn read_head(raw: &[u8]) -> Seen {
    let mut seen = Seen {
        raw_head: raw.to_vec(),
        ..Seen::default()
    };
    let mut lines = raw.split(|b| *b == b'\n').collect::<Vec<_>>();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let mut bare = false;
    for (n, line) in lines.iter().enumerate() {
        bare |= !line.ends_with(b"\r");
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if n == 0 {
            let text = String::from_utf8_lossy(line).into_owned();
            let words: Vec<_> = text.splitn(3, ' ').collect();
            seen.method = (*words.first().unwrap_or(&"")).to_owned();
            seen.target = (*words.get(1).unwrap_or(&"")).to_owned();
            if words.get(2) != Some(&"HTTP/1.1") {
                seen.faults.push(format!("request line {text:?}"));
            }
        } else if !line.is_empty() {
            strict_line(line, &mut seen.faults);
            seen.fields.push(field(line));
        }
    }
    if bare {
        seen.faults.push("bare LF".to_owned());
    }
    if raw.contains(&0) {
        seen.faults.push("NUL".to_owned());
    }
    strict_framing(&mut seen);
    seen
}

fn strict_line(line: &[u8], faults: &mut Vec<String>) {
    let shown = String::from_utf8_lossy(line).into_owned();
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        faults.push(format!("obs-fold {shown:?}"));
        return;
    }
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if !line.contains(&b':') || name.is_empty() || !name.iter().all(token) {
        faults.push(format!("field name {shown:?}"));
    }
    if line.contains(&b'\r') {
        faults.push(format!("bare CR {shown:?}"));
    }
}

fn strict_framing(seen: &mut Seen) {
    let lengths = seen.folded("content-length");
    let codings = seen.folded("transfer-encoding");
    let digits = |v: &String| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit());
    if !lengths.iter().all(digits) {
        seen.faults.push(format!("Content-Length {lengths:?}"));
    }
    if codings.iter().any(|v| !v.eq_ignore_ascii_case("chunked")) {
        seen.faults.push(format!("Transfer-Encoding {codings:?}"));
    }
    if lengths.len() + codings.len() > 1 {
        seen.faults.push(format!("framing {lengths:?} {codings:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::recorder::cgi_name;

    #[test]
    fn folds_names_as_cgi_does() {
        assert_eq!(cgi_name("x.forwarded~User"), "X_FORWARDED_USER");
    }

    #[test]
    fn a_strict_reader_objects_to_what_smuggles() {
        let faults = |raw: &str| read_head(raw.as_bytes()).faults.len();
        assert_eq!(faults("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
        assert_eq!(faults("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"), 0);
        assert!(faults("POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n") > 0);
        assert!(faults("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n") > 0);
        assert!(
            faults("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
                > 0
        );
        assert!(faults("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n") > 0);
        assert!(faults("GET / HTTP/1.1\nHost: a\r\n\r\n") > 0);
        assert!(faults("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n") > 0);
        assert!(faults("GET / HTTP/1.1\r\nA : b\r\n\r\n") > 0);
        assert!(faults("GET / HTTP/1.1\r\nA: b\0\r\n\r\n") > 0);
    }
}
