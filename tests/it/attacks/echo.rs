//! Reads a large chunked or counted answer without keeping it.

use aws_lc_rs::digest::{Context, SHA256};

use crate::support::wire::find;

/// Takes bytes as they come; knows the status, the digest of the body and whether it is whole.
pub(super) struct Dechunker {
    buffer: Vec<u8>,
    status: Option<u16>,
    counted: Option<u64>,
    left: u64,
    between: bool,
    whole: bool,
    digest: Context,
}

impl Default for Dechunker {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            status: None,
            counted: None,
            left: 0,
            between: false,
            whole: false,
            digest: Context::new(&SHA256),
        }
    }
}

impl Dechunker {
    /// The next bytes of the connection.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        if self.whole {
            return false;
        }
        if self.status.is_none() {
            return self.head();
        }
        if self.left > 0 {
            let take = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            self.digest.update(&self.buffer[..take]);
            self.buffer.drain(..take);
            self.left -= take as u64;
            self.whole = self.left == 0 && self.counted.is_some();
            self.between = self.left == 0;
            return self.left == 0;
        }
        let Some(end) = find(&self.buffer, b"\r\n") else {
            return false;
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        if std::mem::take(&mut self.between) {
            return true;
        }
        let digits = String::from_utf8_lossy(&line).into_owned();
        let digits = digits
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        self.left = u64::from_str_radix(&digits, 16).unwrap_or(0);
        self.whole = self.left == 0;
        !self.whole
    }

    fn head(&mut self) -> bool {
        let Some(end) = find(&self.buffer, b"\r\n\r\n") else {
            return false;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0);
        if (100..200).contains(&status) {
            return true;
        }
        self.status = Some(status);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"));
        self.counted = length.and_then(|l| l.trim().parse().ok());
        self.left = self.counted.unwrap_or(0);
        self.whole = self.counted == Some(0);
        true
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn status(&self) -> u16 {
        self.status.unwrap_or(0)
    }

    /// The digest of a whole body.
    pub(super) fn digest(&self) -> Option<String> {
        let digest = self.digest.clone().finish();
        self.whole
            .then(|| crate::support::recorder::hex(digest.as_ref()))
    }
}
