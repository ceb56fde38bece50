//! The expression of a filter, with its types.

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Null,
    Bool,
    Integer,
    Text,
    List,
}

impl Type {
    /// The name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Integer => "int",
            Type::Text => "string",
            Type::List => "list",
        }
    }
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    /// The comparison of that keyword.
    pub fn from_keyword(word: &str) -> Option<Comparison> {
        Some(match word {
            "eq" => Comparison::Equal,
            "ne" => Comparison::NotEqual,
            "gt" => Comparison::Greater,
            "ge" => Comparison::GreaterOrEqual,
            "lt" => Comparison::Less,
            "le" => Comparison::LessOrEqual,
            _ => return None,
        })
    }
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    ToLower,
    ToUpper,
    Trim,
    Concat,
    Substring,
    IndexOf,
    Length,
    StartsWith,
    EndsWith,
    Contains,
}

impl Function {
    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Function> {
        Some(match name {
            "tolower" => Function::ToLower,
            "toupper" => Function::ToUpper,
            "trim" => Function::Trim,
            "concat" => Function::Concat,
            "substring" => Function::Substring,
            "indexof" => Function::IndexOf,
            "length" => Function::Length,
            "startswith" => Function::StartsWith,
            "endswith" => Function::EndsWith,
            "contains" => Function::Contains,
            _ => return None,
        })
    }

    /// The types of its required and of its optional parameters. `length` accepts a list too.
    pub fn parameters(self) -> (&'static [Type], &'static [Type]) {
        match self {
            Function::ToLower | Function::ToUpper | Function::Trim | Function::Length => (&[Type::Text], &[]),
            Function::Substring => (&[Type::Text, Type::Integer], &[Type::Integer]),
            Function::Concat
            | Function::IndexOf
            | Function::StartsWith
            | Function::EndsWith
            | Function::Contains => (&[Type::Text, Type::Text], &[]),
        }
    }

    /// The type of its result.
    pub fn result(self) -> Type {
        match self {
            Function::ToLower
            | Function::ToUpper
            | Function::Trim
            | Function::Concat
            | Function::Substring => Type::Text,
            Function::IndexOf | Function::Length => Type::Integer,
            Function::StartsWith | Function::EndsWith | Function::Contains => Type::Bool,
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Box<str>),
    UserId,
    ConnectionId,
    Groups,
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Compare(Comparison, Box<[Expression; 2]>),
    /// A value in a list of values.
    In(Box<Expression>, Vec<Expression>),
    /// A text in the groups of the connection.
    InGroups(Box<Expression>),
    Call(Function, Vec<Expression>),
}

impl Expression {
    /// The static type.
    pub fn value_type(&self) -> Type {
        match self {
            Expression::Null => Type::Null,
            Expression::Integer(_) => Type::Integer,
            Expression::Text(_) | Expression::UserId | Expression::ConnectionId => Type::Text,
            Expression::Groups => Type::List,
            Expression::Call(function, _) => function.result(),
            Expression::Bool(_)
            | Expression::Not(_)
            | Expression::And(_)
            | Expression::Or(_)
            | Expression::Compare(..)
            | Expression::In(..)
            | Expression::InGroups(_) => Type::Bool,
        }
    }

    /// Whether the value may be null.
    pub fn is_nullable(&self) -> bool {
        match self {
            Expression::Null | Expression::UserId | Expression::ConnectionId => true,
            Expression::Call(function, arguments) => {
                function.result() != Type::Bool && arguments.iter().any(Expression::is_nullable)
            }
            _ => false,
        }
    }

    /// How many conditions are combined with `and` and `or`.
    pub fn clauses(&self) -> usize {
        match self {
            Expression::And(parts) | Expression::Or(parts) => parts.iter().map(Expression::clauses).sum(),
            Expression::Not(inner) => inner.clauses(),
            _ => 1,
        }
    }
}
