//! A quick look at values that are plain text: most of them need no tokenizer of SQL.

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;
use std::collections::HashSet;
use std::sync::OnceLock;

/// The longest first word of a keyword.
const MAX_WORD_BYTES: usize = 32;

/// Whether a value may be an injection. Text of words and numbers alone is one only if a word is a keyword: no fingerprint of an
/// injection consists of names and numbers. A number with letters may end with a keyword, such as `1or`.
pub fn may_be_sql(value: &[u8]) -> bool {
    value.split(u8::is_ascii_whitespace).any(|word| match word {
        [] => false,
        [b'0'..=b'9', ..] => !word.iter().all(u8::is_ascii_digit),
        _ => !word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') || is_keyword(word),
    })
}

fn is_keyword(word: &[u8]) -> bool {
    let mut buffer = [0; MAX_WORD_BYTES];
    let Some(upper) = buffer.get_mut(..word.len()) else { return false };
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    keywords().contains(&*upper)
}

/// The first words of keywords, without fingerprints, names, numbers and functions, which need parentheses.
fn keywords() -> &'static HashSet<&'static [u8]> {
    static KEYWORDS: OnceLock<HashSet<&'static [u8]>> = OnceLock::new();
    KEYWORDS.get_or_init(|| {
        let keywords =
            SQL_KEYWORDS.iter().filter(|known| !matches!(known.token_type, b'F' | b'n' | b'1' | b'f'));
        keywords.filter_map(|known| known.word.split(' ').next().map(str::as_bytes)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_no_sql_and_whatever_is_an_injection_may_be() {
        for text in ["hello world", "value number 17", "member_12", "2026 12 01", ""] {
            assert!(!may_be_sql(text.as_bytes()), "{text}");
        }
        for text in ["1 or 1", "1or 1", "a UNION b", "x'", "1 group by 2", "select a", "0x31", "1;drop"] {
            assert!(may_be_sql(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn no_fingerprint_has_names_numbers_and_functions_only() {
        let fingerprints = SQL_KEYWORDS.iter().filter(|known| known.token_type == b'F');
        let plain = |word: &str| word[1..].bytes().all(|kind| matches!(kind, b'N' | b'1' | b'F'));
        assert!(fingerprints.clone().count() > 8000);
        assert_eq!(fingerprints.filter(|known| plain(known.word)).count(), 0);
    }
}
