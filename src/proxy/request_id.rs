//! Request ids: 128 bits, told to the app, the client and the log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;

/// The id of one request: 32 lower-case hexadecimal digits, or what a trusted proxy in front chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Keeps the id of a trusted proxy if it is plain: 1 to 128 letters, digits, `-`, `_`, `.`.
    pub(crate) fn trusted(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ((1..=128).contains(&bytes.len()) && bytes.iter().all(plain)).then(|| Self(value.clone()))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// As bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// As a field value.
    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Makes the ids of one thread: unique, not secret.
#[derive(Debug)]
pub(crate) struct RequestIds {
    high: AtomicU64,
    low: AtomicU64,
}

impl RequestIds {
    /// Starts at a random point.
    pub(crate) fn new() -> Self {
        let seed = uuid::Uuid::now_v7().as_u128() ^ u128::from(std::process::id());
        Self {
            high: AtomicU64::new(mix((seed >> 64) as u64)),
            low: AtomicU64::new(mix(seed as u64)),
        }
    }

    /// The next id.
    pub(crate) fn next(&self) -> RequestId {
        let high = self.high.load(Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let low = self.low.load(Relaxed).wrapping_add(0xd1b5_4a32_d192_ed03);
        self.high.store(high, Relaxed);
        self.low.store(low, Relaxed);
        let number = (u128::from(mix(high)) << 64) | u128::from(mix(low ^ high));
        let mut text = [0; 32];
        for (digits, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            digits.copy_from_slice(&HEXADECIMAL[usize::from(byte)]);
        }
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-")))
    }
}

/// The two digits of each byte.
const HEXADECIMAL: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// The finaliser of SplitMix64: a bijection that spreads every bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_128_bits_in_hexadecimal() {
        let ids = RequestIds::new();
        let (one, two) = (ids.next(), ids.next());
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 32);
        assert!(one.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn only_plain_ids_of_a_proxy_are_kept() {
        assert!(RequestId::trusted(&HeaderValue::from_static("abc-1_2.x")).is_some());
        assert!(RequestId::trusted(&HeaderValue::from_static("a b")).is_none());
        assert!(RequestId::trusted(&HeaderValue::from_static("")).is_none());
    }
}
