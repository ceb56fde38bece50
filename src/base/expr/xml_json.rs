//! JSON documents as XML and back.

use super::{
    convert::to_text,
    timestamp::{format_rfc3339, parse_rfc3339},
    value::{Map, Value},
    xml::{Element, Node},
};
use std::sync::Arc;

/// How JSON becomes XML.
#[derive(Clone, Debug, Default)]
pub struct ToXml {
    /// Parts prefix and name in member names.
    pub separator: String,
    /// Members that begin with it are namespace declarations; empty: none are.
    pub prefix: String,
    /// The member whose members are attributes; empty: none.
    pub attributes: String,
    /// Times in texts are written as XML writes them.
    pub parses_dates: bool,
}

impl ToXml {
    /// The text of a value.
    fn text(&self, value: &Value) -> String {
        let text = text(value);
        match value {
            Value::Text(_) if self.parses_dates => xml_time(&text).unwrap_or(text),
            _ => text,
        }
    }
}

/// A time of a JSON text as XML writes it: `2024-05-01T10:00:00[.fraction][Z|+hh:mm]` without zeros at the end of the fraction,
/// and `/Date(milliseconds)/`. `None`: the text is no time.
fn xml_time(text: &str) -> Option<String> {
    if let Some(millis) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        let millis: i128 = millis.parse().ok()?;
        return is_in_calendar(millis).then(|| format_rfc3339(millis * 1_000_000));
    }
    let is_time = text.len() >= 19 && text.as_bytes()[10] == b'T' && parse_rfc3339(text).is_some();
    let (clock, fraction) =
        text.get(19..)?.strip_prefix('.').map(|rest| (text.get(..19), rest)).filter(|_| is_time)?;
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = fraction.split_at(digits);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{}{point}{fraction}{zone}", clock?))
}

/// Whether milliseconds since 1970 are in the years 1 to 9999.
fn is_in_calendar(millis: i128) -> bool {
    (-62_135_596_800_000..=253_402_300_799_999).contains(&millis)
}

/// The document of a value: one member is the root, anything else is in `Document`.
pub fn value_to_xml(value: &Value, options: &ToXml) -> Element {
    match value {
        Value::Map(map) if map.0.len() == 1 => {
            let (name, value) = &map.0[0];
            match value {
                Value::List(_) => wrapped("Document", value_elements(&key(name), value, options, &[])),
                value => element(&key(name), value, options, &[]),
            }
        }
        Value::Map(_) => element("Document", value, options, &[]),
        Value::List(_) => wrapped("Document", value_elements("item", value, options, &[])),
        value => element("Document", value, options, &[]),
    }
}

fn wrapped(name: &str, children: Vec<Element>) -> Element {
    let children = children.into_iter().map(|child| Node::Element(Arc::new(child))).collect();
    Element { name: name.to_owned(), attributes: Vec::new(), children }
}

fn key(name: &Value) -> String {
    text(name)
}

fn text(value: &Value) -> String {
    to_text(value).ok().flatten().map(|text| text.to_string()).unwrap_or_default()
}

/// The elements of a member: one, or one for each item.
fn value_elements(name: &str, value: &Value, options: &ToXml, declared: &[String]) -> Vec<Element> {
    match value {
        Value::List(items) => items.iter().map(|item| element(name, item, options, declared)).collect(),
        value => vec![element(name, value, options, declared)],
    }
}

fn element(name: &str, value: &Value, options: &ToXml, outer: &[String]) -> Element {
    let mut element = Element::default();
    let mut declared = outer.to_vec();
    match value {
        Value::Map(map) => {
            for (member, value) in &map.0 {
                if let Some(prefix) = declaration(&key(member), options) {
                    let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
                    element.attributes.push((name, text(value)));
                    declared.push(prefix);
                }
            }
            members(map, options, &declared, &mut element);
        }
        Value::List(_) => {
            let children = value_elements("item", value, options, &declared);
            element.children.extend(children.into_iter().map(|child| Node::Element(Arc::new(child))));
        }
        Value::Null => {}
        value => {
            let text = options.text(value);
            if !text.is_empty() {
                element.children.push(Node::Text(text));
            }
        }
    }
    element.name = qualified(name, options, &declared);
    element
}

fn members(map: &Map, options: &ToXml, declared: &[String], element: &mut Element) {
    for (member, value) in &map.0 {
        let member = key(member);
        if declaration(&member, options).is_some() {
            continue;
        }
        if let (true, Value::Map(block)) = (is_named(&member, &options.attributes), value) {
            let each = block
                .0
                .iter()
                .map(|(name, value)| (qualified(&key(name), options, declared), options.text(value)));
            element.attributes.extend(each);
        } else if let Some(name) = member.strip_prefix('@') {
            element.attributes.push((qualified(name, options, declared), options.text(value)));
        } else if member == "#text" {
            element.children.push(Node::Text(options.text(value)));
        } else {
            let children = value_elements(&member, value, options, declared);
            element.children.extend(children.into_iter().map(|child| Node::Element(Arc::new(child))));
        }
    }
}

fn is_named(member: &str, name: &str) -> bool {
    !name.is_empty() && member == name
}

/// The declared prefix of a member that is a namespace declaration; empty: the default namespace.
fn declaration(member: &str, options: &ToXml) -> Option<String> {
    if options.prefix.is_empty() {
        return None;
    }
    let rest = member.strip_prefix(options.prefix.as_str())?;
    if rest.is_empty() {
        return Some(String::new());
    }
    Some(rest.strip_prefix(options.separator.as_str())?.to_owned())
}

/// A member name as an XML name: with its prefix if that is declared, other characters escaped as `_xHHHH_`.
fn qualified(name: &str, options: &ToXml, declared: &[String]) -> String {
    if !options.separator.is_empty()
        && let Some((prefix, local)) = name.split_once(options.separator.as_str())
        && !prefix.is_empty()
        && declared.iter().any(|known| known == prefix)
    {
        return format!("{}:{}", escaped(prefix), escaped(local));
    }
    escaped(name)
}

fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (at, c) in name.chars().enumerate() {
        let is_start = c.is_alphabetic() || c == '_';
        let is_inner = is_start || c.is_numeric() || c == '-' || c == '.';
        if (at == 0 && is_start) || (at > 0 && is_inner) {
            text.push(c);
        } else {
            text.push_str(&format!("_x{:04X}_", u32::from(c)));
        }
    }
    if text.is_empty() { "_".to_owned() } else { text }
}

/// How XML becomes JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToJson {
    /// Attributes without `@`, text as `value`, no declarations.
    pub is_javascript_friendly: bool,
    /// Every child is a list.
    pub always_lists: bool,
    pub nil: NilElements,
}

/// What elements with `xsi:nil="true"` become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NilElements {
    /// Elements with an attribute.
    #[default]
    Elements,
    EmptyText,
    Null,
}

/// The map of a document: its root element is the only member.
pub fn xml_to_value(root: &Element, options: ToJson) -> Value {
    Value::Map(Arc::new(Map(vec![(Value::text(root.name.as_str()), element_value(root, options))])))
}

/// The value of an element with `xsi:nil="true"`.
fn nil_value(element: &Element, nil: NilElements) -> Option<Value> {
    let is_true = |value: &str| matches!(value.trim(), "true" | "1");
    let is_nil = element.attributes.iter().any(|(name, value)| name == "xsi:nil" && is_true(value));
    match nil {
        NilElements::EmptyText if is_nil => Some(Value::text("")),
        NilElements::Null if is_nil => Some(Value::Null),
        _ => None,
    }
}

fn element_value(element: &Element, options: ToJson) -> Value {
    if let Some(nil) = nil_value(element, options.nil) {
        return nil;
    }
    let mut map = Map::default();
    let children = element.elements().count();
    for (name, value) in &element.attributes {
        let is_declaration = name == "xmlns" || name.starts_with("xmlns:");
        match options.is_javascript_friendly {
            true if is_declaration || element.elements().any(|child| &child.name == name) => {}
            true => map.set(Value::text(name.as_str()), Value::text(value.as_str())),
            false => map.set(Value::text(format!("@{name}")), Value::text(value.as_str())),
        }
    }
    let own: String = element
        .children
        .iter()
        .filter_map(|child| match child {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        })
        .collect();
    let own = if children > 0 { own.trim() } else { own.as_str() };
    if children == 0 && map.0.is_empty() {
        return if own.is_empty() { Value::Null } else { Value::text(own) };
    }
    if !own.trim().is_empty() {
        let name = if options.is_javascript_friendly { "value" } else { "#text" };
        map.set(Value::text(name), Value::text(own));
    }
    add_children(element, options, &mut map);
    Value::Map(Arc::new(map))
}

/// Repeated siblings become lists.
fn add_children(element: &Element, options: ToJson, map: &mut Map) {
    for child in element.elements() {
        let key = Value::text(child.name.as_str());
        let value = element_value(child, options);
        let is_repeated =
            options.always_lists || element.elements().filter(|other| other.name == child.name).count() > 1;
        let value = match (is_repeated, map.lookup(&key)) {
            (false, _) => value,
            (true, Some(Value::List(items))) => Value::list(items.iter().cloned().chain([value])),
            (true, _) => Value::list([value]),
        };
        map.set(key, value);
    }
}
