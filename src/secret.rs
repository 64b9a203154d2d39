//! Values that must never be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A secret as text; `Debug` shows only that it is one, and the memory is cleared on drop.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes over a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The secret itself: only for the place that sends it or computes with it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}
