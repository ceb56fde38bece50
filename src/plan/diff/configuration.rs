//! A configuration as the input of a comparison.

use crate::config::{Loaded, Node, ReferencedFiles};
use crate::plan::blueprint::Blueprint;

/// One of the two configurations.
#[derive(Clone, Copy, Debug)]
pub struct Configuration<'c> {
    /// The merged tree, with policies and interpolated values.
    pub root: &'c Node,
    pub blueprint: &'c Blueprint,
    /// The content of the files that settings reference.
    pub attached: &'c ReferencedFiles,
}

impl<'c> Configuration<'c> {
    /// A loaded configuration and its blueprint; `None` if it has no tree.
    pub fn new(loaded: &'c Loaded, blueprint: &'c Blueprint) -> Option<Configuration<'c>> {
        Some(Configuration { root: loaded.root.as_ref()?, blueprint, attached: &loaded.attached })
    }

    /// A section of the document.
    pub(super) fn section(&self, name: &str) -> Option<&'c Node> {
        self.root.get_ignore_case(name)
    }
}
