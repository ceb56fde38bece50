//! The evaluation of a compiled expression.

use super::{
    compile::Expression,
    context::ExpressionContext,
    convert::type_name,
    error::EvalError,
    functions::call_pattern,
    machine::Machine,
    member::{Kind, Member},
    node::Node,
    value::{HeldResponse, Map, ResponsePart, Value},
};
use smallvec::SmallVec;
use std::sync::Arc;

impl Expression {
    /// The value of the expression for an exchange.
    ///
    /// # Errors
    ///
    /// A missing key, wrong types, division by zero, too many steps.
    pub fn evaluate(&self, context: &dyn ExpressionContext) -> Result<Value, EvalError> {
        let slots = SmallVec::from_elem(Value::Null, self.slots);
        let mut machine = Machine::new(context, slots);
        for (slot, value) in &self.lets {
            machine.slots[*slot] = machine.evaluate(value)?;
        }
        machine.evaluate(&self.root)
    }
}

impl Machine<'_> {
    /// The value of a node.
    pub fn evaluate(&mut self, node: &Node) -> Result<Value, EvalError> {
        self.spend(1)?;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Slot(slot) => Ok(self.slots[*slot].clone()),
            Node::Member(member) => self.member(*member),
            Node::Select(operand, field) => {
                let value = self.evaluate(operand)?;
                self.select(&value, field)?.ok_or_else(|| no_member(&value, field))
            }
            Node::OptSelect(operand, field) => self.opt_select(operand, field),
            Node::Has(operand, field) => {
                let value = self.evaluate(operand)?;
                Ok(Value::Bool(!value.is_null() && self.select(&value, field)?.is_some()))
            }
            Node::Index(operand, key) => self.index(operand, key),
            Node::OptIndex(operand, key) => self.opt_index(operand, key),
            Node::Call(function, args) => {
                let args = self.all(args)?;
                (function.call)(self, &args)
            }
            Node::Pattern(function, pattern, args) => {
                let args = self.all(args)?;
                call_pattern(function, pattern, &args)
            }
            Node::Coalesce(args) => self.coalesce(args),
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Bind(slot, value, body) => {
                self.slots[*slot] = self.evaluate(value)?;
                self.evaluate(body)
            }
            Node::Comprehension(tree) => self.comprehension(tree),
            node => self.logic(node),
        }
    }

    /// Operators, and what evaluates only a part of its operands.
    fn logic(&mut self, node: &Node) -> Result<Value, EvalError> {
        match node {
            Node::And(a, b) => self.short_circuit(a, b, false),
            Node::Or(a, b) => self.short_circuit(a, b, true),
            Node::Not(a) => Ok(Value::Bool(!self.condition(a)?)),
            Node::If(parts) => {
                let [condition, yes, no] = &**parts;
                if self.condition(condition)? { self.evaluate(yes) } else { self.evaluate(no) }
            }
            Node::Negate(a) => super::operators::negate(&self.evaluate(a)?),
            Node::Binary(operator, a, b) => {
                let (a, b) = (self.evaluate(a)?, self.evaluate(b)?);
                operator.apply(self, &a, &b)
            }
            _ => Err(EvalError::new("it cannot be evaluated")),
        }
    }

    /// `&&` and `||`: an operand that decides hides the error of the other one.
    fn short_circuit(&mut self, a: &Node, b: &Node, decides: bool) -> Result<Value, EvalError> {
        match self.condition(a) {
            Ok(value) if value == decides => Ok(Value::Bool(decides)),
            Ok(_) => self.condition(b).map(Value::Bool),
            Err(error) => match self.condition(b) {
                Ok(value) if value == decides => Ok(Value::Bool(decides)),
                _ => Err(error),
            },
        }
    }

    /// The value of a condition.
    pub fn condition(&mut self, node: &Node) -> Result<bool, EvalError> {
        match self.evaluate(node)? {
            Value::Bool(value) => Ok(value),
            other => Err(EvalError::new(format!("expected a boolean, found {}", type_name(&other)))),
        }
    }

    fn all(&mut self, nodes: &[Node]) -> Result<SmallVec<[Value; 4]>, EvalError> {
        nodes.iter().map(|node| self.evaluate(node)).collect()
    }

    fn member(&self, member: Member) -> Result<Value, EvalError> {
        match member.kind() {
            Kind::Map | Kind::Body => Ok(Value::Object(member)),
            _ => self.context.member(member),
        }
    }

    /// The member of a value; `None` if it has none of this name.
    pub fn select(&mut self, value: &Value, field: &str) -> Result<Option<Value>, EvalError> {
        match value {
            Value::Map(map) => Ok(map.get(field).cloned()),
            Value::Object(object) if object.kind() == Kind::Map => self.context.entry(*object, field),
            Value::Object(object) => object.child(field).map(|member| self.member(member)).transpose(),
            Value::Response(response, part) => Ok(response_member(response, *part, field)),
            Value::Optional(Some(value)) => {
                let value = value.clone();
                Ok(Some(Value::Optional(self.select(&value, field)?.map(Arc::new))))
            }
            Value::Optional(None) => Ok(Some(Value::Optional(None))),
            other => Err(EvalError::new(format!("{} has no members", type_name(other)))),
        }
    }

    fn opt_select(&mut self, operand: &Node, field: &str) -> Result<Value, EvalError> {
        let value = self.evaluate(operand)?;
        let found = match &value {
            Value::Null | Value::Optional(None) => None,
            Value::Optional(Some(inner)) if inner.is_null() => None,
            Value::Optional(Some(inner)) => {
                let inner = inner.clone();
                self.select(&inner, field)?
            }
            value => self.select(&value.clone(), field)?,
        };
        Ok(Value::Optional(found.map(Arc::new)))
    }

    fn index(&mut self, operand: &Node, key: &Node) -> Result<Value, EvalError> {
        let (value, key) = (self.evaluate(operand)?, self.evaluate(key)?);
        if let Value::Optional(inner) = &value {
            let found = match inner {
                Some(inner) => self.at(inner, &key)?,
                None => None,
            };
            return Ok(Value::Optional(found.map(Arc::new)));
        }
        // The key is not named: it may be a secret.
        self.at(&value, &key)?.ok_or_else(|| match &key {
            Value::Text(_) => EvalError::new("no such key"),
            _ => EvalError::new("the index is out of range"),
        })
    }

    fn opt_index(&mut self, operand: &Node, key: &Node) -> Result<Value, EvalError> {
        let (value, key) = (self.evaluate(operand)?, self.evaluate(key)?);
        let found = match &value {
            Value::Null | Value::Optional(None) => None,
            Value::Optional(Some(inner)) if inner.is_null() => None,
            Value::Optional(Some(inner)) => self.at(&inner.clone(), &key)?,
            value => self.at(value, &key)?,
        };
        Ok(Value::Optional(found.map(Arc::new)))
    }

    /// The item or member at a key.
    pub fn at(&mut self, value: &Value, key: &Value) -> Result<Option<Value>, EvalError> {
        match (value, key) {
            (Value::List(items), Value::Int(at)) => {
                Ok(usize::try_from(*at).ok().and_then(|at| items.get(at)).cloned())
            }
            (Value::List(items), Value::Uint(at)) => Ok(items.get(*at as usize).cloned()),
            (Value::Map(map), key) => Ok(map.lookup(key).cloned()),
            (Value::Text(text), Value::Int(at)) => {
                let c = usize::try_from(*at).ok().and_then(|at| text.chars().nth(at));
                Ok(c.map(|c| Value::text(c.to_string())))
            }
            (Value::Object(_) | Value::Response(..), Value::Text(name)) => self.select(value, name),
            (value, key) => Err(EvalError::types("an index", &[type_name(value), type_name(key)])),
        }
    }

    fn coalesce(&mut self, args: &[Node]) -> Result<Value, EvalError> {
        for arg in args {
            match self.evaluate(arg)? {
                Value::Null | Value::Optional(None) => {}
                value => return Ok(value),
            }
        }
        Ok(Value::Null)
    }

    fn list(&mut self, items: &[(Node, bool)]) -> Result<Value, EvalError> {
        let mut list = Vec::with_capacity(items.len());
        for (item, is_optional) in items {
            match (self.evaluate(item)?, is_optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => list.push((*value).clone()),
                (value, _) => list.push(value),
            }
        }
        Ok(Value::List(Arc::new(list)))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Result<Value, EvalError> {
        let mut map = Map(Vec::with_capacity(entries.len()));
        for (key, value, is_optional) in entries {
            let key = self.evaluate(key)?;
            match (self.evaluate(value)?, is_optional) {
                (Value::Optional(None), true) => {}
                (Value::Optional(Some(value)), true) => map.set(key, (*value).clone()),
                (value, _) => map.set(key, value),
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    /// The items of a range: of a list, or the keys of a map.
    pub fn items(&mut self, node: &Node) -> Result<Vec<Value>, EvalError> {
        let items = match self.evaluate(node)? {
            Value::List(items) => Arc::try_unwrap(items).unwrap_or_else(|shared| (*shared).clone()),
            Value::Map(map) => map.0.iter().map(|(key, _)| key.clone()).collect(),
            Value::Object(map) if map.kind() == Kind::Map => {
                self.context.entries(map)?.into_iter().map(|(name, _)| Value::text(name)).collect()
            }
            other => return Err(EvalError::new(format!("expected a list, found {}", type_name(&other)))),
        };
        self.spend(items.len())?;
        Ok(items)
    }
}

fn no_member(value: &Value, field: &str) -> EvalError {
    match value {
        Value::Null => EvalError::new(format!("null has no member {field}")),
        _ => EvalError::new(format!("no such key: {field}")),
    }
}

/// A member of a response that a call-out returned.
fn response_member(response: &Arc<HeldResponse>, part: ResponsePart, field: &str) -> Option<Value> {
    match (part, field) {
        (ResponsePart::Headers, name) => {
            Some(response.header(name)).filter(|values| !values.is_empty()).map(Value::list)
        }
        (ResponsePart::Whole, "StatusCode") => Some(Value::Int(i64::from(response.status))),
        (ResponsePart::Whole, "StatusReason") => Some(Value::text(response.reason.as_str())),
        (ResponsePart::Whole, "Headers") => Some(Value::Response(response.clone(), ResponsePart::Headers)),
        (ResponsePart::Whole, "Body") => Some(Value::Response(response.clone(), ResponsePart::Body)),
        _ => None,
    }
}
