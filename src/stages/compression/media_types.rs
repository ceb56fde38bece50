//! Media types that are compressed.

use crate::base::bytes::{is_token, trim_ows};
use std::fmt;

/// Default media types.
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

/// Formats that are compressed already, and framed protocols that must not be changed.
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

/// A media type or a pattern: `text/html`, `text/*`, `application/*+json`, `*/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// `None`: any.
    kind: Option<Box<str>>,
    subtype: Subtype,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtype {
    Any,
    Exact(Box<str>),
    /// The suffix with its `+`.
    Suffix(Box<str>),
}

impl Pattern {
    /// Parses a media type without parameters.
    pub fn read(text: &str) -> Option<Pattern> {
        let (kind, subtype) = text.trim().split_once('/')?;
        let is_name = |text: &str| is_token(text.as_bytes()) && !text.contains('*');
        let kind = match kind {
            "*" => None,
            kind if is_name(kind) => Some(kind.to_ascii_lowercase().into()),
            _ => return None,
        };
        let subtype = match subtype.strip_prefix('*') {
            Some("") => Subtype::Any,
            Some(suffix) if suffix.len() > 1 && suffix.starts_with('+') && is_name(suffix) => {
                Subtype::Suffix(suffix.to_ascii_lowercase().into())
            }
            None if is_name(subtype) && kind.is_some() => Subtype::Exact(subtype.to_ascii_lowercase().into()),
            _ => return None,
        };
        Some(Pattern { kind, subtype })
    }

    fn matches(&self, kind: &[u8], subtype: &[u8]) -> bool {
        let is = |known: &str| kind.eq_ignore_ascii_case(known.as_bytes());
        self.kind.as_deref().is_none_or(is)
            && match &self.subtype {
                Subtype::Any => true,
                Subtype::Exact(known) => subtype.eq_ignore_ascii_case(known.as_bytes()),
                Subtype::Suffix(suffix) => subtype
                    .len()
                    .checked_sub(suffix.len())
                    .is_some_and(|at| at > 0 && subtype[at..].eq_ignore_ascii_case(suffix.as_bytes())),
            }
    }

    /// Whether some media type matches both.
    fn overlaps(&self, other: &Pattern) -> bool {
        let kinds = self.kind.is_none() || other.kind.is_none() || self.kind == other.kind;
        kinds
            && match (&self.subtype, &other.subtype) {
                (Subtype::Any, _) | (_, Subtype::Any) => true,
                (Subtype::Exact(a), Subtype::Exact(subtype)) => a == subtype,
                (Subtype::Exact(subtype), Subtype::Suffix(suffix))
                | (Subtype::Suffix(suffix), Subtype::Exact(subtype)) => subtype.ends_with(&**suffix),
                (Subtype::Suffix(a), Subtype::Suffix(subtype)) => a == subtype,
            }
    }

    /// Whether all matching media types are excluded.
    pub fn is_always_excluded(&self) -> bool {
        EXCLUDED_TYPES.iter().filter_map(|text| Pattern::read(text)).any(|excluded| {
            match (&self.kind, &self.subtype, &excluded.subtype) {
                (Some(kind), Subtype::Exact(subtype), _) => {
                    excluded.matches(kind.as_bytes(), subtype.as_bytes()) || is_grpc(kind, subtype)
                }
                (kind, Subtype::Any, Subtype::Any) => *kind == excluded.kind,
                _ => *self == excluded,
            }
        })
    }
}

fn is_grpc(kind: &str, subtype: &str) -> bool {
    kind == "application" && starts_grpc(subtype.as_bytes())
}

/// `grpc`, `grpc+proto`, `grpc-web+json`: gRPC frames and compresses its messages itself.
fn starts_grpc(subtype: &[u8]) -> bool {
    subtype.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"grpc"))
        && subtype.get(4).is_none_or(|b| matches!(b, b'+' | b'-'))
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/", self.kind.as_deref().unwrap_or("*"))?;
        match &self.subtype {
            Subtype::Any => f.write_str("*"),
            Subtype::Exact(subtype) => f.write_str(subtype),
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
    /// Types that do not compress well, such as `image/png`, are excluded where `included` covers them.
    pub fn new(included: Vec<Pattern>) -> MediaTypes {
        let excluded = EXCLUDED_TYPES.iter().filter_map(|text| Pattern::read(text));
        let excluded =
            excluded.filter(|excluded| included.iter().any(|pattern| pattern.overlaps(excluded))).collect();
        MediaTypes { included: included.into(), excluded }
    }

    /// Whether responses with this `Content-Type` are compressed.
    pub fn matches(&self, content_type: &[u8]) -> bool {
        let bare = content_type.split(|&b| b == b';').next().unwrap_or_default();
        let Some(slash) = memchr::memchr(b'/', bare) else { return false };
        let (kind, subtype) = (trim_ows(&bare[..slash]), trim_ows(&bare[slash + 1..]));
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(kind, subtype));
        let grpc = kind.eq_ignore_ascii_case(b"application") && starts_grpc(subtype);
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
    fn text_data_and_code_are_compressed_by_default() {
        let default = MediaTypes::default();
        for accepted in [
            "text/html; charset=utf-8",
            "TEXT/Event-Stream",
            "application/json",
            "application/problem+json ; x=1",
            "application/hal+JSON",
            "application/atom+xml",
            "image/svg+xml",
            "application/wasm",
        ] {
            assert!(default.matches(accepted.as_bytes()), "{accepted}");
        }
        for rejected in [
            "image/png",
            "application/octet-stream",
            "application/grpc+json",
            "",
            "text",
            "application/+json",
        ] {
            assert!(!default.matches(rejected.as_bytes()), "{rejected}");
        }
    }

    #[test]
    fn wildcards_do_not_match_excluded_types() {
        let all = kinds(&["*/*"]);
        for rejected in [
            "image/jpeg",
            "video/mp4",
            "application/zip",
            "application/x+zip",
            "application/grpc-web+proto",
            "multipart/byteranges; boundary=x",
        ] {
            assert!(!all.matches(rejected.as_bytes()), "{rejected}");
        }
        assert!(all.matches(b"application/octet-stream") && all.matches(b"application/grpcish"));
        assert!(kinds(&["image/*"]).matches(b"image/bmp") && !kinds(&["image/*"]).matches(b"image/webp"));
        assert!(kinds(&["*/*+json"]).matches(b"model/gltf+json"));
    }

    #[test]
    fn patterns_have_no_parameters() {
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
    fn always_excluded_patterns_are_recognized() {
        for excluded in ["image/png", "video/*", "video/mp4", "application/grpc+proto", "Application/ZIP"] {
            assert!(
                Pattern::read(excluded).is_some_and(|pattern| pattern.is_always_excluded()),
                "{excluded}"
            );
        }
        for usable in ["*/*", "image/*", "text/*", "application/*+json"] {
            assert!(Pattern::read(usable).is_some_and(|pattern| !pattern.is_always_excluded()), "{usable}");
        }
    }

    #[test]
    fn defaults_are_valid_and_not_excluded() {
        for text in DEFAULT_TYPES {
            assert!(Pattern::read(text).is_some_and(|pattern| !pattern.is_always_excluded()), "{text}");
        }
        assert!(EXCLUDED_TYPES.iter().all(|text| Pattern::read(text).is_some()));
    }
}
