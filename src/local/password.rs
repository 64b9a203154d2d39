//! Passwords: which ones will do, and their hashes.
//!
//! A password is compared as RFC 8265 (OpaqueString) prepares it: spaces other than U+0020 become one, then NFC; no control characters.
//! The rules are those of NIST SP 800-63B: a length, no composition, and nothing that everybody tries first. Hashes are Argon2id with
//! OWASP's parameters (19 MiB, two passes, one lane).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use icu_normalizer::ComposingNormalizerBorrowed;
use tokio::sync::Semaphore;

use super::{INPUT_LIMIT, fold};
use crate::secret::Secret;

/// Characters of a password at least.
pub const LEAST: usize = 12;
/// KiB of memory of one hash.
const MEMORY: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Hashes at once: 38 MiB and two cores at most.
const AT_ONCE: usize = 2;
/// Who may wait for a turn; whoever comes then is told to come again.
const WAITING: usize = 16;

/// A password as it is compared.
#[derive(Clone, Debug)]
pub struct Password(Secret);

/// Why a password will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Fewer than [`LEAST`] characters.
    #[error("That is shorter than 12 characters. A few words in a row are easy to remember.")]
    Short,
    /// More than [`INPUT_LIMIT`] bytes.
    #[error("That is longer than a password can be here (1,024 bytes).")]
    Long,
    /// Control characters.
    #[error("That has characters that cannot be typed everywhere.")]
    Control,
    /// Among the most common ones, or made of one.
    #[error(
        "That is one of the passwords that are tried first. Take something that nobody else has."
    )]
    Common,
    /// The e-mail address or name.
    #[error("That is your own name or e-mail address, which others know.")]
    Own,
}

/// Too many people are waiting for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked at the moment")]
pub struct Busy;

impl Password {
    /// As somebody typed it to sign in.
    ///
    /// # Errors
    /// [`Unfit::Long`], [`Unfit::Control`].
    pub fn typed(text: &str) -> Result<Self, Unfit> {
        if text.len() > INPUT_LIMIT {
            return Err(Unfit::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(Unfit::Control);
        }
        let spaced: String = text
            .chars()
            .map(|letter| if letter.is_whitespace() { ' ' } else { letter })
            .collect();
        let nfc = ComposingNormalizerBorrowed::new_nfc();
        Ok(Self(Secret::new(nfc.normalize(&spaced).into_owned())))
    }

    /// For the same work where nothing can be compared.
    pub fn nobodys() -> Self {
        Self(Secret::new("nobody's password"))
    }

    /// As somebody chose it. `own`: e-mail address and name, which are no passwords.
    ///
    /// # Errors
    /// As [`Unfit`] tells.
    pub fn chosen(text: &str, own: &[&str]) -> Result<Self, Unfit> {
        let password = Self::typed(text)?;
        let plain = password.0.expose();
        if plain.chars().count() < LEAST {
            return Err(Unfit::Short);
        }
        let folded = fold(plain);
        let is_own = |name: &str| {
            let name = fold(name);
            let local = name.split('@').next().unwrap_or_default();
            folded == name || folded == local
        };
        if own.iter().any(|name| is_own(name)) {
            return Err(Unfit::Own);
        }
        if common::is_common(&folded) {
            return Err(Unfit::Common);
        }
        Ok(password)
    }
}

/// Hashes passwords, a few at a time, away from the threads that serve requests.
#[derive(Clone, Debug)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
        }
    }
}

/// One who waits; counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hasher {
    /// The hash in PHC form.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, password: &Password) -> Result<String, Busy> {
        let password = password.clone();
        self.in_turn(move || hash(&password)).await?.ok_or(Busy)
    }

    /// Whether that is the password behind a hash. Without a hash the same work is done, and the answer is no.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, password: &Password, hash: Option<&str>) -> Result<bool, Busy> {
        let password = password.clone();
        let hash = hash.map(str::to_owned);
        self.in_turn(move || judge(&password, hash.as_deref()))
            .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= WAITING + AT_ONCE {
            return Err(Busy);
        }
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        // The turn goes with the work: whoever hangs up does not make room for one more.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        let done = done.await.map_err(|_| Busy);
        drop(waiting);
        done
    }
}

fn argon2() -> Option<Argon2<'static>> {
    let params = Params::new(MEMORY, PASSES, 1, None).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password) -> Option<String> {
    let hash = argon2()?
        .hash_password(password.0.expose().as_bytes())
        .ok()?;
    Some(hash.to_string())
}

/// Whether a hash is of that password. Where there is no hash, it is no less work to say no.
fn judge(password: &Password, hash: Option<&str>) -> bool {
    match hash {
        Some(hash) => verify(password, hash),
        None => {
            // Made with a new salt: the same memory, the same passes.
            let _same_work = self::hash(password);
            false
        }
    }
}

fn verify(password: &Password, hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        return false;
    };
    argon2().is_some_and(|argon2| {
        argon2
            .verify_password(password.0.expose().as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_verifies_in_any_normal_form() {
        let hasher = Hasher::default();
        let chosen = Password::chosen("Ångström und Öl", &[]).unwrap();
        let hash = hasher.hash(&chosen).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let typed = |text: &str| Password::typed(text).unwrap();
        for same in [
            "Ångström und Öl",
            "A\u{30a}ngstro\u{308}m\u{a0}und O\u{308}l",
        ] {
            assert!(
                hasher.verify(&typed(same), Some(&hash)).await.unwrap(),
                "{same}"
            );
        }
        for other in ["ångström und Öl", "Ångström und Öl ", ""] {
            assert!(
                !hasher.verify(&typed(other), Some(&hash)).await.unwrap(),
                "{other}"
            );
        }
        assert!(
            !hasher
                .verify(&typed("Ångström und Öl"), None)
                .await
                .unwrap()
        );
        assert!(!hasher.verify(&typed("x"), Some("no hash")).await.unwrap());
    }

    #[test]
    fn says_why_a_password_will_not_do() {
        let own = ["Ann.Adams-Miller@x.example", "Ann Adams the Third"];
        let long = "x".repeat(INPUT_LIMIT + 1);
        for (text, why) in [
            ("", Unfit::Short),
            ("elevenchars", Unfit::Short),
            (long.as_str(), Unfit::Long),
            ("with a\u{7} bell in it", Unfit::Control),
            ("ann.adams-miller@X.example", Unfit::Own),
            ("ANN.ADAMS-MILLER", Unfit::Own),
            ("ann adams the third", Unfit::Own),
            ("password1234", Unfit::Common),
        ] {
            assert_eq!(Password::chosen(text, &own).err(), Some(why), "{text}");
        }
        let book: String = (0..250).map(|number| format!("{number} ")).collect();
        for good in [
            "correct horse battery",
            "zwölf Zeichen!",
            "xkqzvwpmfgtr",
            book.as_str(),
        ] {
            assert!(Password::chosen(good, &own).is_ok(), "{good}");
        }
    }

    /// Nanoseconds of a processor that this thread had so far: other tests run beside this one. Elsewhere than on Linux, none.
    fn spent() -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let first = text.split(' ').next().unwrap_or_default();
        first.parse().unwrap_or(0)
    }

    #[test]
    fn a_name_that_nobody_has_is_as_much_work() {
        let password = Password::typed("coffee at half past five").unwrap();
        let hash = hash(&password).unwrap();
        let work = |hash: Option<&str>| {
            let before = spent();
            let right = judge(&password, hash);
            (right, spent() - before)
        };
        let ((right, known), (wrong, nobodys)) = (work(Some(&hash)), work(None));
        assert!(right && !wrong);
        assert!(nobodys * 2 >= known, "{nobodys} ns where {known} ns were");
    }

    #[tokio::test]
    async fn whoever_would_wait_too_long_is_told_so() {
        let hasher = Hasher::default();
        let all = hasher.turns.acquire_many(2).await.unwrap();
        assert!(hasher.turns.try_acquire().is_err(), "there are two turns");
        let password = Password::typed("x").unwrap();
        let mut waiting: Vec<_> = (0..WAITING + AT_ONCE)
            .map(|_| Box::pin(hasher.verify(&password, None)))
            .collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one.as_mut()).is_pending());
        }
        assert_eq!(hasher.verify(&password, None).await, Err(Busy));
        waiting.truncate(1);
        drop(all);
        assert_eq!(waiting.remove(0).await, Ok(false));
        assert_eq!(hasher.waiting.load(Ordering::Relaxed), 0);
    }
}
