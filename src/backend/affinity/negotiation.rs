//! Responses to negotiations: where the tag is inserted.

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// The members of a response to a negotiation; of repeated ones the last, as clients read it.
#[derive(Default)]
struct Members<'b> {
    token: Option<&'b RawValue>,
    id: Option<&'b RawValue>,
    /// `url` or `error`: the client goes elsewhere, or nowhere.
    is_final: bool,
}

/// The position in the body at which a tag belongs: the end of the connection token, in version 0 of the connection id.
/// `None`: the body is no negotiated connection.
pub fn tag_position(body: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(body).ok()?;
    let members: Members = serde_json::from_str(text).ok()?;
    if members.is_final {
        return None;
    }
    let value = members.token.or(members.id)?.get();
    if !value.starts_with('"') {
        return None;
    }
    let start = value.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    Some(start + value.len() - 1)
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            let value: &'de RawValue = map.next_value().map_err(A::Error::custom)?;
            let value = Some(value).filter(|value| value.get() != "null");
            match name.as_str() {
                "connectionToken" => members.token = value,
                "connectionId" => members.id = value,
                "url" | "error" => members.is_final |= value.is_some(),
                _ => {}
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(body: &str) -> Option<String> {
        let at = tag_position(body.as_bytes())?;
        Some(format!("{}~T{}", &body[..at], &body[at..]))
    }

    #[test]
    fn the_tag_is_appended_to_the_token_and_everything_else_stays() {
        let body =
            r#" {"connectionId":"a","x":[1.0,{"connectionToken":"no"}],"connectionToken":"b\"","y":null}"#;
        let expected =
            r#" {"connectionId":"a","x":[1.0,{"connectionToken":"no"}],"connectionToken":"b\"~T","y":null}"#;
        assert_eq!(tagged(body).as_deref(), Some(expected));
        assert_eq!(tagged(r#"{"connectionId":"a"}"#).as_deref(), Some(r#"{"connectionId":"a~T"}"#));
        let repeated = r#"{"connectionToken":"a","connectionToken":"b"}"#;
        assert_eq!(tagged(repeated).as_deref(), Some(r#"{"connectionToken":"a","connectionToken":"b~T"}"#));
        assert_eq!(
            tagged(r#"{"connection\u0054oken":""}"#).as_deref(),
            Some(r#"{"connection\u0054oken":"~T"}"#)
        );
    }

    #[test]
    fn other_responses_have_no_place_for_a_tag() {
        for body in [
            r#"{"url":"http://a","accessToken":"t","connectionToken":"x"}"#,
            r#"{"error":"no","connectionId":"x"}"#,
            r#"{"connectionToken":5,"connectionId":"a"}"#,
            r#"{"connectionId":["a"]}"#,
            r#"["connectionToken"]"#,
            r#""connectionToken""#,
            r#"{"connectionToken":"a"} x"#,
            r#"{"connectionToken":"a""#,
            "{}",
            "",
            "\u{feff}{\"connectionToken\":\"a\"}",
        ] {
            assert_eq!(tagged(body), None, "{body}");
        }
        assert_eq!(tag_position(b"{\"connectionToken\":\"\xff\"}"), None);
    }
}
