//! `UpstreamHeaderTransform` and `DownstreamHeaderTransform`: header fields set, added, edited and removed on the way
//! to the service and back (docs/ocelot-behavior.md, section 18).
//!
//! The way back touches answers only, never the gateway's own errors.

pub mod compile;
pub mod options;
mod template;

pub use template::{HeaderValueTemplate, Segment};

use crate::base::bytes::comma_list;
use crate::pipeline::{
    exchange::Exchange,
    head::Head,
    response::RouteResult,
    stage::{Stage, Step},
};

pub const NAME: &str = "header-transform";

/// One header and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEdit {
    pub name: Box<str>,
    pub action: Action,
}

/// What is done with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// One line with this value, whatever there was; none if the value is not known.
    Set(HeaderValueTemplate),
    /// One more line.
    Append(HeaderValueTemplate),
    /// A line, where there is none.
    Default(HeaderValueTemplate),
    Replace {
        pattern: HeaderValueTemplate,
        with: HeaderValueTemplate,
        /// Ocelot's letter; none: in every line.
        first: Option<OcelotFirstItem>,
    },
    Remove,
}

/// Ocelot edits the first line and drops the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcelotFirstItem {
    AnyCase,
    /// The name is compared with regard to case.
    ExactName,
}

/// Headers of answers that .NET reads as lists of words.
const LISTS: [&[u8]; 3] = [b"Accept-Ranges", b"Pragma", b"Vary"];

/// What a route does with header fields; plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    pub request: Vec<HeaderEdit>,
    pub response: Vec<HeaderEdit>,
}

impl HeaderEdits {
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

/// Applies the changes.
#[derive(Debug)]
pub struct Headers(HeaderEdits);

impl Headers {
    pub fn new(changes: HeaderEdits) -> Headers {
        Headers(changes)
    }
}

impl Stage for Headers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let mut out = std::mem::take(&mut exchange.scratch);
        for change in &self.0.request {
            let written = change.write(exchange, &mut out);
            change.apply(&mut exchange.request, written, &mut out);
        }
        exchange.scratch = out;
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let Ok(answer) = outcome else { return };
        let mut out = std::mem::take(&mut exchange.scratch);
        for change in &self.0.response {
            let written = change.write(exchange, &mut out);
            change.apply(&mut answer.head, written, &mut out);
        }
        exchange.scratch = out;
    }

    fn describe(&self) -> String {
        let list =
            |changes: &[HeaderEdit]| changes.iter().map(HeaderEdit::describe).collect::<Vec<_>>().join(", ");
        match (list(&self.0.request), list(&self.0.response)) {
            (request, response) if response.is_empty() => format!("request: {request}"),
            (request, response) if request.is_empty() => format!("response: {response}"),
            (request, response) => format!("request: {request}; response: {response}"),
        }
    }
}

impl HeaderEdit {
    /// Writes what the change says to `out`, twice for find and replace; says where the first text ends, or nothing if
    /// a placeholder has no value.
    fn write(&self, exchange: &Exchange, out: &mut Vec<u8>) -> Option<usize> {
        out.clear();
        match &self.action {
            Action::Remove => Some(0),
            Action::Set(text) | Action::Append(text) | Action::Default(text) => {
                text.write(exchange, out).then_some(out.len())
            }
            Action::Replace { pattern: find, with, .. } => {
                let split = find.write(exchange, out).then_some(out.len());
                split.filter(|_| with.write(exchange, out))
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
                head.edit(name, out, |value, out| push_replaced(value, split, end, out));
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
            Action::Replace { pattern: find, with, .. } => format!("{name}: {find} becomes {with}"),
            Action::Remove => format!("no {name}"),
        }
    }
}

impl OcelotFirstItem {
    /// .NET takes these headers of an answer apart, and Ocelot edits the first item.
    fn first_item<'v>(self, name: &[u8], value: &'v [u8]) -> &'v [u8] {
        let is_list =
            self == OcelotFirstItem::ExactName && LISTS.iter().any(|list| name.eq_ignore_ascii_case(list));
        comma_list(value).next().filter(|_| is_list).unwrap_or(value)
    }

    /// The first line is the only one afterwards, edited or not.
    fn replace(self, head: &mut Head, name: &[u8], split: usize, out: &mut Vec<u8>) {
        let line = head.fields().find(|(_, n, _)| match self {
            OcelotFirstItem::AnyCase => n.eq_ignore_ascii_case(name),
            OcelotFirstItem::ExactName => *n == name,
        });
        let (Some((_, _, value)), end) = (line, out.len()) else { return };
        let value = self.first_item(name, value);
        if !push_replaced(value, split, end, out) {
            out.extend_from_slice(value);
        }
        head.set(name, &out[end..]);
    }
}

/// Appends `value` with every `out[..split]` in it replaced by `out[split..end]`; false, and nothing appended, if
/// there is none.
fn push_replaced(value: &[u8], split: usize, end: usize, out: &mut Vec<u8>) -> bool {
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
