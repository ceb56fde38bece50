//! The tokens of Liquid: text and tags, and the words inside of tags.

/// A piece of a template: text, or the inside of braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateToken<'t> {
    Text(&'t str),
    /// The inside of `{{ }}`.
    Output(Inner<'t>),
    /// The inside of `{% %}`.
    Tag(Inner<'t>),
}

/// The inside of braces, and whether white space around it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inner<'t> {
    pub(super) text: &'t str,
    pub(super) trims_before: bool,
    pub(super) trims_after: bool,
}

/// Splits a template; braces that are not closed are text.
pub(super) fn tokens(text: &str) -> Vec<TemplateToken<'_>> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    loop {
        let next = [rest.find("{{"), rest.find("{%")].into_iter().flatten().min();
        let Some(at) = next else { break };
        let is_tag = rest[at..].starts_with("{%");
        let end = rest[at + 2..].find(if is_tag { "%}" } else { "}}" }).map(|end| at + 2 + end);
        let Some(end) = end else { break };
        if at > 0 {
            tokens.push(TemplateToken::Text(&rest[..at]));
        }
        let inner = inner(&rest[at + 2..end]);
        rest = &rest[end + 2..];
        tokens.push(if is_tag { TemplateToken::Tag(inner) } else { TemplateToken::Output(inner) });
        if is_tag && matches!(inner.text, "raw" | "comment") {
            rest = skip_block(inner.text, rest, &mut tokens);
        }
    }
    if !rest.is_empty() {
        tokens.push(TemplateToken::Text(rest));
    }
    tokens
}

/// The content of `raw` is text, that of `comment` is nothing.
fn skip_block<'t>(word: &str, rest: &'t str, tokens: &mut Vec<TemplateToken<'t>>) -> &'t str {
    tokens.pop();
    let mut from = 0;
    while let Some(open) = rest[from..].find("{%").map(|open| from + open) {
        let Some(close) = rest[open..].find("%}").map(|close| open + close) else { break };
        if inner(&rest[open + 2..close]).text.strip_prefix("end") == Some(word) {
            if word == "raw" {
                tokens.push(TemplateToken::Text(&rest[..open]));
            }
            return &rest[close + 2..];
        }
        from = open + 2;
    }
    rest
}

fn inner(text: &str) -> Inner<'_> {
    let trims_before = text.starts_with('-');
    let text = text.strip_prefix('-').unwrap_or(text);
    let trims_after = text.ends_with('-');
    let text = text.strip_suffix('-').unwrap_or(text).trim();
    Inner { text, trims_before, trims_after }
}

/// A word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    Name(String),
    Text(String),
    Number(String),
    /// `.`, `..`, `[`, `==`, `|`, ...
    Sign(&'static str),
}

const SIGNS: [&str; 18] =
    ["==", "!=", "<>", "<=", ">=", "..", "<", ">", "|", ":", ",", ".", "[", "]", "(", ")", "=", "-"];

/// The words of an expression.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => {
                let end = rest[1..].find(first).ok_or("a text is not closed")?;
                words.push(Word::Text(rest[1..=end].to_owned()));
                end + 2
            }
            '0'..='9' => {
                let end = number_length(rest);
                words.push(Word::Number(rest[..end].to_owned()));
                end
            }
            c if c.is_alphabetic() || c == '_' => {
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').unwrap_or(rest.len());
                words.push(Word::Name(rest[..end].to_owned()));
                end
            }
            c => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| format!("unexpected `{c}`"))?;
                words.push(Word::Sign(sign));
                sign.len()
            }
        };
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// Digits with at most one point; `1..3` is a range.
fn number_length(text: &str) -> usize {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    if fraction > 0 { whole + 1 + fraction } else { whole }
}
