//! Settings that accept one of a list of words.

use crate::config::{Diagnostics, Spanned, codes};

/// The value of a word; an unknown one is reported and the first value is used.
pub(super) fn choose<T: Copy>(
    name: &str,
    setting: Option<&Spanned<String>>,
    choices: &[(&str, T)],
    diagnostics: &mut Diagnostics,
) -> T {
    let Some(setting) = setting else { return choices[0].1 };
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == setting.value) {
        return *value;
    }
    let list: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    diagnostics
        .error(codes::UNKNOWN_CHOICE, setting.span, format!("unknown {name} \"{}\"", setting.value))
        .help(format!("expected {}", list.join(", ")));
    choices[0].1
}
