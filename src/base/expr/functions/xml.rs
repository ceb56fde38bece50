//! XML documents.

use super::{
    super::{
        convert::type_name,
        error::EvalError,
        value::Value,
        xml,
        xml_json::{ToJson, xml_to_value},
    },
    function::{Function, free, member, text_of},
};
use std::sync::Arc;

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("xml.parse", 1, 1, |machine, a| {
        let text = text_of("xml.parse", &a[0])?;
        machine.spend(text.len() / 256)?;
        xml::parse(text).map(Value::Xml).map_err(EvalError::new)
    }),
    member("text", 1, 1, |_, a| Ok(Value::text_or_null(texts(a)?.into_iter().next()))),
    member("texts", 1, 1, |_, a| Ok(Value::list(texts(a)?.into_iter().map(Value::text)))),
    member("count", 1, 1, |_, a| Ok(Value::Int(texts(a)?.len() as i64))),
    member("toJson", 0, 0, |_, a| Ok(xml_to_value(document(&a[0])?, ToJson::default()))),
];

fn document(value: &Value) -> Result<&Arc<xml::Element>, EvalError> {
    match value {
        Value::Xml(element) => Ok(element),
        other => Err(EvalError::new(format!("expected an XML document, found {}", type_name(other)))),
    }
}

fn texts(a: &[Value]) -> Result<Vec<String>, EvalError> {
    xml::find(document(&a[0])?, text_of("the path", &a[1])?).map_err(EvalError::new)
}
