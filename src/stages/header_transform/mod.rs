//! `UpstreamHeaderTransform` and `DownstreamHeaderTransform`: sets, appends, edits and removes header fields of
//! requests and responses (docs/ocelot-behavior.md, section 18).
//!
//! - Elsewhere: Envoy's `request_headers_to_add` and `header_mutation`, nginx's `proxy_set_header` and `add_header`,
//!   YARP transforms.
//! - Entry point: [`Headers`], the stage. It changes requests and responses of the backend, never the gateway's own
//!   errors.
//! - Callers: `plan::compile` compiles [`HeaderEdits`], `plan::build` makes the stage.
//! - Owns: the compiled edits and templates. Nothing outlives a reload.

pub mod compile;
pub mod options;
mod template;

pub use template::{HeaderValueTemplate, Segment};

use super::feature::ConfiguredStage;
use crate::base::bytes::comma_list;
use crate::pipeline::{
    exchange::Exchange,
    head::Head,
    response::RouteResult,
    stage::{Stage, Step},
};

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "header-transform";

/// An edit of one header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderEdit {
    pub name: Box<str>,
    pub action: Action,
}

/// The action of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replaces all lines with one line; removes them if the value is unknown.
    Set(HeaderValueTemplate),
    /// Adds a line.
    Append(HeaderValueTemplate),
    /// Adds a line if the header is absent.
    Default(HeaderValueTemplate),
    Replace {
        pattern: HeaderValueTemplate,
        with: HeaderValueTemplate,
        /// As Ocelot, in the first item only; `None`: in every line.
        first: Option<OcelotFirstItem>,
    },
    Remove,
}

/// Ocelot edits the first line and drops the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcelotFirstItem {
    AnyCase,
    /// The name is case-sensitive.
    ExactName,
}

/// Response headers that .NET parses as lists.
const DOTNET_LIST_HEADERS: [&[u8]; 3] = [b"Accept-Ranges", b"Pragma", b"Vary"];

/// The header edits of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    pub request: Vec<HeaderEdit>,
    pub response: Vec<HeaderEdit>,
}

/// The stage.
#[derive(Clone, Debug)]
pub struct Headers(pub HeaderEdits);

impl Headers {
    /// The stage of these edits; none if there are no edits.
    pub fn of(edits: HeaderEdits) -> Option<Headers> {
        (!edits.request.is_empty() || !edits.response.is_empty()).then_some(Headers(edits))
    }
}

impl ConfiguredStage for Headers {}

impl Stage for Headers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        let mut scratch = std::mem::take(&mut exchange.scratch);
        for edit in &self.0.request {
            let split = edit.write(exchange, &mut scratch);
            edit.apply(&mut exchange.request, split, &mut scratch);
        }
        exchange.scratch = scratch;
        Step::Next
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        let Ok(response) = outcome else { return };
        let mut scratch = std::mem::take(&mut exchange.scratch);
        for edit in &self.0.response {
            let split = edit.write(exchange, &mut scratch);
            edit.apply(&mut response.head, split, &mut scratch);
        }
        exchange.scratch = scratch;
    }

    fn describe(&self) -> String {
        let list =
            |edits: &[HeaderEdit]| edits.iter().map(HeaderEdit::describe).collect::<Vec<_>>().join(", ");
        match (list(&self.0.request), list(&self.0.response)) {
            (request, response) if response.is_empty() => format!("request: {request}"),
            (request, response) if request.is_empty() => format!("response: {response}"),
            (request, response) => format!("request: {request}; response: {response}"),
        }
    }
}

impl HeaderEdit {
    /// Writes the value to `scratch`; for a replacement, pattern and value. Returns the end of the first text, or `None` if
    /// a placeholder has no value.
    fn write(&self, exchange: &Exchange, scratch: &mut Vec<u8>) -> Option<usize> {
        scratch.clear();
        match &self.action {
            Action::Remove => Some(0),
            Action::Set(text) | Action::Append(text) | Action::Default(text) => {
                text.write(exchange, scratch).then_some(scratch.len())
            }
            Action::Replace { pattern: find, with, .. } => {
                let split = find.write(exchange, scratch).then_some(scratch.len());
                split.filter(|_| with.write(exchange, scratch))
            }
        }
    }

    /// Applies the edit with the texts in `scratch`.
    fn apply(&self, head: &mut Head, split: Option<usize>, scratch: &mut Vec<u8>) {
        let name = self.name.as_bytes();
        if let Action::Set(_) | Action::Remove = self.action {
            head.remove(name);
        }
        let Some(split) = split else { return };
        match &self.action {
            Action::Remove => {}
            Action::Default(_) if head.get(name).is_some() => {}
            Action::Set(_) | Action::Append(_) | Action::Default(_) => head.append(name, scratch),
            Action::Replace { first: None, .. } => {
                let end = scratch.len();
                head.edit(name, scratch, |value, scratch| push_replaced(value, split, end, scratch));
            }
            Action::Replace { first: Some(first), .. } => first.replace(head, name, split, scratch),
        }
    }

    fn describe(&self) -> String {
        let name = &self.name;
        match &self.action {
            Action::Set(text) => format!("{name} = {text}"),
            Action::Append(text) => format!("{name} += {text}"),
            Action::Default(text) => format!("{name} = {text} where absent"),
            Action::Replace { pattern: find, with, .. } => format!("{name}: {find} becomes {with}"),
            Action::Remove => format!("removes {name}"),
        }
    }
}

impl OcelotFirstItem {
    /// The first item: .NET splits some response headers, and Ocelot edits only the first item.
    fn first_item<'v>(self, name: &[u8], value: &'v [u8]) -> &'v [u8] {
        let is_list = self == OcelotFirstItem::ExactName
            && DOTNET_LIST_HEADERS.iter().any(|list| name.eq_ignore_ascii_case(list));
        comma_list(value).next().filter(|_| is_list).unwrap_or(value)
    }

    /// Only the first line is kept, edited or not.
    fn replace(self, head: &mut Head, name: &[u8], split: usize, scratch: &mut Vec<u8>) {
        let line = head.fields().find(|(_, n, _)| match self {
            OcelotFirstItem::AnyCase => n.eq_ignore_ascii_case(name),
            OcelotFirstItem::ExactName => *n == name,
        });
        let (Some((_, _, value)), end) = (line, scratch.len()) else { return };
        let value = self.first_item(name, value);
        if !push_replaced(value, split, end, scratch) {
            scratch.extend_from_slice(value);
        }
        head.set(name, &scratch[end..]);
    }
}

/// Appends `value` with every `scratch[..split]` replaced by `scratch[split..end]`; returns false and appends nothing if
/// there is no match.
fn push_replaced(value: &[u8], split: usize, end: usize, scratch: &mut Vec<u8>) -> bool {
    let (mut rest, mut replaced) = (value, false);
    while let Some(at) = memchr::memmem::find(rest, &scratch[..split]).filter(|_| split > 0) {
        scratch.extend_from_slice(&rest[..at]);
        scratch.extend_from_within(split..end);
        rest = &rest[at + split..];
        replaced = true;
    }
    if replaced {
        scratch.extend_from_slice(rest);
    }
    replaced
}

#[cfg(test)]
mod tests;
