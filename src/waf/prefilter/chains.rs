//! The tree of transformation chains: each value is transformed at most once for each edge.

use crate::waf::transform::Transform;

/// A position in the tree; 0 is the value without transformations.
pub type ChainNode = u16;

/// The tree of all chains.
#[derive(Debug)]
pub struct ChainTree {
    /// The edge to each node: its parent and the transformation.
    edges: Vec<(ChainNode, Transform)>,
}

impl Default for ChainTree {
    fn default() -> Self {
        Self { edges: vec![(0, Transform::Lowercase)] }
    }
}

impl ChainTree {
    /// The nodes of a chain, the value without transformations first.
    pub fn add(&mut self, chain: &[Transform]) -> Vec<ChainNode> {
        let mut nodes = vec![0];
        let mut parent = 0;
        for transform in chain {
            let edge = (parent, *transform);
            let known = self.edges.iter().skip(1).position(|known| *known == edge).map(|at| at + 1);
            let node = known.unwrap_or_else(|| {
                self.edges.push(edge);
                self.edges.len() - 1
            });
            parent = node as ChainNode;
            nodes.push(parent);
        }
        nodes
    }

    /// The edge to a node other than the root.
    pub fn edge(&self, node: ChainNode) -> (ChainNode, Transform) {
        self.edges[usize::from(node)]
    }

    /// The number of nodes.
    pub fn node_count(&self) -> usize {
        self.edges.len()
    }
}
