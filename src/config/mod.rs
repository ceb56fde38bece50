//! Configuration: JSON text to a typed document and diagnostics. Envoy calls this bootstrap and listener/route
//! configuration, nginx `nginx.conf`, YARP the `ReverseProxy` section. JSON names are Ocelot's.
//!
//! 1. [`load()`] (or [`load_texts`]) finds the files, parses each into a [`Node`] tree in which every key and value has
//!    a [`Span`], merges the files, interpolates placeholders and merges policies into the routes: [`Loaded`].
//! 2. [`de::read`] deserializes `Loaded::root` into the documents of `plan` with `Loaded::options()`. It does not stop at
//!    the first error: an unreadable value becomes a default, and later diagnostics about its span are suppressed.
//! 3. The checks of `plan` add to the same [`Diagnostics`], with a [`Code`] of the table in [`codes`]; [`suggest`] finds
//!    the closest known name.
//! 4. [`render::text`] or [`render::json`] prints all of them, sorted, with `Loaded::sources`.
//!
//! Called by `control` (start, reload) and `cli` (check, explain). Owns nothing that outlives a reload: every reload
//! loads all files again.
//!
//! ```
//! use margay::config::{Environment, InMemoryFiles, de, render};
//! use margay::plan::document::{Document, load_texts};
//!
//! let files = [("gateway.json", r#"{ "Routes": [ { "Prioritty": 1 } ] }"#)];
//! let mut loaded = load_texts(&InMemoryFiles { files: &files, ..InMemoryFiles::default() }, Environment::of_process());
//! let options = loaded.options();
//! let root = loaded.root.as_ref().expect("valid JSON");
//! let document: Document = de::read(root, &mut loaded.diagnostics, options);
//! assert_eq!(document.routes.map(|routes| routes.value.len()), Some(1));
//! let text = render::text(&loaded.diagnostics, &loaded.sources, render::Style::default());
//! assert!(text.contains("did you mean \"Priority\"?"));
//! ```

pub mod referenced_files;
pub mod codes;
pub mod de;
pub mod diagnostics;
pub mod dotnet;
pub mod encoding;
pub mod file_set;
pub mod files;
pub mod ids;
pub mod load;
pub mod loaded;
pub mod map;
pub mod merge;
pub mod node;
pub mod parse;
pub mod interpolation;
pub mod policies;
pub mod render;
pub mod schema;
pub mod snapshot;
pub mod source;
pub mod stored_entities;
pub mod span;
pub mod remote_document;
pub mod suggest;
pub mod options;
mod overlay;
pub mod ranges;
pub mod tolerated;
pub mod values;
pub mod vocabulary;

pub use diagnostics::{Code, Diagnostic, Diagnostics, Severity};
pub use dotnet::DotnetEnvironment;
pub use interpolation::Environment;
pub use load::{InMemoryFiles, Request, load, load_texts};
pub use loaded::Loaded;
pub use map::SpannedMap;
pub use node::{Member, Node, Value};
pub use referenced_files::ReferencedFiles;
pub use remote_document::RemoteDocument;
pub use snapshot::Snapshot;
pub use source::{LineColumn, Sources};
pub use span::{FileId, Span, Spanned};
pub use stored_entities::StoredEntities;
pub use tolerated::{OcelotBehavior, OcelotTolerated};
pub use vocabulary::Vocabulary;
