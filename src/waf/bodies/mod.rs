//! Parsers of bodies: strict about the grammar, iterative, and bounded; what was read before an error is inspected.

pub mod boundary;
pub mod disposition;
pub mod json;
pub mod multipart;
pub mod reader;
pub mod xml;

#[cfg(test)]
mod tests;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// The body ends too early, which is no error of a body that is cut at the limit.
    Incomplete,
    /// The body violates its grammar.
    Invalid(&'static str),
}
