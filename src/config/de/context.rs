//! What all deserializers of one document share: options, diagnostics, and the error type.

use crate::config::codes;
use crate::config::diagnostics::{Code, Diagnostics};
use crate::config::node::Node;
use crate::config::span::Span;
use serde::de;
use std::cell::RefCell;
use std::fmt;

/// Deserializer options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Ocelot compatibility: unknown settings are warnings; a boolean read as a string is `True` or `False`.
    pub ocelot: bool,
}

/// State shared by all deserializers of one document.
pub(super) struct Context<'d> {
    pub(super) diagnostics: RefCell<&'d mut Diagnostics>,
    pub(super) options: Options,
}

impl<'d> Context<'d> {
    pub(super) fn new(diagnostics: &'d mut Diagnostics, options: Options) -> Self {
        Context { diagnostics: RefCell::new(diagnostics), options }
    }

    pub(super) fn error(&self, code: Code, span: Span, message: String, help: &[String]) {
        let mut list = self.diagnostics.borrow_mut();
        list.error(code, span, message).help.extend_from_slice(help);
    }

    pub(super) fn error_or_ocelot_warning(&self, code: Code, span: Span, message: String, help: &[String]) {
        let mut list = self.diagnostics.borrow_mut();
        list.error_or_ocelot_warning(self.options.ocelot, code, span, message).help.extend_from_slice(help);
    }

    pub(super) fn suppress(&self, span: Span) {
        self.diagnostics.borrow_mut().suppress(span);
    }
}

/// An error of a type's own `Deserialize`; errors of this deserializer are diagnostics.
#[derive(Debug)]
pub struct DeserializeError(pub(super) Option<String>);

impl DeserializeError {
    /// Reports the error at the node, once.
    pub(super) fn report(&self, context: &Context, node: &Node, key: Option<&str>) {
        let Some(text) = &self.0 else { return };
        let mut lines = text.lines();
        let error = lines.next().unwrap_or_default();
        let message = match key {
            _ if node.interpolated => {
                format!(
                    "the placeholder or environment variable of {} has a malformed value",
                    setting_name(key)
                )
            }
            Some(key) => format!("\"{key}\": {error}"),
            None => error.to_owned(),
        };
        let help: Vec<String> =
            if node.interpolated { Vec::new() } else { lines.map(str::to_owned).collect() };
        context.error(codes::BAD_TEXT, node.span, message, &help);
        context.suppress(node.span);
    }
}

impl fmt::Display for DeserializeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("reported"))
    }
}

impl std::error::Error for DeserializeError {}

impl de::Error for DeserializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DeserializeError(Some(message.to_string()))
    }
}

/// The name of a setting for messages.
pub(super) fn setting_name(key: Option<&str>) -> String {
    key.map_or_else(|| "value".to_owned(), |key| format!("\"{key}\""))
}
