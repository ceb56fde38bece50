//! Composes one response from the bodies of several. Pure: bodies in, a body out.

use super::template::{RenderError, Template};
use crate::pipeline::error::{ErrorCode, GatewayError};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The result of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The part was not called: there is no value for its parameter.
    Absent,
    Single(Bytes),
    /// One body for each value.
    List(Vec<Bytes>),
    /// The call failed, and the part is optional.
    Missing,
}

/// A part and its result.
#[derive(Clone, Debug)]
pub struct PartBody<'p> {
    pub key: &'p str,
    pub body: Body,
}

/// A representation that the response may have.
#[derive(Clone, Debug)]
pub struct Representation {
    /// The media type, as it is sent.
    pub media: Box<str>,
    /// `None`: one JSON object of all parts.
    pub template: Option<Template>,
}

impl Representation {
    /// One object of all parts.
    pub fn compose_object() -> Representation {
        Representation { media: "application/json".into(), template: None }
    }
}

/// Ocelot's form: every body unchanged, in an object with Ocelot's commas (docs/ocelot-behavior.md, section 20.2).
pub fn compose_ocelot(parts: &[PartBody]) -> Vec<u8> {
    let there: Vec<&PartBody> = parts.iter().filter(|part| part.body != Body::Absent).collect();
    let mut out = vec![b'{'];
    for (at, part) in there.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
        out.extend_from_slice(part.key.as_bytes());
        out.extend_from_slice(b"\":");
        match &part.body {
            Body::Single(body) => out.extend_from_slice(body),
            Body::List(bodies) => compose_ocelot_list(bodies, &mut out),
            Body::Missing | Body::Absent => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    out
}

/// Blank bodies are skipped, but the comma before the last of them remains.
fn compose_ocelot_list(bodies: &[Bytes], buffer: &mut Vec<u8>) {
    buffer.push(b'[');
    for (at, body) in bodies.iter().enumerate().filter(|(_, body)| !is_blank_body(body)) {
        buffer.extend_from_slice(body);
        if at + 1 < bodies.len() {
            buffer.push(b',');
        }
    }
    buffer.push(b']');
}

/// Whether the body is empty or white space only.
pub fn is_blank_body(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).trim().is_empty()
}

/// Whether the bytes are exactly one JSON value, so that they can be embedded in another one.
pub fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// Our form: one JSON object, or the output of a template. The bodies are JSON; `values` are the placeholders of the
/// aggregate.
pub fn compose(
    form: &Representation,
    parts: &[PartBody],
    values: &[(String, String)],
    max: usize,
) -> Result<Vec<u8>, GatewayError> {
    match &form.template {
        None => compose_object(parts, max),
        Some(template) => serialized(template, &form.media, parts, values, max),
    }
}

fn compose_object(parts: &[PartBody], max: usize) -> Result<Vec<u8>, GatewayError> {
    let mut out = vec![b'{'];
    for part in parts {
        out.extend_from_slice(if out.len() > 1 { b"," } else { b"" });
        out.extend_from_slice(Value::from(part.key).to_string().as_bytes());
        out.push(b':');
        push_raw(&part.body, &mut out);
        if out.len() >= max {
            return Err(too_long(max));
        }
    }
    out.push(b'}');
    Ok(out)
}

fn push_raw(body: &Body, buffer: &mut Vec<u8>) {
    match body {
        Body::Single(body) => buffer.extend_from_slice(body.trim_ascii()),
        Body::Absent | Body::Missing => buffer.extend_from_slice(b"null"),
        Body::List(bodies) => {
            buffer.push(b'[');
            for (at, body) in bodies.iter().enumerate() {
                buffer.extend_from_slice(if at > 0 { b"," } else { b"" });
                buffer.extend_from_slice(body.trim_ascii());
            }
            buffer.push(b']');
        }
    }
}

fn serialized(
    template: &Template,
    media: &str,
    parts: &[PartBody],
    values: &[(String, String)],
    max: usize,
) -> Result<Vec<u8>, GatewayError> {
    let mut read = serde_json::Map::new();
    for part in parts {
        read.insert(part.key.to_owned(), parse_part(part)?);
    }
    let missing: Vec<String> = missing_parts(parts).map(str::to_owned).collect();
    let context = minijinja::context! {
        parts => minijinja::value::Serde(&read),
        missing => missing,
        values => minijinja::Value::from_pairs(values.iter().cloned()),
    };
    let text = template.render(context, max).map_err(|failed| match failed {
        RenderError::TooLong => too_long(max),
        RenderError::Template(error) => {
            GatewayError::new(ErrorCode::AggregateTemplate, format!("template of the aggregate: {error}"))
        }
    })?;
    if super::template::Escaping::escaping_for(media) == super::template::Escaping::Json && !is_json(&text) {
        return Err(GatewayError::new(
            ErrorCode::AggregateTemplate,
            "the output of the template is not JSON",
        ));
    }
    Ok(text)
}

fn parse_part(part: &PartBody) -> Result<Value, GatewayError> {
    let one = |body: &Bytes| {
        serde_json::from_slice::<Value>(body).map_err(|_| failed(part.key, "is nested too deeply"))
    };
    match &part.body {
        Body::Absent | Body::Missing => Ok(Value::Null),
        Body::Single(body) => one(body),
        Body::List(bodies) => bodies.iter().map(one).collect::<Result<_, _>>().map(Value::Array),
    }
}

/// The optional parts that are missing.
pub fn missing_parts<'p>(parts: &[PartBody<'p>]) -> impl Iterator<Item = &'p str> {
    parts.iter().filter(|part| part.body == Body::Missing).map(|part| part.key)
}

/// The response of a part cannot be used.
pub fn failed(key: &str, what: impl std::fmt::Display) -> GatewayError {
    GatewayError::new(ErrorCode::AggregatePart, format!("part \"{key}\" {what}"))
}

fn too_long(max: usize) -> GatewayError {
    GatewayError::new(ErrorCode::AggregateSize, format!("the response is longer than {max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::template::Escaping;
    use super::*;
    use proptest::prelude::*;

    fn one(body: &str) -> Body {
        Body::Single(Bytes::copy_from_slice(body.as_bytes()))
    }

    fn many(bodies: &[&str]) -> Body {
        Body::List(bodies.iter().map(|body| Bytes::copy_from_slice(body.as_bytes())).collect())
    }

    fn parts(bodies: Vec<Body>) -> Vec<PartBody<'static>> {
        ["a", "b\"", "c"].into_iter().zip(bodies).map(|(key, body)| PartBody { key, body }).collect()
    }

    fn ocelot(bodies: Vec<Body>) -> String {
        String::from_utf8(compose_ocelot(&parts(bodies))).unwrap()
    }

    fn made(template: Option<(&str, &str)>, bodies: Vec<Body>) -> Result<String, ErrorCode> {
        let form = template.map_or_else(Representation::compose_object, |(media, source)| Representation {
            media: media.into(),
            template: Some(Template::compile(source, Escaping::escaping_for(media)).unwrap()),
        });
        let values = [("id".to_owned(), "7".to_owned())];
        let made = compose(&form, &parts(bodies), &values, 100).map_err(|cause| cause.code);
        made.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn ocelot_composes_bodies_unchanged() {
        assert_eq!(ocelot(vec![one("some_data"), one("")]), r#"{"a":some_data,"b"":}"#);
        assert_eq!(ocelot(vec![one(" {} "), Body::Absent, many(&["1", "2"])]), r#"{"a": {} ,"c":[1,2]}"#);
        assert_eq!(ocelot(vec![many(&["", " "]), many(&["1", ""])]), r#"{"a":[],"b"":[1,]}"#);
    }

    #[test]
    fn our_object_is_json_in_the_order_of_the_parts() {
        let made = made(None, vec![one(" {} \n"), Body::Missing, many(&["1", " 2"])]);
        assert_eq!(made.unwrap(), r#"{"a":{},"b\"":null,"c":[1,2]}"#);
    }

    #[test]
    fn a_response_has_a_maximum_size() {
        assert_eq!(made(None, vec![one(&format!("\"{}\"", "x".repeat(100)))]), Err(ErrorCode::AggregateSize));
        let long = made(Some(("text/plain", "{{ parts.a * 60 }}")), vec![one("\"xx\"")]);
        assert_eq!(long, Err(ErrorCode::AggregateSize));
    }

    #[test]
    fn a_template_has_parts_values_and_the_missing_keys() {
        let source = r#"{"id": {{ values.id }}, "n": {{ parts.c|length }}, "a": {{ parts.a.x }}, "no": {{ missing }}}"#;
        let bodies = vec![one(r#"{"x":[1]}"#), Body::Missing, many(&["1", "2"])];
        let made = made(Some(("application/json", source)), bodies);
        assert_eq!(made.unwrap(), r#"{"id": "7", "n": 2, "a": [1], "no": ["b\""]}"#);
    }

    #[test]
    fn the_json_output_of_a_template_is_validated() {
        let made = made(Some(("application/json", "{{ parts.a }},")), vec![one("1")]);
        assert_eq!(made, Err(ErrorCode::AggregateTemplate));
    }

    #[test]
    fn exactly_one_value_is_json() {
        assert!(is_json(b" {\"a\": [1, null]} ") && is_json(b"\"\xc3\xbc\""));
        assert!(!is_json(b"") && !is_json(b"{} {}") && !is_json(b"\"\xff\"") && !is_json(b"plain"));
    }

    fn json() -> impl Strategy<Value = String> {
        prop_oneof![
            "[1-9][0-9]{0,2}",
            "\"[a-z\\]},]{0,5}\"",
            Just("{\"x\": [1, {}]}".to_owned()),
            Just(" null ".to_owned())
        ]
    }

    proptest! {
        #[test]
        fn an_object_of_json_is_json_and_holds_every_part(
            single in json(), list in proptest::collection::vec(json(), 0..4)
        ) {
            let bodies = vec![one(&single), many(&list.iter().map(String::as_str).collect::<Vec<_>>()), Body::Missing];
            let text = compose_object(&parts(bodies), 1000).unwrap();
            let read: Value = serde_json::from_slice(&text).unwrap();
            prop_assert_eq!(&read["a"], &serde_json::from_str::<Value>(&single).unwrap());
            prop_assert_eq!(read["b\""].as_array().map(Vec::len), Some(list.len()));
            prop_assert_eq!(&read["c"], &Value::Null);
        }

        #[test]
        fn any_bytes_are_json_exactly_when_they_parse(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(is_json(&bytes), serde_json::from_slice::<Value>(&bytes).is_ok());
        }
    }
}
