//! Lines of a rule file to directives and their arguments.

/// A directive with its arguments, as written in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct DirectiveLine {
    /// The line on which the directive begins.
    pub line: usize,
    /// The name and the arguments, without quotes.
    pub words: Vec<String>,
}

/// The directives of a text: comments and empty lines are left out, continued lines joined.
pub fn directives(text: &str) -> Vec<DirectiveLine> {
    let mut found = Vec::new();
    let mut pending = String::new();
    let mut start = 0;
    for (at, line) in text.lines().enumerate() {
        if pending.is_empty() {
            start = at + 1;
            if line.trim_start().starts_with('#') || line.trim().is_empty() {
                continue;
            }
        }
        let line = line.trim_end_matches('\r');
        if let Some(continued) = line.strip_suffix('\\') {
            pending.push_str(continued);
            continue;
        }
        pending.push_str(line);
        let words = words(&std::mem::take(&mut pending));
        if !words.is_empty() {
            found.push(DirectiveLine { line: start, words });
        }
    }
    let words = words(&pending);
    if !words.is_empty() {
        found.push(DirectiveLine { line: start, words });
    }
    found
}

/// Words separated by white space; quoted ones may contain it, and `\"` within quotes is a quote.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => quoted(&rest[1..], first),
            _ => match rest.find(char::is_whitespace) {
                Some(end) => (rest[..end].to_owned(), &rest[end..]),
                None => (rest.to_owned(), ""),
            },
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut word = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if characters.peek().is_some_and(|(_, next)| *next == quote) => {
                word.push(quote);
                characters.next();
            }
            // A backslash that is escaped does not escape the quote behind it.
            '\\' => {
                word.push('\\');
                if let Some((_, next)) = characters.next_if(|(_, next)| *next == '\\') {
                    word.push(next);
                }
            }
            _ if character == quote => return (word, &text[at + quote.len_utf8()..]),
            _ => word.push(character),
        }
    }
    (word, "")
}
