//! Proactive negotiation: selects the representation that a client prefers (RFC 9110 12.5.1).

use crate::base::{
    accept::{MAX_QUALITY, parse_quality_lenient},
    bytes::comma_list,
};

/// Index of the form that the `Accept` fields prefer; among equals, and without a field, the first one. `None`: no
/// form is acceptable.
pub fn negotiate<'a>(fields: impl Iterator<Item = &'a [u8]>, forms: &[&str]) -> Option<usize> {
    let ranges: Vec<Range> = fields.flat_map(comma_list).filter_map(Range::of).collect();
    if ranges.is_empty() {
        return (!forms.is_empty()).then_some(0);
    }
    let quality = |form: &&str| {
        let media = media_type(form);
        let fits = ranges.iter().filter_map(|range| Some((range.specificity(media)?, range.quality)));
        fits.max_by_key(|(exact, _)| *exact).map_or(0, |(_, quality)| quality)
    };
    let mut best = None;
    for (at, quality) in forms.iter().map(quality).enumerate().filter(|(_, quality)| *quality > 0) {
        if best.is_none_or(|(_, max)| quality > max) {
            best = Some((at, quality));
        }
    }
    best.map(|(at, _)| at)
}

/// The media type without its parameters.
fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// One entry of `Accept`.
struct Range<'a> {
    type_: &'a str,
    of: &'a str,
    /// Quality value in thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    /// Parses an entry; invalid entries are ignored.
    fn of(entry: &'a [u8]) -> Option<Range<'a>> {
        let entry = std::str::from_utf8(entry).ok()?;
        let (kind, of) = media_type(entry).split_once('/')?;
        let weight = entry.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        Some(Range { type_: kind, of, quality: weight.map_or(Some(MAX_QUALITY), parse_quality_lenient)? })
    }

    /// How specific the match is: the most specific range decides.
    fn specificity(&self, media: &str) -> Option<u8> {
        let (kind, of) = media.split_once('/')?;
        let same = |range: &str, mine: &str| range.eq_ignore_ascii_case(mine);
        match (self.type_, self.of) {
            ("*", "*") => Some(0),
            (range, "*") if same(range, kind) => Some(1),
            (range, rest) if same(range, kind) && same(rest, of) => Some(2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [&str; 3] = ["application/json", "text/html; charset=utf-8", "text/plain"];

    fn chosen(accept: &str) -> Option<usize> {
        negotiate(std::iter::once(accept.as_bytes()), &FORMS)
    }

    #[test]
    fn without_an_accept_field_the_first_form_is_chosen() {
        assert_eq!(negotiate(std::iter::empty(), &FORMS), Some(0));
        assert_eq!(chosen(""), Some(0));
        assert_eq!(chosen("*/*"), Some(0));
    }

    #[test]
    fn the_most_preferred_acceptable_form_is_chosen() {
        assert_eq!(chosen("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some(1));
        assert_eq!(chosen("Text/*;q=0.5, application/json;q=0.4"), Some(1));
        assert_eq!(chosen("text/*, text/html;q=0.1"), Some(2));
        assert_eq!(chosen("*/*, application/json;q=0"), Some(1));
        assert_eq!(chosen("image/png"), None);
        assert_eq!(chosen("application/json;q=0"), None);
        assert_eq!(chosen("nonsense, text/plain;q=2, text/html"), Some(1));
    }
}
