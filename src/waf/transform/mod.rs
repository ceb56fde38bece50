//! The transformations of the rule language.

mod encoding;
mod html;
pub mod path;
mod script;
mod text;
pub mod url;

use super::bytes::ByteSet;
use std::borrow::Cow;

macro_rules! transforms {
    ($($variant:ident $name:literal,)*) => {
        /// A transformation of a value before an operator reads it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is the transformation of its name")]
        pub enum Transform { $($variant,)* }

        impl Transform {
            /// Every transformation, for tests of each.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The transformation of a name, in any case.
            pub fn from_name(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) { return Some(Self::$variant); })*
                None
            }

            /// Its name in the rule language.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

transforms! {
    Lowercase "lowercase",
    Uppercase "uppercase",
    UrlDecode "urlDecode",
    UrlDecodeUni "urlDecodeUni",
    HtmlEntityDecode "htmlEntityDecode",
    JsDecode "jsDecode",
    CssDecode "cssDecode",
    EscapeSeqDecode "escapeSeqDecode",
    RemoveNulls "removeNulls",
    ReplaceNulls "replaceNulls",
    RemoveWhitespace "removeWhitespace",
    CompressWhitespace "compressWhitespace",
    ReplaceComments "replaceComments",
    RemoveComments "removeComments",
    RemoveCommentsChar "removeCommentsChar",
    CmdLine "cmdLine",
    NormalizePath "normalizePath",
    NormalizePathWin "normalizePathWin",
    Utf8ToUnicode "utf8toUnicode",
    Base64Decode "base64Decode",
    Base64DecodeExt "base64DecodeExt",
    Base64Encode "base64Encode",
    HexDecode "hexDecode",
    HexEncode "hexEncode",
    Sha1 "sha1",
    Md5 "md5",
    Length "length",
    Trim "trim",
    TrimLeft "trimLeft",
    TrimRight "trimRight",
}

const SPACES: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r\xa0");
const UPPERCASE: ByteSet = ByteSet::range(b'A', b'Z');

impl Transform {
    /// The bytes of which a value must have one to be changed; none when the values that change are not known by that.
    pub fn triggers(self) -> Option<ByteSet> {
        Some(match self {
            Self::Lowercase => UPPERCASE,
            Self::Uppercase => ByteSet::range(b'a', b'z'),
            Self::UrlDecode | Self::UrlDecodeUni => ByteSet::of(b"%+"),
            Self::HtmlEntityDecode => ByteSet::of(b"&"),
            Self::JsDecode | Self::CssDecode | Self::EscapeSeqDecode => ByteSet::of(b"\\"),
            Self::RemoveNulls | Self::ReplaceNulls => ByteSet::of(b"\0"),
            Self::RemoveWhitespace | Self::CompressWhitespace => SPACES,
            Self::ReplaceComments => ByteSet::of(b"*"),
            Self::RemoveComments | Self::RemoveCommentsChar => ByteSet::of(b"*-#"),
            Self::CmdLine => UPPERCASE.union(ByteSet::of(b"\"'\\^ ,;\t\r\n")),
            Self::NormalizePath => ByteSet::of(b"/."),
            Self::NormalizePathWin => ByteSet::of(b"/.\\"),
            Self::Utf8ToUnicode => ByteSet::range(0x80, 0xff),
            Self::Trim | Self::TrimLeft | Self::TrimRight => SPACES,
            _ => return None,
        })
    }

    /// The value after the transformation.
    pub fn apply(self, input: &[u8]) -> Cow<'_, [u8]> {
        Cow::Owned(match self {
            Self::Lowercase => input.to_ascii_lowercase(),
            Self::Uppercase => input.to_ascii_uppercase(),
            Self::UrlDecode => url::decode(input),
            Self::UrlDecodeUni => url::decode_unicode(input),
            Self::HtmlEntityDecode => html::decode(input),
            Self::JsDecode => script::decode_javascript(input),
            Self::CssDecode => script::decode_css(input),
            Self::EscapeSeqDecode => script::decode_escapes(input),
            Self::RemoveNulls => text::remove_nulls(input),
            Self::ReplaceNulls => text::replace_nulls(input),
            Self::RemoveWhitespace => text::remove_whitespace(input),
            Self::CompressWhitespace => text::compress_whitespace(input),
            Self::ReplaceComments => text::replace_comments(input),
            Self::RemoveComments => text::remove_comments(input),
            Self::RemoveCommentsChar => text::remove_comment_characters(input),
            Self::CmdLine => text::normalize_command_line(input),
            Self::NormalizePath => path::normalize(input),
            Self::NormalizePathWin => path::normalize_windows(input),
            Self::Utf8ToUnicode => url::encode_unicode(input),
            Self::Base64Decode => encoding::decode_base64(input),
            Self::Base64DecodeExt => encoding::decode_base64_lenient(input),
            Self::Base64Encode => encoding::encode_base64(input),
            Self::HexDecode => encoding::decode_hex(input),
            Self::HexEncode => encoding::encode_hex(input),
            Self::Sha1 => encoding::sha1(input),
            Self::Md5 => encoding::md5(input),
            Self::Length => input.len().to_string().into_bytes(),
            Self::Trim => return Cow::Borrowed(text::trim_right(text::trim_left(input))),
            Self::TrimLeft => return Cow::Borrowed(text::trim_left(input)),
            Self::TrimRight => return Cow::Borrowed(text::trim_right(input)),
        })
    }
}

#[cfg(test)]
mod tests;
