//! Text → document and diagnostics: parse, merge, placeholders, policies, JSON Schema. Keys keep Ocelot's words here.

pub mod diagnostics;
pub mod document;
pub mod map;
pub mod span;

pub use diagnostics::{Code, Diagnostic, Diagnostics, Severity};
pub use map::Map;
pub use span::{FileId, Span, Spanned};
