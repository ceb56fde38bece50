//! The attributes of statements.

/// What the value of an attribute is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Bool,
    /// A number in a range.
    Number(f64, f64),
    /// A whole number in a range.
    Int(i64, i64),
    Choice(&'static [&'static str]),
    /// A list of texts; one text may stand for it.
    Texts,
    /// Any JSON value; texts in it are literals unless the whole is an expression.
    Any,
    /// A JSON value whose texts may be expressions.
    Json,
    Object(&'static [Attribute]),
    Objects(&'static [Attribute]),
    Statements,
    /// Several statements by name, as members: in `return-response`, `send-request`.
    Inner(&'static str),
    /// The same, as a list.
    InnerList(&'static str),
    /// Refused: the description says why.
    NotYet,
}

/// An attribute of a statement.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    pub takes_expression: bool,
    pub is_required: bool,
    pub about: &'static str,
}

/// An attribute that is literal and optional.
pub const fn attribute(name: &'static str, kind: Kind, about: &'static str) -> Attribute {
    Attribute { name, kind, takes_expression: false, is_required: false, about }
}

/// A literal text.
pub const fn text(name: &'static str, about: &'static str) -> Attribute {
    attribute(name, Kind::Text, about)
}

/// A text or an expression.
pub const fn expression(name: &'static str, about: &'static str) -> Attribute {
    attribute(name, Kind::Text, about).dynamic()
}

/// A literal boolean.
pub const fn flag(name: &'static str, about: &'static str) -> Attribute {
    attribute(name, Kind::Bool, about)
}

/// An attribute of Azure API Management that this version does not have.
pub const fn not_yet(name: &'static str, about: &'static str) -> Attribute {
    attribute(name, Kind::NotYet, about)
}

impl Attribute {
    /// May be an expression.
    pub const fn dynamic(mut self) -> Attribute {
        self.takes_expression = true;
        self
    }

    /// Must be there.
    pub const fn required(mut self) -> Attribute {
        self.is_required = true;
        self
    }
}

/// An attribute by its name.
pub fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
