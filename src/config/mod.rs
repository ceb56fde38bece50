//! Text → document and diagnostics: parse, merge, placeholders, policies, JSON Schema. Keys keep Ocelot's words here.
//!
//! The way of a configuration:
//! 1. [`load()`] (or [`load_texts`]) finds the files, parses each into a [`Node`] tree whose every key and value has a
//!    [`Span`], merges them, fills in placeholders and puts the policies under the routes: [`Loaded`].
//! 2. [`de::read`] reads `Loaded::root` into the documents of the floor above with `Loaded::options()`. It never stops at a
//!    mistake: a value that cannot be read becomes a default and its place is muted, so checks may go on and
//!    need not know.
//! 3. The checks of the floors above add to the same [`Diagnostics`], under a [`Code`] of the table in [`codes`];
//!    [`suggest`] finds what was meant.
//! 4. [`render::text`] or [`render::json`] shows all of it, sorted, with `Loaded::sources`.
//!
//! ```
//! use margay::config::{Environment, InMemoryFiles, de, render};
//! use margay::plan::document::{Document, load_texts};
//!
//! let files = [("gateway.json", r#"{ "Routes": [ { "Prioritty": 1 } ] }"#)];
//! let mut loaded = load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, Environment::of_process());
//! let options = loaded.options();
//! let root = loaded.root.as_ref().expect("sound JSON");
//! let document: Document = de::read(root, &mut loaded.diagnostics, options);
//! assert_eq!(document.routes.map(|routes| routes.value.len()), Some(1));
//! let said = render::text(&loaded.diagnostics, &loaded.sources, render::Style::default());
//! assert!(said.contains("did you mean \"Priority\"?"));
//! ```

pub mod referenced_files;
pub mod codes;
pub mod de;
pub mod diagnostics;
pub mod files;
pub mod load;
pub mod map;
pub mod merge;
pub mod node;
pub mod parse;
pub mod interpolation;
pub mod policies;
pub mod render;
pub mod schema;
pub mod source;
pub mod span;
pub mod remote_document;
pub mod suggest;
pub mod options;
pub mod ranges;
pub mod tolerated;
pub mod values;
pub mod vocabulary;

pub use diagnostics::{Code, Diagnostic, Diagnostics, Severity};
pub use interpolation::Environment;
pub use load::{InMemoryFiles, Loaded, Request, load, load_texts};
pub use map::SpannedMap;
pub use node::{Member, Node, Value};
pub use referenced_files::ReferencedFiles;
pub use remote_document::RemoteDocument;
pub use source::{LineColumn, Sources};
pub use span::{FileId, Span, Spanned};
pub use tolerated::{OcelotBehavior, OcelotTolerated};
pub use vocabulary::Vocabulary;
