//! A value of the document and where it is written.

use crate::config::Span;

/// A value and where it was written; no origin: the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub origin: Option<Span>,
}

impl<T> Sourced<T> {
    /// `origin` is where the document sets the value; `None` for a default.
    pub fn new(value: T, origin: Option<Span>) -> Self {
        Sourced { value, origin }
    }
}
