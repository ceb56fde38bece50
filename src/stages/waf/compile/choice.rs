//! Settings that accept one of a list of words.

use crate::config::{Code, Diagnostics, Spanned, codes, suggest};

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
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    report_unknown(codes::UNKNOWN_CHOICE, name, setting, &words, diagnostics);
    choices[0].1
}

/// Reports a word that is not in the list, with the nearest one that is.
pub(super) fn report_unknown(
    code: Code,
    name: &str,
    setting: &Spanned<String>,
    words: &[&str],
    diagnostics: &mut Diagnostics,
) {
    let diagnostic = diagnostics.error(code, setting.span, format!("unknown {name} \"{}\"", setting.value));
    if let Some(meant) = suggest::closest_match(setting, words.iter().copied()) {
        diagnostic.help(format!("did you mean \"{meant}\"?"));
    }
    diagnostic.help(format!("expected {}", words.join(", ")));
}
