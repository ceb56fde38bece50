//! The document as it was written: a JSON tree whose every value and key knows its place.

use super::span::{Span, Spanned};

/// One value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    /// The text came out of a placeholder: messages do not repeat it, it may be a secret.
    pub interpolated: bool,
    pub value: Value,
}

/// What a node holds. Numbers stay text: only the reader knows which kind of number is wanted.
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
    pub fn new(span: Span, value: Value) -> Self {
        Node { span, interpolated: false, value }
    }

    /// An object without members.
    pub fn empty_object(span: Span) -> Self {
        Node::new(span, Value::Object(Vec::new()))
    }

    /// The members of an object in file order; none for anything else.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The members of an object, to change; turns nothing else into an object.
    pub fn members_mut(&mut self) -> Option<&mut Vec<Member>> {
        match &mut self.value {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The items of a list, to change.
    pub fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The member of that name, whatever its case, as .NET configuration finds it.
    pub fn member_ignore_case(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|m| m.key.value.eq_ignore_ascii_case(name))
    }

    /// The value of that name, whatever its case.
    pub fn get_ignore_case(&self, name: &str) -> Option<&Node> {
        self.member_ignore_case(name).map(|m| &m.value)
    }

    /// The value of that name, to change.
    pub fn get_mut_ignore_case(&mut self, name: &str) -> Option<&mut Node> {
        let members = self.members_mut()?;
        members.iter_mut().find(|m| m.key.value.eq_ignore_ascii_case(name)).map(|m| &mut m.value)
    }

    /// Takes a member out of an object.
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

    /// A boolean, also one written as text, as .NET binds it.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => text_as_bool(text),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// What kind of thing this is, as a message names it.
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

    /// The RFC 6901 pointer of the value or key at that place, else of the innermost value around it.
    /// Walks the tree: for messages, not for traffic.
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

fn enclosing(outer: Span, inner: Span) -> bool {
    outer.file == inner.file
        && outer.start <= inner.start
        && inner.end <= outer.end
        && inner.start < outer.end
}

/// `true` and `false` in any case, with blanks around, as .NET reads them.
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
