//! Numbers, strings and enum variants, converted from whichever JSON type they are written as.

use super::access::NodeReader;
use super::{DeserializeError, NodeDeserializer};
use crate::config::codes;
use crate::config::node::Value;
use crate::config::suggest;
use serde::de::Visitor;

impl<'de> NodeDeserializer<'de, '_, '_> {
    /// An integer within bounds, else a diagnostic and 0.
    pub(super) fn parse_integer(&self, min: i128, max: i128) -> i128 {
        let text = match &self.node.value {
            Value::Number(text) => text,
            Value::String(text) => text.trim(),
            _ => "",
        };
        match text.parse::<i128>() {
            Ok(number) if (min..=max).contains(&number) => return number,
            Ok(_) => self.out_of_range(&format!("an integer from {min} to {max}")),
            Err(_) if text.parse::<f64>().is_ok_and(f64::is_finite) => self.out_of_range("an integer"),
            Err(_) => self.wrong_type("an integer"),
        }
        0
    }

    fn out_of_range(&self, expected: &str) {
        self.unexpected_value(codes::OUT_OF_RANGE, expected, &[]);
    }

    pub(super) fn parse_float(&self) -> f64 {
        let number = match &self.node.value {
            Value::Number(text) => text.parse::<f64>().ok(),
            Value::String(text) if text.bytes().any(|b| b.is_ascii_digit()) => {
                text.trim().parse::<f64>().ok()
            }
            _ => None,
        };
        number.filter(|n| n.is_finite()).unwrap_or_else(|| {
            self.wrong_type("a number");
            0.0
        })
    }

    /// A string; numbers and booleans are accepted, because every value of .NET configuration is a string.
    pub(super) fn parse_string(&self) -> &'de str {
        match &self.node.value {
            Value::String(text) | Value::Number(text) => text,
            Value::Bool(value) => match (value, self.context.options.ocelot) {
                (true, true) => "True",
                (false, true) => "False",
                (true, false) => "true",
                (false, false) => "false",
            },
            _ => {
                self.wrong_type("a string");
                ""
            }
        }
    }

    /// A variant name, case-insensitive; else a diagnostic and the first variant.
    pub(super) fn parse_enum(&self, variants: &'static [&'static str]) -> &'static str {
        let fallback = variants.first().copied().unwrap_or_default();
        let Some(text) = self.node.as_str() else {
            self.wrong_type(&suggest::one_of(variants));
            return fallback;
        };
        let exact = variants.iter().find(|v| **v == text);
        let found = exact.or_else(|| variants.iter().find(|v| v.eq_ignore_ascii_case(text)));
        found.copied().unwrap_or_else(|| {
            self.unknown_choice(text, variants);
            fallback
        })
    }

    fn unknown_choice(&self, text: &str, variants: &[&str]) {
        let mut help = Vec::new();
        if let Some(name) = suggest::closest_match(text, variants.iter().copied()) {
            help.push(format!("did you mean \"{name}\"?"));
        }
        self.unexpected_value(codes::UNKNOWN_CHOICE, &suggest::one_of(variants), &help);
    }

    /// A number for a type that accepts any value.
    pub(super) fn number_as_any<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DeserializeError> {
        let Value::Number(text) = &self.node.value else { return visitor.visit_unit() };
        if let Ok(number) = text.parse::<u64>() {
            return visitor.visit_u64(number);
        }
        if let Ok(number) = text.parse::<i64>() {
            return visitor.visit_i64(number);
        }
        visitor.visit_f64(text.parse::<f64>().unwrap_or_default())
    }
}
