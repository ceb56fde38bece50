//! The document as written: a JSON tree in which every value and key has its span.

use super::span::{Span, Spanned};

/// One value with its span.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    /// The text is from a placeholder or an environment variable: messages do not contain it, because it may be a secret.
    pub interpolated: bool,
    pub value: Value,
}

/// The value of a node. Numbers are kept as text: the type of number depends on the setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Box<str>),
    String(Box<str>),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// One key of an object with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub key: Spanned<Box<str>>,
    pub value: Node,
}

impl Node {
    /// Whether both contain the same, wherever they were written.
    pub fn has_same_content(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Array(items), Value::Array(others)) => {
                items.len() == others.len()
                    && items.iter().zip(others).all(|(item, other)| item.has_same_content(other))
            }
            (Value::Object(members), Value::Object(others)) => {
                let is_same = |(member, other): (&Member, &Member)| {
                    member.key.value == other.key.value && member.value.has_same_content(&other.value)
                };
                members.len() == others.len() && members.iter().zip(others).all(is_same)
            }
            (value, other) => value == other,
        }
    }

    /// A value at `span`, without interpolated placeholders.
    pub fn new(span: Span, value: Value) -> Self {
        Node { span, interpolated: false, value }
    }

    /// An object without members.
    pub fn empty_object(span: Span) -> Self {
        Node::new(span, Value::Object(Vec::new()))
    }

    /// The members of an object in file order; empty for other values.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The members of an object, mutable; `None` for other values.
    pub fn members_mut(&mut self) -> Option<&mut Vec<Member>> {
        match &mut self.value {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items of a list; empty for other values.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The items of a list, mutable.
    pub fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The member with a name, case-insensitive, as in .NET configuration.
    pub fn member_ignore_case(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|m| m.key.value.eq_ignore_ascii_case(name))
    }

    /// The value of a member, case-insensitive.
    pub fn get_ignore_case(&self, name: &str) -> Option<&Node> {
        self.member_ignore_case(name).map(|m| &m.value)
    }

    /// The value of a member, case-insensitive, mutable.
    pub fn get_mut_ignore_case(&mut self, name: &str) -> Option<&mut Node> {
        let members = self.members_mut()?;
        members.iter_mut().find(|m| m.key.value.eq_ignore_ascii_case(name)).map(|m| &mut m.value)
    }

    /// Removes a member from an object, case-insensitive.
    pub fn remove_ignore_case(&mut self, name: &str) -> Option<Member> {
        let members = self.members_mut()?;
        let at = members.iter().position(|m| m.key.value.eq_ignore_ascii_case(name))?;
        Some(members.remove(at))
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A boolean, also one written as a string, as .NET binds it.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => text_as_bool(text),
            _ => None,
        }
    }

    /// Whether the document contains `null`, which is the same as an absent setting.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The type of the value, for messages.
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// Takes all texts literally: placeholders in them have no meaning.
    pub fn mark_literal(&mut self) {
        match &mut self.value {
            Value::String(_) => self.interpolated = true,
            Value::Array(items) => items.iter_mut().for_each(Node::mark_literal),
            Value::Object(members) => members.iter_mut().for_each(|member| member.value.mark_literal()),
            _ => {}
        }
    }

    /// The value as JSON text, without spaces and comments; numbers as they are written.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    fn write_json(&self, text: &mut String) {
        match &self.value {
            Value::Null => text.push_str("null"),
            Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Value::Number(digits) => text.push_str(digits),
            Value::String(value) => text.push_str(&json_string(value)),
            Value::Array(items) => {
                text.push('[');
                for (at, item) in items.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    item.write_json(text);
                }
                text.push(']');
            }
            Value::Object(members) => {
                text.push('{');
                for (at, member) in members.iter().enumerate() {
                    text.push_str(if at == 0 { "" } else { "," });
                    text.push_str(&json_string(&member.key.value));
                    text.push(':');
                    member.value.write_json(text);
                }
                text.push('}');
            }
        }
    }

    /// The JSON pointer (RFC 6901) of the value or key at a span, else of the innermost enclosing value.
    /// Walks the tree: for messages only.
    pub fn pointer_of(&self, span: Span) -> String {
        let mut pointer = String::new();
        let mut here = self;
        while let Some((step, next)) = here.enclosing_child(span) {
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
            here = next;
        }
        pointer
    }

    fn enclosing_child(&self, span: Span) -> Option<(String, &Node)> {
        match &self.value {
            Value::Array(items) => {
                let at = items.iter().position(|item| enclosing(item.span, span))?;
                Some((at.to_string(), &items[at]))
            }
            Value::Object(members) => {
                let hit =
                    members.iter().find(|m| enclosing(m.key.span, span) || enclosing(m.value.span, span))?;
                Some((hit.key.value.to_string(), &hit.value))
            }
            _ => None,
        }
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn enclosing(outer: Span, inner: Span) -> bool {
    outer.file == inner.file
        && outer.start <= inner.start
        && inner.end <= outer.end
        && inner.start < outer.end
}

/// `true` and `false`, case-insensitive, with surrounding whitespace, as .NET parses them.
pub fn text_as_bool(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
