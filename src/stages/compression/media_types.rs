//! Which media types are worth compressing.

use crate::base::bytes::{is_token, trim_ows};
use std::fmt;

/// What is compressed unless the configuration says otherwise.
pub const DEFAULT_TYPES: [&str; 14] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/xml",
    "application/*+xml",
    "application/javascript",
    "application/x-javascript",
    "application/x-ndjson",
    "application/graphql",
    "application/wasm",
    "application/x-www-form-urlencoded",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "image/svg+xml",
];

/// What is compressed already, or is a protocol of its own that must not be touched.
const EXCLUDED_TYPES: [&str; 34] = [
    "application/gzip",
    "application/java-archive",
    "application/pdf",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/x-brotli",
    "application/x-bzip",
    "application/x-bzip2",
    "application/x-gzip",
    "application/x-rar-compressed",
    "application/x-xz",
    "application/zip",
    "application/zlib",
    "application/zstd",
    "application/epub+zip",
    "application/*+zip",
    "application/*+gzip",
    "application/grpc",
    "application/*+grpc",
    "application/grpc-web",
    "application/grpc-web-text",
    "audio/*",
    "font/woff",
    "font/woff2",
    "image/apng",
    "image/avif",
    "image/gif",
    "image/heic",
    "image/jpeg",
    "image/jxl",
    "image/png",
    "image/webp",
    "multipart/byteranges",
    "video/*",
];

/// A media type, or several: `text/html`, `text/*`, `application/*+json`, `*/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// None: any.
    kind: Option<Box<str>>,
    subtype: Subtype,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtype {
    Any,
    Exact(Box<str>),
    /// What follows the `*`, with its `+`.
    Suffix(Box<str>),
}

impl Pattern {
    /// Reads one; none if it is no media type without parameters.
    pub fn read(text: &str) -> Option<Pattern> {
        let (kind, of) = text.trim().split_once('/')?;
        let word = |text: &str| is_token(text.as_bytes()) && !text.contains('*');
        let kind = match kind {
            "*" => None,
            kind if word(kind) => Some(kind.to_ascii_lowercase().into()),
            _ => return None,
        };
        let of = match of.strip_prefix('*') {
            Some("") => Subtype::Any,
            Some(suffix) if suffix.len() > 1 && suffix.starts_with('+') && word(suffix) => {
                Subtype::Suffix(suffix.to_ascii_lowercase().into())
            }
            None if word(of) && kind.is_some() => Subtype::Exact(of.to_ascii_lowercase().into()),
            _ => return None,
        };
        Some(Pattern { kind, subtype: of })
    }

    fn matches(&self, kind: &[u8], of: &[u8]) -> bool {
        let same = |known: &str| kind.eq_ignore_ascii_case(known.as_bytes());
        self.kind.as_deref().is_none_or(same)
            && match &self.subtype {
                Subtype::Any => true,
                Subtype::Exact(known) => of.eq_ignore_ascii_case(known.as_bytes()),
                Subtype::Suffix(suffix) => of
                    .len()
                    .checked_sub(suffix.len())
                    .is_some_and(|at| at > 0 && of[at..].eq_ignore_ascii_case(suffix.as_bytes())),
            }
    }

    /// Whether there is a media type that both mean.
    fn overlaps(&self, other: &Pattern) -> bool {
        let kinds = self.kind.is_none() || other.kind.is_none() || self.kind == other.kind;
        kinds
            && match (&self.subtype, &other.subtype) {
                (Subtype::Any, _) | (_, Subtype::Any) => true,
                (Subtype::Exact(one), Subtype::Exact(of)) => one == of,
                (Subtype::Exact(of), Subtype::Suffix(suffix))
                | (Subtype::Suffix(suffix), Subtype::Exact(of)) => of.ends_with(&**suffix),
                (Subtype::Suffix(one), Subtype::Suffix(of)) => one == of,
            }
    }

    /// Whether nothing that it means is ever compressed.
    pub fn is_always_excluded(&self) -> bool {
        EXCLUDED_TYPES.iter().filter_map(|text| Pattern::read(text)).any(|never| {
            match (&self.kind, &self.subtype, &never.subtype) {
                (Some(kind), Subtype::Exact(of), _) => {
                    never.matches(kind.as_bytes(), of.as_bytes()) || is_grpc(kind, of)
                }
                (kind, Subtype::Any, Subtype::Any) => *kind == never.kind,
                _ => *self == never,
            }
        })
    }
}

fn is_grpc(kind: &str, of: &str) -> bool {
    kind == "application" && starts_grpc(of.as_bytes())
}

/// `grpc`, `grpc+proto`, `grpc-web+json`: its messages are framed, and compressed by themselves.
fn starts_grpc(of: &[u8]) -> bool {
    of.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"grpc"))
        && of.get(4).is_none_or(|b| matches!(b, b'+' | b'-'))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/", self.kind.as_deref().unwrap_or("*"))?;
        match &self.subtype {
            Subtype::Any => f.write_str("*"),
            Subtype::Exact(of) => f.write_str(of),
            Subtype::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// The media types of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaTypes {
    included: Box<[Pattern]>,
    excluded: Box<[Pattern]>,
}

impl Default for MediaTypes {
    fn default() -> MediaTypes {
        MediaTypes::new(DEFAULT_TYPES.iter().filter_map(|text| Pattern::read(text)).collect())
    }
}

impl MediaTypes {
    pub fn new(wanted: Vec<Pattern>) -> MediaTypes {
        let never = EXCLUDED_TYPES.iter().filter_map(|text| Pattern::read(text));
        let excluded = never.filter(|never| wanted.iter().any(|pattern| pattern.overlaps(never))).collect();
        MediaTypes { included: wanted.into(), excluded }
    }

    /// Whether an answer with this `Content-Type` is worth it.
    pub fn matches(&self, content_type: &[u8]) -> bool {
        let bare = content_type.split(|&b| b == b';').next().unwrap_or_default();
        let Some(slash) = memchr::memchr(b'/', bare) else { return false };
        let (kind, of) = (trim_ows(&bare[..slash]), trim_ows(&bare[slash + 1..]));
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(kind, of));
        let grpc = kind.eq_ignore_ascii_case(b"application") && starts_grpc(of);
        among(&self.included) && !grpc && !among(&self.excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(texts: &[&str]) -> MediaTypes {
        MediaTypes::new(texts.iter().map(|text| Pattern::read(text).expect(text)).collect())
    }

    #[test]
    fn texts_data_and_code_are_compressed_and_what_is_compressed_already_is_not() {
        let usual = MediaTypes::default();
        for yes in [
            "text/html; charset=utf-8",
            "TEXT/Event-Stream",
            "application/json",
            "application/problem+json ; x=1",
            "application/hal+JSON",
            "application/atom+xml",
            "image/svg+xml",
            "application/wasm",
        ] {
            assert!(usual.matches(yes.as_bytes()), "{yes}");
        }
        for no in [
            "image/png",
            "application/octet-stream",
            "application/grpc+json",
            "",
            "text",
            "application/+json",
        ] {
            assert!(!usual.matches(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn a_wildcard_never_means_what_is_compressed_already() {
        let all = kinds(&["*/*"]);
        for no in [
            "image/jpeg",
            "video/mp4",
            "application/zip",
            "application/x+zip",
            "application/grpc-web+proto",
            "multipart/byteranges; boundary=x",
        ] {
            assert!(!all.matches(no.as_bytes()), "{no}");
        }
        assert!(all.matches(b"application/octet-stream") && all.matches(b"application/grpcish"));
        assert!(kinds(&["image/*"]).matches(b"image/bmp") && !kinds(&["image/*"]).matches(b"image/webp"));
        assert!(kinds(&["*/*+json"]).matches(b"model/gltf+json"));
    }

    #[test]
    fn patterns_are_media_types_without_parameters() {
        for good in ["text/*", "application/*+json", "*/*", "*/*+xml", " text/html "] {
            assert_eq!(Pattern::read(good).map(|pattern| pattern.to_string()).as_deref(), Some(good.trim()));
        }
        for bad in [
            "text",
            "*",
            "text/",
            "/html",
            "*/html",
            "te*t/html",
            "text/h*",
            "text/html; q=1",
            "a b/c",
            "text/*+",
            "text/*json",
        ] {
            assert_eq!(Pattern::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_can_never_be_meant_is_known() {
        for useless in ["image/png", "video/*", "video/mp4", "application/grpc+proto", "Application/ZIP"] {
            assert!(Pattern::read(useless).is_some_and(|pattern| pattern.is_always_excluded()), "{useless}");
        }
        for useful in ["*/*", "image/*", "text/*", "application/*+json"] {
            assert!(Pattern::read(useful).is_some_and(|pattern| !pattern.is_always_excluded()), "{useful}");
        }
    }

    #[test]
    fn what_is_usual_can_be_read_and_never_is_among_it() {
        for text in DEFAULT_TYPES {
            assert!(Pattern::read(text).is_some_and(|pattern| !pattern.is_always_excluded()), "{text}");
        }
        assert!(EXCLUDED_TYPES.iter().all(|text| Pattern::read(text).is_some()));
    }
}
