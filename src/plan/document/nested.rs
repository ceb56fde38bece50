//! Objects within option objects.

use crate::config::options::IsBlank;
use crate::config::values::{Setting, StringList};
use schemars::JsonSchema;
use serde::Deserialize;

/// A static response.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct StaticResponseDocument {
    /// The status, 200 to 599. Default: 503.
    pub status: Setting<i32>,
    /// Header name → value. Default: `Content-Type: text/plain; charset=utf-8` if there is a body.
    pub headers: StringList,
    /// The body. Default: none.
    pub body: Setting<String>,
}

impl IsBlank for StaticResponseDocument {}
