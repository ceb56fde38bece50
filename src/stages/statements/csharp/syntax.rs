//! The syntax tree.

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Text(String),
    Number(String),
    Bool(bool),
    Null,
    Interpolated(Vec<TextPart>),
    Name(String),
    /// Operand, name, and whether it is null-conditional.
    Member(Box<Expr>, String, bool),
    Index(Box<Expr>, Box<Expr>, bool),
    Call {
        callee: Box<Expr>,
        generics: Vec<String>,
        arguments: Vec<Expr>,
    },
    New {
        class: String,
        arguments: Vec<Expr>,
        members: Vec<(Option<Expr>, Expr)>,
    },
    List(Vec<Expr>),
    /// An anonymous object.
    Object(Vec<(String, Expr)>),
    Cast(String, Box<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    Lambda(String, Box<Expr>),
}

/// A part of an interpolated string.
#[derive(Clone, Debug, PartialEq)]
pub enum TextPart {
    Literal(String),
    Value(Expr),
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    Declare(String, Expr),
    Assign(String, Expr),
    /// `name["key"] = value`.
    Set(String, Expr, Expr),
    Evaluate(Expr),
    If(Expr, Vec<Statement>, Vec<Statement>),
    Return(Expr),
}
