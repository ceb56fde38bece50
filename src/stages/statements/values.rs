//! Attribute values of documents: literals, expressions, `let`.

use super::{
    compiler::StatementCompiler,
    csharp,
    schema::{Attribute, Kind},
};
use crate::{
    base::expr::{CompileError, Expression, Map, Value, from_json, to_bool},
    config::{Node, Span, codes, node::Value as NodeValue, suggest},
    stages::program::Template,
};
use std::sync::Arc;

/// What an expression must look like.
const EXPRESSION_HELP: &str = "an expression is @( ) around CEL, such as @(context.Request.Method)";

/// The text between `@(` and `)`.
pub fn expression_source(text: &str) -> Option<&str> {
    let trimmed = text.trim();
    trimmed.strip_prefix("@(")?.strip_suffix(')')
}

/// The value of a JSON literal.
pub fn literal(node: &Node) -> Value {
    match &node.value {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(value) => Value::Bool(*value),
        NodeValue::Number(digits) => serde_json::from_str(digits)
            .map_or_else(|_| Value::Digits((&**digits).into()), |json| from_json(&json)),
        NodeValue::String(text) => Value::text(unescaped(text)),
        NodeValue::Array(items) => Value::list(items.iter().map(literal)),
        NodeValue::Object(members) => Value::Map(Arc::new(Map(members
            .iter()
            .map(|member| (Value::text(&*member.key.value), literal(&member.value)))
            .collect()))),
    }
}

/// `@@(` is a literal `@(`.
fn unescaped(text: &str) -> &str {
    if text.starts_with("@@(") { &text[1..] } else { text }
}

/// Whether a translated expression is one.
fn is_valid(cel: &str) -> bool {
    let source = cel.strip_prefix("@(").and_then(|rest| rest.strip_suffix(')'));
    source.is_some_and(|source| Expression::compile(source).is_ok())
}

impl StatementCompiler<'_, '_> {
    /// The value of an attribute that is one value.
    pub fn template(&mut self, node: &Node, attribute: &Attribute) -> Option<Template> {
        let template = self.raw_template(node, attribute)?;
        self.check_literal(node, attribute, &template).then_some(template)
    }

    fn raw_template(&mut self, node: &Node, attribute: &Attribute) -> Option<Template> {
        match &node.value {
            NodeValue::String(text) => match expression_source(text) {
                Some(source) => self.expression(source, node.span, attribute),
                None if text.trim_start().starts_with("@{") => {
                    self.report_block(node.span);
                    None
                }
                None => Some(Template::Literal(literal(node))),
            },
            NodeValue::Object(_) if node.get_ignore_case("let").is_some() => self.let_form(node, attribute),
            NodeValue::Object(_) | NodeValue::Array(_)
                if !matches!(attribute.kind, Kind::Any | Kind::Json) =>
            {
                self.wrong_type(node, attribute);
                None
            }
            _ if matches!(attribute.kind, Kind::Json) => Some(self.json_template(node)),
            _ => Some(Template::Literal(literal(node))),
        }
    }

    /// A JSON value whose texts may be expressions.
    pub fn json_template(&mut self, node: &Node) -> Template {
        match &node.value {
            NodeValue::Array(items) => {
                Template::List(items.iter().map(|item| self.json_template(item)).collect())
            }
            NodeValue::Object(members) => Template::Object(
                members
                    .iter()
                    .map(|member| ((&*member.key.value).into(), self.json_template(&member.value)))
                    .collect(),
            ),
            NodeValue::String(text) => match expression_source(text) {
                Some(source) => self.compiled(&[], source, node.span).unwrap_or_default(),
                None => Template::Literal(literal(node)),
            },
            _ => Template::Literal(literal(node)),
        }
    }

    fn report_block(&mut self, span: Span) {
        self.diagnostics
            .error(codes::POLICY_EXPRESSION, span, "`@{ }` is C#; it is translated in XML documents only")
            .help("write { \"let\": { \"name\": \"CEL\" }, \"value\": \"CEL that uses name\" } instead");
    }

    fn expression(&mut self, source: &str, span: Span, attribute: &Attribute) -> Option<Template> {
        if !attribute.takes_expression {
            let message = format!("`{}` must be a literal; expressions are not allowed here", attribute.name);
            self.diagnostics.error(codes::POLICY_EXPRESSION, span, message);
            return None;
        }
        self.compiled(&[], source, span)
    }

    /// `{ "let": { ... }, "value": ... }`.
    fn let_form(&mut self, node: &Node, attribute: &Attribute) -> Option<Template> {
        let lets = node.get_ignore_case("let")?;
        let texts: Vec<(&str, &str)> = lets
            .members()
            .iter()
            .filter_map(|member| Some((&*member.key.value, member.value.as_str()?)))
            .collect();
        if !attribute.takes_expression || texts.len() != lets.members().len() {
            self.wrong_type(node, attribute);
            return None;
        }
        let Some(value) = node.get_ignore_case("value").and_then(Node::as_str) else {
            self.diagnostics.error(codes::POLICY_ATTRIBUTE, node.span, "`let` needs a `value`");
            return None;
        };
        self.compiled(&texts, value, node.span)
    }

    /// Compiles an expression, or reports its mistake.
    pub fn compiled(&mut self, lets: &[(&str, &str)], source: &str, span: Span) -> Option<Template> {
        match Expression::compile_with(lets, source) {
            Ok(expression) => Some(Template::Expression(Arc::new(expression))),
            Err(error) => {
                self.report_expression(&error, source, span);
                None
            }
        }
    }

    /// Reports an expression with the cure; C# is shown in CEL.
    fn report_expression(&mut self, error: &CompileError, source: &str, span: Span) {
        let mut message = error.message.clone();
        let is_secret = self.is_secret_text(span);
        if is_secret {
            message = "the expression is invalid".to_owned();
        }
        let diagnostic = self.diagnostics.error(codes::POLICY_EXPRESSION, span, message);
        if let Some((name, known)) = &error.unknown {
            match suggest::closest_match(name, known.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help(EXPRESSION_HELP),
            };
        }
        let translated = csharp::translate(&format!("@({source})"));
        let in_cel = translated.ok().filter(|cel| is_valid(cel) && !is_secret);
        if let (Some(_), Some(cel)) = (&error.help, in_cel) {
            diagnostic.help(format!("in CEL: {cel}"));
        }
        if let Some(help) = &error.help {
            diagnostic.help(help.clone());
        }
    }

    /// Reports a value of another type.
    pub fn wrong_type(&mut self, node: &Node, attribute: &Attribute) {
        let expected = match attribute.kind {
            Kind::Bool => "a boolean",
            Kind::Number(..) | Kind::Int(..) => "a number",
            Kind::Texts => "a text or a list of texts",
            Kind::Object(_) => "an object",
            Kind::Objects(_) | Kind::Statements | Kind::InnerList(_) => "a list",
            _ => "a text",
        };
        let message = format!("`{}`: expected {expected}, found {}", attribute.name, node.type_name());
        self.diagnostics.error(codes::WRONG_TYPE, node.span, message);
    }

    /// Whether a literal fits its attribute.
    fn check_literal(&mut self, node: &Node, attribute: &Attribute, template: &Template) -> bool {
        let Template::Literal(value) = template else { return true };
        match attribute.kind {
            Kind::Bool if to_bool(value).is_err() => self.wrong_type(node, attribute),
            Kind::Number(min, max) => return self.check_number(node, attribute, template, min, max, false),
            Kind::Int(min, max) => {
                return self.check_number(node, attribute, template, min as f64, max as f64, true);
            }
            Kind::Choice(names) => {
                let text = template.literal_text().unwrap_or_default();
                if names.contains(&&*text) {
                    return true;
                }
                let message = format!("unknown value \"{text}\" of `{}`", attribute.name);
                let diagnostic = self.diagnostics.error(codes::UNKNOWN_CHOICE, node.span, message);
                match suggest::closest_match(&text, names.iter().copied()) {
                    Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
                    None => diagnostic.help(format!("expected {}", suggest::one_of(names))),
                };
            }
            Kind::Text if value.is_null() && attribute.is_required => self.wrong_type(node, attribute),
            _ => return true,
        }
        false
    }

    fn check_number(
        &mut self,
        node: &Node,
        attribute: &Attribute,
        template: &Template,
        min: f64,
        max: f64,
        is_whole: bool,
    ) -> bool {
        let Some(number) = template.literal_number().filter(|n| !is_whole || n.fract() == 0.0) else {
            self.wrong_type(node, attribute);
            return false;
        };
        if number >= min && number <= max {
            return true;
        }
        let range = if max >= 9e15 { format!("at least {min}") } else { format!("{min} to {max}") };
        self.diagnostics
            .error(codes::OUT_OF_RANGE, node.span, format!("invalid `{}` {number}", attribute.name))
            .help(format!("must be {range}"));
        false
    }
}
