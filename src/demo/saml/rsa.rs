//! RSA from its numbers, for what no library does any more: SHA-1, keys of 1024 bits, OAEP with two digests. Slow, and
//! not constant in time: for test keys only.

use aws_lc_rs::digest;

use super::ForgeError;
use super::keys::Digest;

/// Modulus and exponents, big-endian.
pub(super) struct RsaNumbers {
    pub(super) n: Vec<u8>,
    e: Vec<u8>,
    d: Vec<u8>,
}

/// One DER value: its tag, its content, and what follows.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        length = bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The values of a DER sequence.
fn values(der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut rest = der;
    while !rest.is_empty() {
        let (_, content, after) = value(rest)?;
        found.push(content);
        rest = after;
    }
    Some(found)
}

fn unsigned(integer: &[u8]) -> Vec<u8> {
    integer
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect()
}

impl RsaNumbers {
    /// Of a PKCS#8 private key.
    pub(super) fn of_private(pkcs8: &[u8]) -> Result<Self, ForgeError> {
        let read = || {
            let (_, outer, _) = value(pkcs8)?;
            let key = *values(outer)?.get(2)?;
            let (_, inner, _) = value(key)?;
            let parts = values(inner)?;
            let part = |n: usize| parts.get(n).map(|integer| unsigned(integer));
            Some(Self {
                n: part(1)?,
                e: part(2)?,
                d: part(3)?,
            })
        };
        read().ok_or(ForgeError::Key)
    }

    /// Of a public key as `RSAPublicKey` (RFC 8017 A.1.1).
    pub(super) fn of_public(der: &[u8]) -> Result<Self, ForgeError> {
        let read = || {
            let (_, inner, _) = value(der)?;
            let parts = values(inner)?;
            Some(Self {
                n: unsigned(parts.first()?),
                e: unsigned(parts.get(1)?),
                d: Vec::new(),
            })
        };
        read().ok_or(ForgeError::Key)
    }

    /// RSASSA-PKCS1-v1_5 (RFC 8017 8.2.1).
    pub(super) fn sign(&self, digest: Digest, message: &[u8]) -> Result<Vec<u8>, ForgeError> {
        let mut info = digest.info().to_vec();
        info.extend(digest.of(message));
        let pad = self.n.len().checked_sub(info.len() + 3);
        let mut block = vec![0, 1];
        block.extend(std::iter::repeat_n(0xff, pad.ok_or(ForgeError::Key)?));
        block.push(0);
        block.extend(info);
        Ok(raise(&block, &self.d, &self.n))
    }

    /// RSAES-PKCS1-v1_5 (RFC 8017 7.2.1), with the same filling each time.
    pub(super) fn encrypt_old(&self, message: &[u8]) -> Result<Vec<u8>, ForgeError> {
        let pad = self.n.len().checked_sub(message.len() + 3);
        let mut block = vec![0, 2];
        block.extend(std::iter::repeat_n(0x5a, pad.ok_or(ForgeError::Key)?));
        block.push(0);
        block.extend(message);
        Ok(raise(&block, &self.e, &self.n))
    }

    /// RSAES-OAEP (RFC 8017 7.1.1) with a digest for the label and one for the mask, and the same seed each time.
    pub(super) fn encrypt_oaep(
        &self,
        label: Digest,
        mask: Digest,
        message: &[u8],
    ) -> Result<Vec<u8>, ForgeError> {
        let hash = label.of(b"");
        let pad = self
            .n
            .len()
            .checked_sub(message.len() + 2 * hash.len() + 2)
            .ok_or(ForgeError::Key)?;
        let seed: Vec<u8> = std::iter::repeat_n(0x3c, hash.len()).collect();
        let mut data = hash;
        data.extend(std::iter::repeat_n(0, pad));
        data.push(1);
        data.extend(message);
        let masked = xor(&data, &mask_of(mask, &seed, data.len()));
        let masked_seed = xor(&seed, &mask_of(mask, &masked, seed.len()));
        let block = [vec![0], masked_seed, masked].concat();
        Ok(raise(&block, &self.e, &self.n))
    }
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(l, r)| l ^ r).collect()
}

/// MGF1 (RFC 8017 B.2.1).
fn mask_of(by: Digest, seed: &[u8], length: usize) -> Vec<u8> {
    let mut mask = Vec::new();
    let mut counter = 0_u32;
    while mask.len() < length {
        let mut context = digest::Context::new(by.algorithm());
        context.update(seed);
        context.update(&counter.to_be_bytes());
        mask.extend_from_slice(context.finish().as_ref());
        counter += 1;
    }
    mask.truncate(length);
    mask
}

/// Words of 64 bits, the least first.
fn words(bytes: &[u8], count: usize) -> Vec<u64> {
    let mut words: Vec<u64> = bytes
        .rchunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
        })
        .collect();
    words.resize(count, 0);
    words
}

/// `base` to the power of `exponent` modulo the odd `modulus`, as long as that: Montgomery's way.
fn raise(base: &[u8], exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let count = modulus.len().div_ceil(8);
    let n = words(modulus, count);
    let low = n.first().copied().unwrap_or(1);
    // Newton's iteration for the inverse modulo 2^64.
    let mut inverse = 1_u64;
    for _ in 0..6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(low.wrapping_mul(inverse)));
    }
    let inverse = inverse.wrapping_neg();
    // 2^(2 * 64 * count) modulo n, by doubling.
    let mut square = words(&[1], count);
    for _ in 0..128 * count {
        double(&mut square, &n);
    }
    let one = words(&[1], count);
    let base = times(&words(base, count), &square, &n, inverse);
    let mut result = times(&one, &square, &n, inverse);
    for byte in exponent {
        for bit in (0..8).rev() {
            result = times(&result, &result, &n, inverse);
            if byte >> bit & 1 == 1 {
                result = times(&result, &base, &n, inverse);
            }
        }
    }
    let result = times(&result, &one, &n, inverse);
    let bytes: Vec<u8> = result.iter().rev().flat_map(|w| w.to_be_bytes()).collect();
    bytes
        .get(bytes.len() - modulus.len()..)
        .unwrap_or_default()
        .to_vec()
}

fn is_less(left: &[u64], right: &[u64]) -> bool {
    left.iter().rev().lt(right.iter().rev())
}

fn subtract(from: &mut [u64], what: &[u64]) {
    let mut borrow = false;
    for (word, other) in from.iter_mut().zip(what) {
        let (difference, first) = word.overflowing_sub(*other);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        *word = difference;
        borrow = first || second;
    }
}

fn double(number: &mut [u64], n: &[u64]) {
    let mut carry = 0;
    for word in number.iter_mut() {
        let next = *word >> 63;
        *word = *word << 1 | carry;
        carry = next;
    }
    if carry == 1 || !is_less(number, n) {
        subtract(number, n);
    }
}

/// Adds `factor * what` to `sum`, which has room for the carry.
fn add_product(sum: &mut [u64], what: &[u64], factor: u64) {
    let mut carry = 0_u128;
    let zeros = std::iter::repeat(&0);
    for (word, other) in sum.iter_mut().zip(what.iter().chain(zeros)) {
        let value = u128::from(*word) + u128::from(*other) * u128::from(factor) + carry;
        *word = value as u64;
        carry = value >> 64;
    }
}

/// Montgomery's product.
fn times(left: &[u64], right: &[u64], n: &[u64], inverse: u64) -> Vec<u64> {
    let mut sum = vec![0; n.len() + 2];
    for word in left {
        add_product(&mut sum, right, *word);
        let factor = sum.first().copied().unwrap_or(0).wrapping_mul(inverse);
        add_product(&mut sum, n, factor);
        sum.remove(0);
        sum.push(0);
    }
    let mut wide = n.to_vec();
    wide.resize(sum.len(), 0);
    if !is_less(&sum, &wide) {
        subtract(&mut sum, &wide);
    }
    sum.truncate(n.len());
    sum
}
