//! From the text of an expression to a tree whose names are resolved.

use super::{
    context::Usage,
    csharp_hint::csharp_hint,
    error::CompileError,
    functions,
    member::{Kind, Member},
    node::Node,
    operators::Binary,
    reserved::{PARSED_IP_IN, with_parsed_names},
    value::Value,
};
use cel::{
    common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators as names},
    parser::Parser,
};
use std::sync::Arc;

/// Longest expression in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 16 * 1024;
/// Maximum depth of the parser.
const MAX_PARSER_DEPTH: u16 = 200;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Arc<str>,
    /// The values of `let`, in order.
    pub(super) lets: Box<[(usize, Node)]>,
    pub(super) root: Node,
    pub(super) slots: usize,
    usage: Usage,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// The first mistake: of the syntax, or a name that is not known.
    pub fn compile(source: &str) -> Result<Expression, CompileError> {
        Expression::compile_with(&[], source)
    }

    /// Compiles an expression that speaks of the values of `let`, which are evaluated in order.
    ///
    /// # Errors
    ///
    /// As [`Expression::compile`].
    pub fn compile_with(lets: &[(&str, &str)], source: &str) -> Result<Expression, CompileError> {
        let length = source.len() + lets.iter().map(|(_, text)| text.len()).sum::<usize>();
        if length > MAX_EXPRESSION_BYTES {
            return Err(CompileError::new(format!(
                "the expression has {length} bytes; at most {MAX_EXPRESSION_BYTES} are allowed"
            )));
        }
        let mut compiler = Compiler::default();
        let mut values = Vec::with_capacity(lets.len());
        for (name, text) in lets {
            let node = compiler.source(text)?;
            values.push((compiler.bind(name), node));
        }
        let root = compiler.source(source)?;
        let Compiler { slots, usage, .. } = compiler;
        Ok(Expression { text: source.into(), lets: values.into(), root, slots, usage })
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it reads.
    pub fn usage(&self) -> Usage {
        self.usage
    }
}

/// The names in scope.
#[derive(Default)]
pub(super) struct Compiler {
    scope: Vec<(String, usize)>,
    slots: usize,
    usage: Usage,
}

impl Compiler {
    fn source(&mut self, source: &str) -> Result<Node, CompileError> {
        let parser = Parser::new()
            .enable_optional_syntax(true)
            .max_recursion_depth(MAX_PARSER_DEPTH)
            .error_recovery_limit(4);
        let tree = parser.parse(&with_parsed_names(source)).map_err(|errors| {
            let first = errors.errors.first();
            let message = first.map_or_else(|| "it is not an expression".to_owned(), syntax_message);
            CompileError { help: csharp_hint(source), ..CompileError::new(message) }
        })?;
        self.node(&tree)
            .map_err(|error| CompileError { help: error.help.or_else(|| csharp_hint(source)), ..error })
    }

    /// Adds a local name; its slot.
    pub(super) fn bind(&mut self, name: &str) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.scope.push((name.to_owned(), slot));
        slot
    }

    /// Removes the last `count` local names.
    pub(super) fn unbind(&mut self, count: usize) {
        self.scope.truncate(self.scope.len() - count);
    }

    fn local(&self, name: &str) -> Option<usize> {
        self.scope.iter().rev().find(|(known, _)| known == name).map(|(_, slot)| *slot)
    }

    fn boxed(&mut self, tree: &IdedExpr) -> Result<Box<Node>, CompileError> {
        self.node(tree).map(Box::new)
    }

    pub(super) fn node(&mut self, tree: &IdedExpr) -> Result<Node, CompileError> {
        if let Some(member) = self.member(&tree.expr)? {
            return Ok(member);
        }
        match &tree.expr {
            Expr::Literal(literal) => Ok(Node::Literal(literal_value(literal))),
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) if select.test => {
                Ok(Node::Has(self.boxed(&select.operand)?, select.field.as_str().into()))
            }
            Expr::Select(select) => {
                Ok(Node::Select(self.boxed(&select.operand)?, select.field.as_str().into()))
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let items = list.elements.iter().enumerate();
                let items =
                    items.map(|(at, item)| Ok((self.node(item)?, list.optional_indices.contains(&at))));
                Ok(Node::List(items.collect::<Result<_, CompileError>>()?))
            }
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    entries.push((self.node(&entry.key)?, self.node(&entry.value)?, entry.optional));
                }
                Ok(Node::Map(entries.into()))
            }
            Expr::Comprehension(one) => Ok(Node::Comprehension(Box::new(self.comprehension(one)?))),
            Expr::Struct(structure) => Err(CompileError::new(format!(
                "messages such as `{}` are not available",
                structure.type_name
            ))),
            Expr::Unspecified => Err(CompileError::new("it is not an expression")),
        }
    }

    fn ident(&self, name: &str) -> Result<Node, CompileError> {
        if let Some(slot) = self.local(name) {
            return Ok(Node::Slot(slot));
        }
        if let Some(name) = functions::TYPE_NAMES.into_iter().find(|known| *known == name) {
            return Ok(Node::Literal(Value::text(name)));
        }
        if name == "context" {
            return Err(CompileError::new(
                "`context` is not a value: name a member such as context.Request.Method",
            ));
        }
        let mut known = vec!["context", "true", "false", "null"];
        known.extend(functions::names());
        Err(CompileError::unknown("name", name, known))
    }

    /// A chain of selections from `context`.
    fn member(&mut self, tree: &Expr) -> Result<Option<Node>, CompileError> {
        let Some(segments) = chain(tree) else { return Ok(None) };
        if segments.first() != Some(&"context") || segments.len() < 2 || self.local("context").is_some() {
            return Ok(None);
        }
        let (mut found, mut length) = (None, 0);
        for end in 2..=segments.len() {
            let Some(member) = Member::find(&segments[1..end].join(".")) else { break };
            (found, length) = (Some(member), end);
        }
        let next = segments.get(length.max(1)).copied();
        let member = match (found, next) {
            (None, next) => return Err(unknown_member(None, next.unwrap_or_default())),
            (Some(member), Some(name)) if member.kind() == Kind::Object => {
                return Err(unknown_member(Some(member), name));
            }
            (Some(member), _) => member,
        };
        if member.kind() == Kind::Secret {
            let message = format!("`context.{}` is not available: only the owner sees keys", member.path());
            return Err(CompileError {
                help: Some("use context.Subscription.Key, the key of the request".into()),
                ..CompileError::new(message)
            });
        }
        self.usage.add(member);
        let rest = segments[length..].iter();
        Ok(Some(rest.fold(Node::Member(member), |node, name| Node::Select(Box::new(node), (*name).into()))))
    }

    fn call(&mut self, call: &CallExpr) -> Result<Node, CompileError> {
        if call.target.is_none()
            && let Some(node) = self.operator(call)?
        {
            return Ok(node);
        }
        if let Some(namespace) = self.namespace(call) {
            let name = format!("{namespace}.{}", call.func_name);
            if name == "cel.bind" {
                return self.bind_macro(call);
            }
            let name = if name == PARSED_IP_IN { "ip.in" } else { &name };
            return self.function(name, false, None, &call.args);
        }
        match &call.target {
            None if call.func_name == "coalesce" => {
                let args = call.args.iter().map(|arg| self.node(arg));
                Ok(Node::Coalesce(args.collect::<Result<_, _>>()?))
            }
            target => self.function(&call.func_name, target.is_some(), target.as_deref(), &call.args),
        }
    }

    /// The namespace of a function such as `json.parse`.
    fn namespace<'c>(&self, call: &'c CallExpr) -> Option<&'c str> {
        let Expr::Ident(name) = &call.target.as_deref()?.expr else { return None };
        (self.local(name).is_none() && functions::is_namespace(name)).then_some(name)
    }

    fn function(
        &mut self,
        name: &str,
        is_member: bool,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Result<Node, CompileError> {
        let given: Vec<&IdedExpr> = target.into_iter().chain(args).collect();
        let function =
            functions::find(name, is_member, given.len()).ok_or_else(|| {
                match functions::any_arity(name) {
                    Some(usage) => {
                        CompileError::new(format!("wrong number of arguments of `{name}`: expected {usage}"))
                    }
                    None => CompileError::unknown("function", name, functions::names()),
                }
            })?;
        let nodes: Box<[Node]> = given.iter().map(|arg| self.node(arg)).collect::<Result<_, _>>()?;
        if let (Some(at), true) = (function.pattern, nodes.len() > 1)
            && let Some(Node::Literal(Value::Text(pattern))) = nodes.get(at)
        {
            let regex = functions::compile_pattern(pattern).map_err(CompileError::new)?;
            return Ok(Node::Pattern(function, Arc::new(regex), nodes));
        }
        Ok(Node::Call(function, nodes))
    }

    /// `cel.bind(name, value, expression)`.
    fn bind_macro(&mut self, call: &CallExpr) -> Result<Node, CompileError> {
        let [name, value, body] = call.args.as_slice() else {
            return Err(CompileError::new("cel.bind needs a name, a value and an expression"));
        };
        let Expr::Ident(name) = &name.expr else {
            return Err(CompileError::new("the first argument of cel.bind must be a name"));
        };
        let value = self.boxed(value)?;
        let slot = self.bind(name);
        let body = self.boxed(body);
        self.unbind(1);
        Ok(Node::Bind(slot, value, body?))
    }

    /// The operators, which are calls in the tree.
    fn operator(&mut self, call: &CallExpr) -> Result<Option<Node>, CompileError> {
        Ok(Some(match (call.func_name.as_str(), call.args.as_slice()) {
            (names::LOGICAL_AND, [a, b]) => Node::And(self.boxed(a)?, self.boxed(b)?),
            (names::LOGICAL_OR, [a, b]) => Node::Or(self.boxed(a)?, self.boxed(b)?),
            (names::LOGICAL_NOT, [a]) => Node::Not(self.boxed(a)?),
            (names::NOT_STRICTLY_FALSE, [a]) => self.node(a)?,
            (names::NEGATE, [a]) => Node::Negate(self.boxed(a)?),
            (names::CONDITIONAL, [a, b, c]) => {
                Node::If(Box::new([self.node(a)?, self.node(b)?, self.node(c)?]))
            }
            (names::INDEX, [a, b]) => Node::Index(self.boxed(a)?, self.boxed(b)?),
            (names::OPT_INDEX, [a, b]) => Node::OptIndex(self.boxed(a)?, self.boxed(b)?),
            (names::OPT_SELECT, [a, field]) => match &field.expr {
                Expr::Literal(LiteralValue::String(field)) => {
                    Node::OptSelect(self.boxed(a)?, field.inner().into())
                }
                _ => return Err(CompileError::new("expected a name after .?")),
            },
            (name, [a, b]) => match Binary::from_name(name) {
                Some(operator) => Node::Binary(operator, self.boxed(a)?, self.boxed(b)?),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }
}

/// `context.Request.Method` as its segments.
fn chain(tree: &Expr) -> Option<Vec<&str>> {
    let (mut segments, mut here) = (Vec::new(), tree);
    loop {
        match here {
            Expr::Ident(name) => {
                segments.push(name.as_str());
                segments.reverse();
                return Some(segments);
            }
            Expr::Select(select) if !select.test => {
                segments.push(select.field.as_str());
                here = &select.operand.expr;
            }
            _ => return None,
        }
    }
}

fn unknown_member(of: Option<Member>, name: &str) -> CompileError {
    let owner = of.map_or_else(|| "context".to_owned(), |of| format!("context.{}", of.path()));
    CompileError::unknown(&format!("member of {owner}"), name, Member::names(of))
}

fn literal_value(literal: &LiteralValue) -> Value {
    match literal {
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Bytes(bytes) => Value::Bytes(bytes.inner().to_vec().into()),
        LiteralValue::Double(n) => Value::Double(*n.inner()),
        LiteralValue::Int(n) => Value::Int(*n.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::text(text.inner()),
        LiteralValue::UInt(n) => Value::Uint(*n.inner()),
    }
}

/// The first error of the parser with its column.
fn syntax_message(error: &cel::ParseError) -> String {
    let message = error.msg.lines().next().unwrap_or_default();
    let message = message.split(" expecting {").next().unwrap_or(message);
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    format!("column {}: {message}", error.pos.1 + 1)
}
