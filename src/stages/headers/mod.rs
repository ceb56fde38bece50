//! `UpstreamHeaderTransform` and `DownstreamHeaderTransform`: header fields set, added, edited and removed on the way
//! to the service and back (spec section 18).
//!
//! The way back touches answers only, never the gateway's own errors.

mod text;

pub use text::{Piece, Text};

use crate::base::bytes::list;
use crate::pipeline::{
    answer::Outcome,
    exchange::Exchange,
    head::Head,
    stage::{Stage, Step},
};

pub const NAME: &str = "headers";

/// One header and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: Box<str>,
    pub action: Action,
}

/// What is done with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One line with this value, whatever there was; none if the value is not known.
    Set(Text),
    /// One more line.
    Append(Text),
    /// A line, where there is none.
    Default(Text),
    Replace {
        find: Text,
        with: Text,
        /// Ocelot's letter; none: in every line.
        first: Option<First>,
    },
    Remove,
}

/// Ocelot edits the first line and drops the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    AnyCase,
    /// The name is compared with regard to case.
    ExactName,
}

/// Headers of answers that .NET reads as lists of words.
const LISTS: [&[u8]; 3] = [b"Accept-Ranges", b"Pragma", b"Vary"];

/// What a route does with header fields; plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub request: Vec<Change>,
    pub response: Vec<Change>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// Applies the changes.
#[derive(Debug)]
pub struct Headers(Changes);

impl Headers {
    pub fn new(changes: Changes) -> Headers {
        Headers(changes)
    }
}

impl Stage for Headers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn request(&self, x: &mut Exchange) -> Step {
        let mut out = std::mem::take(&mut x.scratch);
        for change in &self.0.request {
            let written = change.write(x, &mut out);
            change.apply(&mut x.req, written, &mut out);
        }
        x.scratch = out;
        Step::Next
    }

    fn outcome(&self, x: &mut Exchange, outcome: &mut Outcome) {
        let Ok(answer) = outcome else { return };
        let mut out = std::mem::take(&mut x.scratch);
        for change in &self.0.response {
            let written = change.write(x, &mut out);
            change.apply(&mut answer.head, written, &mut out);
        }
        x.scratch = out;
    }

    fn describe(&self) -> String {
        let list = |changes: &[Change]| changes.iter().map(Change::describe).collect::<Vec<_>>().join(", ");
        match (list(&self.0.request), list(&self.0.response)) {
            (request, response) if response.is_empty() => format!("request: {request}"),
            (request, response) if request.is_empty() => format!("response: {response}"),
            (request, response) => format!("request: {request}; response: {response}"),
        }
    }
}

impl Change {
    /// Writes what the change says to `out`, twice for find and replace; says where the first text ends, or nothing if
    /// a placeholder has no value.
    fn write(&self, x: &Exchange, out: &mut Vec<u8>) -> Option<usize> {
        out.clear();
        match &self.action {
            Action::Remove => Some(0),
            Action::Set(text) | Action::Append(text) | Action::Default(text) => {
                text.write(x, out).then_some(out.len())
            }
            Action::Replace { find, with, .. } => {
                let split = find.write(x, out).then_some(out.len());
                split.filter(|_| with.write(x, out))
            }
        }
    }

    /// Changes the head with the texts in `out`.
    fn apply(&self, head: &mut Head, written: Option<usize>, out: &mut Vec<u8>) {
        let name = self.name.as_bytes();
        if let Action::Set(_) | Action::Remove = self.action {
            head.remove(name);
        }
        let Some(split) = written else { return };
        match &self.action {
            Action::Remove => {}
            Action::Default(_) if head.get(name).is_some() => {}
            Action::Set(_) | Action::Append(_) | Action::Default(_) => head.append(name, out),
            Action::Replace { first: None, .. } => {
                let end = out.len();
                head.edit(name, out, |value, out| put_replaced(value, split, end, out));
            }
            Action::Replace { first: Some(first), .. } => first.replace(head, name, split, out),
        }
    }

    fn describe(&self) -> String {
        let name = &self.name;
        match &self.action {
            Action::Set(text) => format!("{name} = {text}"),
            Action::Append(text) => format!("{name} += {text}"),
            Action::Default(text) => format!("{name} = {text} where absent"),
            Action::Replace { find, with, .. } => format!("{name}: {find} becomes {with}"),
            Action::Remove => format!("no {name}"),
        }
    }
}

impl First {
    /// .NET takes these headers of an answer apart, and Ocelot edits the first item.
    fn first_item<'v>(self, name: &[u8], value: &'v [u8]) -> &'v [u8] {
        let is_list = self == First::ExactName && LISTS.iter().any(|list| name.eq_ignore_ascii_case(list));
        list(value).next().filter(|_| is_list).unwrap_or(value)
    }

    /// The first line is the only one afterwards, edited or not.
    fn replace(self, head: &mut Head, name: &[u8], split: usize, out: &mut Vec<u8>) {
        let line = head.fields().find(|(_, n, _)| match self {
            First::AnyCase => n.eq_ignore_ascii_case(name),
            First::ExactName => *n == name,
        });
        let (Some((_, _, value)), end) = (line, out.len()) else { return };
        let value = self.first_item(name, value);
        if !put_replaced(value, split, end, out) {
            out.extend_from_slice(value);
        }
        head.set(name, &out[end..]);
    }
}

/// Appends `value` with every `out[..split]` in it replaced by `out[split..end]`; false, and nothing appended, if
/// there is none.
fn put_replaced(value: &[u8], split: usize, end: usize, out: &mut Vec<u8>) -> bool {
    let (mut rest, mut any) = (value, false);
    while let Some(at) = memchr::memmem::find(rest, &out[..split]).filter(|_| split > 0) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_within(split..end);
        rest = &rest[at + split..];
        any = true;
    }
    if any {
        out.extend_from_slice(rest);
    }
    any
}

#[cfg(test)]
mod tests;
