//! Writes of several parts: small ones go out as one, since a plain `send` costs the kernel less than a `writev`.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadBuf};

/// Up to so many bytes are copied together.
const SMALL: usize = 2048;

/// Writes what it can of `slices`, in their order.
pub(super) fn poll_write_slices<W: AsyncWrite>(
    io: Pin<&mut W>,
    context: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [one] = slices {
        return io.poll_write(context, one);
    }
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
        return io.poll_write_vectored(context, slices);
    }
    let mut space = [MaybeUninit::uninit(); SMALL];
    let mut together = ReadBuf::uninit(&mut space);
    for slice in slices {
        together.put_slice(slice);
    }
    io.poll_write(context, together.filled())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::future::poll_fn;

    async fn written(parts: &[Vec<u8>]) -> Vec<u8> {
        let (mut one, mut other) = tokio::io::duplex(64 * 1024);
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        poll_fn(|context| poll_write_slices(Pin::new(&mut one), context, &slices))
            .await
            .unwrap();
        drop(one);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut other, &mut all)
            .await
            .unwrap();
        all
    }

    #[tokio::test]
    async fn parts_of_every_size_keep_their_order() {
        for size in [0, 1, 600, SMALL / 2, SMALL] {
            let parts = [vec![b'a'; size], vec![b'b'; size]];
            let all = written(&parts).await;
            assert!(!all.is_empty() || size == 0);
            assert!(parts.concat().starts_with(&all), "{size}");
            if size * 2 <= SMALL {
                assert_eq!(all, parts.concat());
            }
        }
        assert_eq!(written(&[b"abc".to_vec()]).await, b"abc");
    }
}
