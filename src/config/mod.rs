//! Text → document and diagnostics: parse, merge, placeholders, policies, JSON Schema. Keys keep Ocelot's words here.
//!
//! The way of a file: [`source::Sources`] keeps its text, [`parse::parse`] makes a [`node::Node`] tree whose every
//! key and value has a [`Span`], placeholders, merge and policies work on trees, and [`de::read`] reads a tree
//! into the serde types of the document. Nobody stops at the first mistake: all of them go to one [`Diagnostics`]
//! under a [`Code`] of the table in [`codes`].

pub mod codes;
pub mod de;
pub mod diagnostics;
pub mod document;
pub mod files;
pub mod load;
pub mod map;
pub mod merge;
pub mod node;
pub mod parse;
pub mod placeholders;
pub mod policies;
pub mod render;
pub mod source;
pub mod span;
pub mod suggest;

pub use diagnostics::{Code, Diagnostic, Diagnostics, Severity};
pub use load::{Loaded, Request, Texts, load, load_texts};
pub use map::Map;
pub use node::{Member, Node, Value};
pub use placeholders::Environment;
pub use source::{Place, Sources};
pub use span::{FileId, Span, Spanned};
