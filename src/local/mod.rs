//! What a sign-in by password is made of: passwords, and the codes of an authenticator app.

pub mod password;
pub mod totp;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Bytes of a name or password at most: more is refused before anything is computed from it.
pub const INPUT_LIMIT: usize = 1024;

/// The name of an account as it is looked up and counted: trimmed, NFKC, lower case. All spellings that fold to the same are one.
pub fn fold(name: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let lower = nfkc.normalize(name.trim()).to_lowercase();
    nfkc.normalize(&lower).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_fold_to_one() {
        for name in ["root", "Root", " ROOT\t", "ｒｏｏｔ", "ʳoot", "\u{a0}root"] {
            assert_eq!(fold(name), "root", "{name}");
        }
        assert_eq!(fold("Å"), fold("A\u{30a}"));
        assert_ne!(
            fold("rооt"),
            "root",
            "Cyrillic letters are a name of their own"
        );
    }
}
