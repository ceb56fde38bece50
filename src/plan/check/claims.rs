//! The language of claims transformation: `Claims[type] > value` and `Claims[type] > value[index] > delimiter`.

use super::{Outcome, Wrong};
use crate::config::document::Texts;
use crate::config::{Diagnostics, Spanned, codes};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSource {
    /// The claim's type.
    pub claim: String,
    /// The part of the value that is taken and the characters that separate the parts; none: the whole value.
    pub part: Option<(i32, String)>,
}

/// Reads an expression as Ocelot does; none where Ocelot ignores the entry.
pub fn parse(text: &str) -> Option<ClaimSource> {
    let steps: Vec<&str> = text.split('>').collect();
    let [first, second, ..] = steps[..] else { return None };
    let named = first.find("Claims[").is_some_and(|at| first[at..].contains(']'));
    let claim = between_brackets(first).filter(|_| named)?;
    let indexed = second.find("value[").is_some_and(|at| second[at..].contains(']'));
    let part = match steps.get(2).filter(|_| indexed) {
        Some(delimiter) => {
            Some((between_brackets(second)?.trim().parse().ok()?, delimiter.trim().to_owned()))
        }
        None => None,
    };
    let part = part.filter(|(_, delimiter)| !delimiter.is_empty());
    Some(ClaimSource { claim: claim.to_owned(), part })
}

/// What stands between the first `[` and the first `]`.
fn between_brackets(text: &str) -> Option<&str> {
    let (open, close) = (text.find('[')?, text.find(']')?);
    text.get(open + 1..close)
}

/// Reports the entries that Ocelot ignores; gives the first that means something.
pub fn check<'d>(
    out: &mut Diagnostics,
    ocelot: bool,
    setting: &str,
    map: &'d Texts,
) -> Option<&'d Spanned<String>> {
    let mut first = None;
    for (key, value) in map.iter().flat_map(|map| map.iter()) {
        let text = value.as_ref().map_or("", |value| value.as_str());
        if parse(text).is_some() {
            first = first.or(Some(key));
            continue;
        }
        let span = value.as_ref().map_or(key.span, |value| value.span);
        let message = format!("{setting}: \"{text}\" does not name a claim");
        Wrong::new(codes::BAD_CLAIM_SOURCE, Outcome::Does("the entry is ignored"), message)
            .help("write Claims[type] > value, or Claims[type] > value[0] > |")
            .report(out, ocelot, span);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(claim: &str) -> Option<ClaimSource> {
        Some(ClaimSource { claim: claim.into(), part: None })
    }

    fn part(claim: &str, index: i32, delimiter: &str) -> Option<ClaimSource> {
        Some(ClaimSource { claim: claim.into(), part: Some((index, delimiter.into())) })
    }

    #[test]
    fn expressions_are_read_as_ocelot_reads_them() {
        for (text, read) in [
            ("Claims[sub] > value", whole("sub")),
            ("Claims[sub] > value[1] > |", part("sub", 1, "|")),
            ("Claims[tenant]>value[1]>;", part("tenant", 1, ";")),
            ("Claims[a:b/c] > value", whole("a:b/c")),
            ("Claims[pipe] > VALUE", whole("pipe")),
            ("Claims[sub] > value[0] >  ", whole("sub")),
            ("Claims[sub] > value[0]", whole("sub")),
        ] {
            assert_eq!(parse(text), read, "{text}");
        }
    }

    #[test]
    fn what_ocelot_ignores_is_nothing() {
        for text in [
            "",
            "nonsense",
            "Claims[sub]",
            "claims[sub] > value",
            "Claims[role] > value[a] > |",
            "Claims] > value",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
