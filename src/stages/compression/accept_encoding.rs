//! Negotiation of the content coding by `Accept-Encoding` (RFC 9110 12.5.3).

use crate::base::{
    accept::{MAX_QUALITY, parse_quality},
    bytes::{comma_list, is_token, trim_ows},
    content_coding::{AcceptedCoding, ContentCoding},
};

/// The weights of a client; `None`: not in the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weights {
    codings: [Option<u16>; 3],
    identity: Option<u16>,
    /// `*`: all other codings.
    wildcard: Option<u16>,
}

/// The best coding for a client. Malformed lines are ignored: the content is not compressed.
pub fn negotiate<'l>(lines: impl Iterator<Item = &'l [u8]>, preference: &[ContentCoding]) -> AcceptedCoding {
    Weights::read(lines).map(|weights| weights.choose(preference)).unwrap_or_default()
}

impl Weights {
    fn read<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Option<Weights> {
        let mut weights = Weights::default();
        for element in lines.flat_map(comma_list) {
            weights.add(element)?;
        }
        Some(weights)
    }

    fn add(&mut self, element: &[u8]) -> Option<()> {
        let mut parts = element.split(|&b| b == b';').map(trim_ows);
        let name = parts.next().filter(|name| is_token(name))?;
        let weight = parts.next().map_or(Some(MAX_QUALITY), weight)?;
        if parts.next().is_some() {
            return None;
        }
        let place = match ContentCoding::from_name(name) {
            Some(coding) => &mut self.codings[coding as usize],
            None if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            None if name == b"*" => &mut self.wildcard,
            None => return Some(()),
        };
        // Of a duplicate, the smaller weight counts.
        *place = Some(place.map_or(weight, |known| known.min(weight)));
        Some(())
    }

    fn choose(&self, preference: &[ContentCoding]) -> AcceptedCoding {
        let of = |coding: &ContentCoding| self.codings[*coding as usize].or(self.wildcard).unwrap_or(0);
        let mut best: Option<(ContentCoding, u16)> = None;
        for coding in preference {
            let weight = of(coding);
            if weight > best.map_or(0, |(_, max)| max) {
                best = Some((*coding, weight));
            }
        }
        let plain = self.identity.or(self.wildcard);
        let best = best.filter(|(_, weight)| plain.is_none_or(|plain| plain <= *weight));
        AcceptedCoding {
            best: best.map(|(coding, _)| coding),
            identity_forbidden: plain == Some(0),
            head_only: false,
        }
    }
}

fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', quality @ ..] = parameter else { return None };
    parse_quality(quality)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContentCoding::{Brotli, Gzip, Zstd};

    const OURS: [ContentCoding; 3] = [Zstd, Brotli, Gzip];

    fn negotiated(lines: &[&str]) -> AcceptedCoding {
        negotiate(lines.iter().map(|line| line.as_bytes()), &OURS)
    }

    fn best(line: &str) -> Option<ContentCoding> {
        negotiated(&[line]).best
    }

    #[test]
    fn the_highest_weight_is_chosen_and_ties_follow_the_preference() {
        for (line, coding) in [
            ("gzip", Some(Gzip)),
            ("gzip, br", Some(Brotli)),
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.9, zstd;q=0.8", Some(Gzip)),
            ("br;q=0.5,gzip;q=0.501", Some(Gzip)),
            ("GZIP;Q=0.5", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("*", Some(Zstd)),
            ("*;q=0.5, gzip", Some(Gzip)),
            ("zstd;q=0, *", Some(Brotli)),
            ("gzip ; q=0.2 ,\tbr\t;\tq=0.1", Some(Gzip)),
            (",, gzip ,", Some(Gzip)),
            ("compress, deflate", None),
            ("identity", None),
            ("", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000, *;q=0", None),
            ("gzip;q=0, gzip;q=1", None),
        ] {
            assert_eq!(best(line), coding, "{line}");
        }
        assert_eq!(negotiate([&b"gzip, br, zstd"[..]].into_iter(), &[Gzip, Brotli]).best, Some(Gzip));
        assert_eq!(negotiate([&b"zstd"[..]].into_iter(), &[Gzip]).best, None);
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(negotiated(&["gzip;q=0.5", "br"]).best, Some(Brotli));
        assert_eq!(negotiated(&["gzip", "gzip;q=0"]).best, None);
        assert_eq!(negotiated(&[]), AcceptedCoding::default());
    }

    #[test]
    fn identity_can_be_preferred_or_forbidden() {
        assert_eq!(best("gzip;q=0.5, identity"), None);
        assert_eq!(best("gzip;q=0.5, identity;q=0.5"), Some(Gzip));
        assert_eq!(best("gzip;q=0.1, identity;q=0.05"), Some(Gzip));
        for line in ["gzip, identity;q=0", "gzip, *;q=0"] {
            assert_eq!(
                negotiated(&[line]),
                AcceptedCoding { best: Some(Gzip), identity_forbidden: true, head_only: false },
                "{line}"
            );
        }
        assert_eq!(
            negotiated(&["identity;q=0"]),
            AcceptedCoding { best: None, identity_forbidden: true, head_only: false }
        );
        assert!(!negotiated(&["*;q=0, identity;q=0.1"]).identity_forbidden);
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for line in [
            "gzip, br;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=.5",
            "gzip;q=",
            "gzip;q",
            "gzip;x=1",
            "gzip;q=1;q=1",
            "gzip;",
            "gz ip",
            "gzip, b(r)",
            "gzip;q = 1",
            "gzip;q=-1",
            "gzip;q=1.0a",
        ] {
            assert_eq!(negotiated(&[line]), AcceptedCoding::default(), "{line}");
        }
    }

    #[test]
    fn weights_are_between_zero_and_one() {
        for (text, n) in
            [("q=0", 0), ("q=0.", 0), ("q=0.001", 1), ("q=0.5", 500), ("q=1.", 1000), ("q=1.000", 1000)]
        {
            assert_eq!(weight(text.as_bytes()), Some(n), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_chosen_coding_was_offered_and_lines_are_one_list(
            one in "[a-z*;q=0-9., \\t-]{0,24}", other in "((gzip|br|zstd|\\*|identity)(;q=[01](\\.[0-9]{0,4})?)?,? ?){0,4}",
        ) {
            let offered = [Gzip, Brotli];
            let two = negotiate([one.as_bytes(), other.as_bytes()].into_iter(), &offered);
            let joined = format!("{one},{other}");
            proptest::prop_assert_eq!(negotiate([joined.as_bytes()].into_iter(), &offered), two);
            proptest::prop_assert!(two.best.is_none_or(|coding| offered.contains(&coding)));
        }
    }
}
