//! Attribute values: literals and expressions.

use super::{context::Context, failure::Failure};
use crate::base::expr::{self, Expression, Map, NoContext, Usage, Value};
use std::sync::Arc;

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Template {
    Literal(Value),
    Expression(Arc<Expression>),
    /// A list or an object whose texts may be expressions.
    List(Vec<Template>),
    Object(Vec<(Arc<str>, Template)>),
}

impl Default for Template {
    fn default() -> Template {
        Template::Literal(Value::Null)
    }
}

impl Template {
    /// A literal text.
    pub fn text(text: &str) -> Template {
        Template::Literal(Value::text(text))
    }

    /// What it reads.
    pub fn usage(&self) -> Usage {
        match self {
            Template::Literal(_) => Usage::default(),
            Template::Expression(expression) => expression.usage(),
            Template::List(items) => usage_of(items),
            Template::Object(members) => usage_of(members.iter().map(|(_, value)| value)),
        }
    }

    /// Its value for the exchange.
    pub fn value(&self, context: &Context<'_>) -> Result<Value, Failure> {
        match self {
            Template::Literal(value) => Ok(value.clone()),
            Template::Expression(expression) => {
                expression.evaluate(context).map_err(|error| Failure::expression(&error))
            }
            Template::List(items) => {
                let items: Result<Vec<Value>, Failure> =
                    items.iter().map(|item| item.value(context)).collect();
                Ok(Value::List(Arc::new(items?)))
            }
            Template::Object(members) => {
                let mut map = Map::default();
                for (name, value) in members {
                    map.0.push((Value::Text(name.clone()), value.value(context)?));
                }
                Ok(Value::Map(Arc::new(map)))
            }
        }
    }

    /// Its text; `None` for null.
    pub fn text_value(&self, context: &Context<'_>) -> Result<Option<Arc<str>>, Failure> {
        if let Template::Literal(Value::Text(text)) = self {
            return Ok(Some(text.clone()));
        }
        expr::to_text(&self.value(context)?).map_err(|error| Failure::expression(&error))
    }

    /// Its text; empty for null.
    pub fn text_or_empty(&self, context: &Context<'_>) -> Result<Arc<str>, Failure> {
        Ok(self.text_value(context)?.unwrap_or_default())
    }

    /// A boolean.
    pub fn bool_value(&self, context: &Context<'_>) -> Result<bool, Failure> {
        expr::to_bool(&self.value(context)?).map_err(|error| Failure::expression(&error))
    }

    /// A number.
    pub fn number(&self, context: &Context<'_>) -> Result<f64, Failure> {
        expr::to_number(&self.value(context)?).map_err(|error| Failure::expression(&error))
    }

    /// A whole number.
    pub fn int(&self, context: &Context<'_>) -> Result<i64, Failure> {
        expr::to_int(&self.value(context)?).map_err(|error| Failure::expression(&error))
    }

    /// The literal, if it is one.
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Template::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The text of a literal.
    pub fn literal_text(&self) -> Option<Arc<str>> {
        expr::to_text(self.literal()?).ok().flatten()
    }

    /// The number of a literal.
    pub fn literal_number(&self) -> Option<f64> {
        expr::to_number(self.literal()?).ok()
    }

    /// The value of an expression that reads nothing, so that it can be checked.
    pub fn constant(&self) -> Option<Value> {
        match self {
            Template::Literal(value) => Some(value.clone()),
            Template::Expression(expression) => expression.evaluate(&NoContext).ok(),
            _ => None,
        }
    }
}

/// What several values read.
pub fn usage_of<'t>(templates: impl IntoIterator<Item = &'t Template>) -> Usage {
    templates.into_iter().fold(Usage::default(), |all, template| all.and(template.usage()))
}
