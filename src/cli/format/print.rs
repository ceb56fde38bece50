//! Prints a tree.

use super::tree::{FormatComment, FormatElement, FormatList, FormatRoot, FormatValue};

/// Lists and objects that fit into a line of this width are on one line.
const MAX_WIDTH: usize = 120;

/// The text of a file.
pub fn print(root: &FormatRoot) -> String {
    let mut printer = Printer { text: String::new(), indent: 0 };
    printer.comments(&root.before);
    printer.value(&root.value, 1);
    printer.text.push('\n');
    printer.comments(&root.after);
    printer.text
}

struct Printer {
    text: String,
    indent: usize,
}

impl Printer {
    fn start_line(&mut self) {
        self.text.extend(std::iter::repeat_n(' ', 2 * self.indent));
    }

    fn comments(&mut self, comments: &[FormatComment]) {
        for (at, comment) in comments.iter().enumerate() {
            if comment.has_blank_line && (at > 0 || self.is_inside_list()) {
                self.blank_line();
            }
            self.start_line();
            self.text.push_str(&comment.text);
            self.text.push('\n');
        }
    }

    /// Whether the last line is that of an element or a comment, not of an opening bracket.
    fn is_inside_list(&self) -> bool {
        self.text.ends_with('\n') && !self.text.ends_with("{\n") && !self.text.ends_with("[\n")
    }

    fn blank_line(&mut self) {
        if self.is_inside_list() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A value at the end of the current line; `reserved` characters follow it there.
    fn value(&mut self, value: &FormatValue, reserved: usize) {
        let line = self.text.rsplit('\n').next().unwrap_or_default();
        let room = MAX_WIDTH.saturating_sub(line.chars().count() + reserved);
        match value {
            FormatValue::Scalar(text) => self.text.push_str(text),
            FormatValue::List(list) => match flat(value, room) {
                Some(text) => self.text.push_str(&text),
                None => self.list(list),
            },
        }
    }

    fn list(&mut self, list: &FormatList) {
        self.text.push(if list.is_object { '{' } else { '[' });
        self.text.push('\n');
        self.indent += 1;
        for (at, element) in list.elements.iter().enumerate() {
            self.element(element, at + 1 == list.elements.len());
        }
        self.comments(&list.comments);
        self.indent -= 1;
        self.start_line();
        self.text.push(if list.is_object { '}' } else { ']' });
    }

    fn element(&mut self, element: &FormatElement, is_last: bool) {
        if element.has_blank_line {
            self.blank_line();
        }
        self.comments(&element.comments);
        self.start_line();
        if let Some(key) = &element.key {
            self.text.push_str(key);
            self.text.push_str(": ");
        }
        self.value(&element.value, usize::from(!is_last));
        if !is_last {
            self.text.push(',');
        }
        if let Some(comment) = &element.trailing {
            self.text.push(' ');
            self.text.push_str(comment);
        }
        self.text.push('\n');
    }
}

/// A value on one line of at most `room` characters.
fn flat(value: &FormatValue, room: usize) -> Option<String> {
    let list = match value {
        FormatValue::Scalar(text) => return (text.chars().count() <= room).then(|| text.clone()),
        FormatValue::List(list) => list,
    };
    if list.is_expanded || !list.comments.is_empty() {
        return None;
    }
    let [open, close] = match (list.is_object, list.elements.is_empty()) {
        (true, true) => return Some("{}".to_owned()),
        (true, false) => ["{ ", " }"],
        (false, _) => ["[", "]"],
    };
    let mut text = open.to_owned();
    for (at, element) in list.elements.iter().enumerate() {
        if !element.comments.is_empty() || element.trailing.is_some() {
            return None;
        }
        text.push_str(if at > 0 { ", " } else { "" });
        if let Some(key) = &element.key {
            text.push_str(key);
            text.push_str(": ");
        }
        text.push_str(&flat(&element.value, room.checked_sub(text.chars().count())?)?);
    }
    text.push_str(close);
    (text.chars().count() <= room).then_some(text)
}
