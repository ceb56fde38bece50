//! A compiled expression is a tree of nodes.

use super::{functions::Function, member::Member, operators::Binary, value::Value};
use regex::Regex;
use std::sync::Arc;

/// A node of a compiled expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(Value),
    Slot(usize),
    Member(Member),
    Select(Box<Node>, Arc<str>),
    OptSelect(Box<Node>, Arc<str>),
    Has(Box<Node>, Arc<str>),
    Index(Box<Node>, Box<Node>),
    OptIndex(Box<Node>, Box<Node>),
    Call(&'static Function, Box<[Node]>),
    /// A function on regular expressions with a constant pattern.
    Pattern(&'static Function, Arc<Regex>, Box<[Node]>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    If(Box<[Node; 3]>),
    Coalesce(Box<[Node]>),
    List(Box<[(Node, bool)]>),
    Map(Box<[(Node, Node, bool)]>),
    Binary(Binary, Box<Node>, Box<Node>),
    Negate(Box<Node>),
    Bind(usize, Box<Node>, Box<Node>),
    Comprehension(Box<Comprehension>),
}

/// A loop over the items of a list or the keys of a map.
#[derive(Clone, Debug)]
pub(super) struct Comprehension {
    pub range: Node,
    pub item: usize,
    pub accumulator: usize,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    /// `map` and `filter`: the items of the result, with the condition of an item.
    Collect {
        condition: Option<Node>,
        item: Node,
    },
    Fold {
        start: Node,
        condition: Node,
        step: Node,
        result: Node,
    },
}
