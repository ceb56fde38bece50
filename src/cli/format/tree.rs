//! Lists and objects with their comments.

use super::tokens::{FormatToken, TokenKind};
use serde_json::Value;

/// Deeper values are not formatted.
const MAX_DEPTH: usize = 128;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatValue {
    Scalar(String),
    List(FormatList),
}

/// A list or an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormatList {
    pub is_object: bool,
    pub elements: Vec<FormatElement>,
    /// Comments behind the last element.
    pub comments: Vec<FormatComment>,
    /// It stays on several lines even if it fits into one.
    pub is_expanded: bool,
}

/// A comment on separate lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatComment {
    pub text: String,
    pub has_blank_line: bool,
}

/// An item or a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatElement {
    pub comments: Vec<FormatComment>,
    /// A blank line in front of it or of its comments.
    pub has_blank_line: bool,
    /// The key as written.
    pub key: Option<String>,
    pub value: FormatValue,
    /// A comment on the same line.
    pub trailing: Option<String>,
}

/// The file: one value between comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatRoot {
    pub before: Vec<FormatComment>,
    pub value: FormatValue,
    pub after: Vec<FormatComment>,
}

/// The tree of tokens; `None` if they are no single value.
pub fn parse(tokens: &[FormatToken]) -> Option<FormatRoot> {
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let before = parser.comments();
    let value = parser.value()?;
    let after = parser.comments();
    (parser.at == tokens.len()).then_some(FormatRoot { before, value, after })
}

struct Parser<'t> {
    tokens: &'t [FormatToken<'t>],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&FormatToken<'_>> {
        self.tokens.get(self.at)
    }

    fn is_comment(&self) -> bool {
        self.peek().is_some_and(|t| matches!(t.kind, TokenKind::LineComment | TokenKind::BlockComment))
    }

    fn comments(&mut self) -> Vec<FormatComment> {
        let mut comments = Vec::new();
        while self.is_comment() {
            let token = self.tokens[self.at];
            comments.push(FormatComment {
                text: token.text.trim_end().to_owned(),
                has_blank_line: token.line_breaks > 1,
            });
            self.at += 1;
        }
        comments
    }

    fn value(&mut self) -> Option<FormatValue> {
        let token = *self.tokens.get(self.at)?;
        self.at += 1;
        match token.kind {
            TokenKind::Scalar => Some(FormatValue::Scalar(token.text.to_owned())),
            TokenKind::Open if self.depth < MAX_DEPTH => {
                self.depth += 1;
                let list = self.list(token.text == "{");
                self.depth -= 1;
                list.map(FormatValue::List)
            }
            _ => None,
        }
    }

    fn list(&mut self, is_object: bool) -> Option<FormatList> {
        let is_expanded =
            is_object && self.peek().is_some_and(|t| t.line_breaks > 0 && t.kind != TokenKind::Close);
        let mut list = FormatList { is_object, is_expanded, ..FormatList::default() };
        loop {
            self.trailing_comment(&mut list);
            let comments = self.comments();
            let token = *self.tokens.get(self.at)?;
            match token.kind {
                TokenKind::Close => {
                    self.at += 1;
                    list.comments = comments;
                    list.is_expanded |= list.has_comments();
                    return (token.text == if is_object { "}" } else { "]" }).then_some(list);
                }
                TokenKind::Comma => {
                    self.at += 1;
                    // A comment between a value and its comma stays with the value.
                    list.keep_comments(comments);
                }
                _ => {
                    let element = self.element(is_object, comments, token.line_breaks > 1)?;
                    list.elements.push(element);
                }
            }
        }
    }

    /// A comment on the line of the last element, in front of its comma or behind it.
    fn trailing_comment(&mut self, list: &mut FormatList) {
        let Some(last) = list.elements.last_mut().filter(|last| last.trailing.is_none()) else { return };
        let at = self.at + usize::from(self.peek().is_some_and(|t| t.kind == TokenKind::Comma));
        let Some(token) = self.tokens.get(at).filter(|t| t.line_breaks == 0) else { return };
        if token.kind == TokenKind::LineComment {
            last.trailing = Some(token.text.trim_end().to_owned());
            self.at = at + 1;
        }
    }

    fn element(
        &mut self,
        is_object: bool,
        mut comments: Vec<FormatComment>,
        has_blank_line: bool,
    ) -> Option<FormatElement> {
        let mut key = None;
        let has_blank_line = comments.first().map_or(has_blank_line, |first| first.has_blank_line);
        if is_object {
            key = Some(self.tokens.get(self.at).filter(|t| t.kind == TokenKind::Scalar)?.text.to_owned());
            self.at += 1;
            comments.extend(self.comments());
            self.tokens.get(self.at).filter(|t| t.kind == TokenKind::Colon)?;
            self.at += 1;
            comments.extend(self.comments());
        }
        let value = self.value()?;
        Some(FormatElement { comments, has_blank_line, key, value, trailing: None })
    }
}

impl FormatList {
    /// Whether a comment requires several lines.
    fn has_comments(&self) -> bool {
        !self.comments.is_empty()
            || self.elements.iter().any(|element| !element.comments.is_empty() || element.trailing.is_some())
    }

    fn keep_comments(&mut self, comments: Vec<FormatComment>) {
        match self.elements.last_mut() {
            Some(last) => last.comments.extend(comments),
            None => self.comments.extend(comments),
        }
    }
}

/// The comment behind a value, by its JSON pointer.
pub type Annotation<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The tree of a value, with objects down to `depth` on several lines.
pub fn from_value(value: &Value, depth: usize, annotation: Annotation) -> FormatRoot {
    let value = Converter { annotation }.convert(value, depth, "");
    FormatRoot { before: Vec::new(), value, after: Vec::new() }
}

struct Converter<'a> {
    annotation: Annotation<'a>,
}

impl Converter<'_> {
    fn convert(&self, value: &Value, depth: usize, pointer: &str) -> FormatValue {
        match value {
            Value::Array(items) => {
                let item = |(at, item)| {
                    self.element(None, item, depth, &format!("{pointer}/{at}"), !is_scalar(item))
                };
                FormatValue::List(FormatList {
                    elements: items.iter().enumerate().map(item).collect(),
                    ..FormatList::default()
                })
            }
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| {
                    let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                    self.element(Some(key), value, depth, &pointer, true)
                };
                FormatValue::List(FormatList {
                    is_object: true,
                    elements: members.iter().map(member).collect(),
                    is_expanded: depth > 0 && !members.is_empty(),
                    ..FormatList::default()
                })
            }
            scalar => FormatValue::Scalar(scalar.to_string()),
        }
    }

    /// An item or a member. A list of scalars has one comment, that of its first item.
    fn element(
        &self,
        key: Option<&String>,
        value: &Value,
        depth: usize,
        pointer: &str,
        is_annotated: bool,
    ) -> FormatElement {
        let annotation = match value {
            Value::Array(items) if items.is_empty() => (self.annotation)(pointer),
            Value::Array(items) if items.iter().all(is_scalar) => {
                (self.annotation)(pointer).or_else(|| (self.annotation)(&format!("{pointer}/0")))
            }
            Value::Array(_) | Value::Object(_) => None,
            _ => (self.annotation)(pointer),
        };
        FormatElement {
            comments: Vec::new(),
            has_blank_line: false,
            key: key.map(|key| Value::from(key.as_str()).to_string()),
            value: self.convert(value, depth.saturating_sub(1), pointer),
            trailing: annotation.filter(|_| is_annotated).map(|text| format!("// {text}")),
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}
