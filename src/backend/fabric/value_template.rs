//! Names and keys of routes: texts with values of the request.

use crate::{base::percent::percent_decoded, pipeline::exchange::Exchange};
use std::borrow::Cow;

/// A text with values of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueTemplate(pub Box<[ValuePart]>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePart {
    Text(Box<str>),
    /// `{name}`: a placeholder of the route, by its index.
    Placeholder {
        name: Box<str>,
        index: Option<usize>,
    },
    /// `{header:NAME}`
    Header(Box<str>),
    /// `{query:NAME}`
    Query(Box<str>),
    /// `{claim:TYPE}`
    Claim(Box<str>),
}

impl ValueTemplate {
    /// Parses a text; `names` are those of the placeholders of the route. The error is the placeholder that is unknown, or
    /// what is wrong.
    pub fn parse(text: &str, names: &[Box<str>]) -> Result<ValueTemplate, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| "a brace is not closed".to_owned())? + open;
            if open > 0 {
                parts.push(ValuePart::Text(rest[..open].into()));
            }
            parts.push(ValuePart::parse(&rest[open + 1..close], names)?);
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(ValuePart::Text(rest.into()));
        }
        Ok(ValueTemplate(parts.into()))
    }

    /// The text if no part depends on the request.
    pub fn constant(&self) -> Option<&str> {
        match &self.0[..] {
            [ValuePart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for a request; the error is the part without a value.
    pub fn evaluate(&self, exchange: &Exchange) -> Result<Cow<'_, str>, &ValuePart> {
        if let Some(text) = self.constant() {
            return Ok(text.into());
        }
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(&part.value(exchange).filter(|value| !value.is_empty()).ok_or(part)?);
        }
        Ok(text.into())
    }
}

impl ValuePart {
    fn parse(text: &str, names: &[Box<str>]) -> Result<ValuePart, String> {
        match text.split_once(':') {
            Some(("header", name)) if !name.is_empty() => Ok(ValuePart::Header(name.into())),
            Some(("query", name)) if !name.is_empty() => Ok(ValuePart::Query(name.into())),
            Some(("claim", name)) if !name.is_empty() => Ok(ValuePart::Claim(name.into())),
            Some(_) => Err(format!("unknown placeholder {{{text}}}")),
            None => match names.iter().position(|name| **name == *text) {
                Some(index) => Ok(ValuePart::Placeholder { name: text.into(), index: Some(index) }),
                None => Err(format!("the route has no placeholder {{{text}}}")),
            },
        }
    }

    /// The placeholder as it is written.
    pub fn describe(&self) -> String {
        match self {
            ValuePart::Text(text) => text.to_string(),
            ValuePart::Placeholder { name, .. } => format!("{{{name}}}"),
            ValuePart::Header(name) => format!("{{header:{name}}}"),
            ValuePart::Query(name) => format!("{{query:{name}}}"),
            ValuePart::Claim(name) => format!("{{claim:{name}}}"),
        }
    }

    fn value<'e>(&'e self, exchange: &'e Exchange) -> Option<Cow<'e, str>> {
        match self {
            ValuePart::Text(text) => Some((&**text).into()),
            ValuePart::Placeholder { name, index } => {
                let params = &exchange.routing.path_params;
                let target = exchange.request.routed_target();
                let param = params.get_override(name).or_else(|| params.get((*index)?, target))?;
                let in_query = param.at.is_some_and(|at| at >= exchange.routing.path_len);
                decode(param.bytes, in_query)
            }
            ValuePart::Header(name) => {
                let value = exchange.request.get(name.as_bytes())?;
                std::str::from_utf8(value).ok().map(Cow::Borrowed)
            }
            ValuePart::Query(name) => query_value(exchange.request.routed_target(), name),
            ValuePart::Claim(name) => exchange.client.user.as_ref()?.claim_value(name).map(Cow::Borrowed),
        }
    }
}

fn decode(bytes: &[u8], in_query: bool) -> Option<Cow<'_, str>> {
    Some(match percent_decoded(bytes, in_query) {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    })
}

/// The value of the first parameter of that name.
fn query_value<'t>(target: &'t [u8], name: &str) -> Option<Cow<'t, str>> {
    let query = &target[memchr::memchr(b'?', target)? + 1..];
    query.split(|byte| *byte == b'&').find_map(|part| {
        let end = memchr::memchr(b'=', part).unwrap_or(part.len());
        let is_named = *percent_decoded(&part[..end], true) == *name.as_bytes();
        is_named.then(|| decode(part.get(end + 1..).unwrap_or_default(), true)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{exchange::Peer, head::Head, identity::Identity};
    use std::{sync::Arc, time::Instant};

    fn exchange() -> Exchange {
        let address = "127.0.0.1:1".parse().unwrap();
        let mut exchange = Exchange::new(Peer::new(address, address, false), 0, Instant::now());
        exchange.request = Head::request(b"GET", b"/users/eu%20w/x?region=a+b&empty=");
        exchange.request.append(b"X-Region", b"eu west");
        exchange.routing.path_len = 15;
        exchange.routing.path_params.push_range(7, 13);
        let mut user = Identity::new("jwt".into());
        user.add("tenant", "t1");
        exchange.client.user = Some(Arc::new(user));
        exchange
    }

    #[test]
    fn values_come_from_path_header_query_and_claim_and_are_decoded_once() {
        let names = ["id".into()];
        for (template, value) in [
            ("A/S", Some("A/S")),
            ("{id}", Some("eu w")),
            ("A/{header:x-region}", Some("A/eu west")),
            ("{query:region}-{claim:tenant}", Some("a b-t1")),
            ("{query:empty}", None),
            ("{query:other}", None),
            ("{header:X-Other}", None),
            ("{claim:other}", None),
        ] {
            let parsed = ValueTemplate::parse(template, &names).unwrap();
            assert_eq!(parsed.evaluate(&exchange()).ok().as_deref(), value, "{template}");
        }
    }

    #[test]
    fn unknown_placeholders_are_refused() {
        for text in ["{nope}", "{id", "{body:x}", "{header:}"] {
            assert!(ValueTemplate::parse(text, &["id".into()]).is_err(), "{text}");
        }
        assert_eq!(ValueTemplate::parse("A/S", &[]).unwrap().constant(), Some("A/S"));
    }
}
