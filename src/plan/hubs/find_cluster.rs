//! How named clusters are found.

use crate::config::{Diagnostics, Spanned};
use crate::plan::blueprint::cluster::ClusterBlueprint;
use std::sync::Arc;

/// Finds named clusters, and reports unknown ones.
pub type FindCluster<'f> = dyn Fn(&Spanned<String>, &mut Diagnostics) -> Option<Arc<ClusterBlueprint>> + 'f;
