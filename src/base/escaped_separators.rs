//! The setting `PathWithEscapedSeparators`.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is done with `%2f`, `%5c`, `\` and `;` in a path (Envoy's `path_with_escaped_slashes_action`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum EscapedSeparators {
    /// A path in which one of them stands next to a dot segment is rejected.
    #[default]
    Reject,
    /// They become `/` before the route is matched, and dot segments are removed.
    Unescape,
    Keep,
}
