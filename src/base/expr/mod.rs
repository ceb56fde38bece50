//! Policy expressions in CEL (Common Expression Language): parsed by the `cel` crate, resolved and evaluated here.
//!
//! The evaluation is our own for three reasons: maps keep the order of their members, as JSON and XML documents require;
//! `context` is resolved when an expression is compiled and read lazily, so that no map of all headers is made to read
//! one; and every evaluation has a bound on its steps. Entry points: [`Expression::compile`] and [`Expression::evaluate`].

mod compile;
mod comprehension;
mod context;
mod convert;
mod csharp_hint;
mod digits;
mod error;
mod evaluate;
mod functions;
mod machine;
mod member;
mod node;
mod number;
mod operators;
mod reserved;
mod timestamp;
mod value;
pub mod xml;
pub mod xml_json;

pub use compile::{Expression, MAX_EXPRESSION_BYTES};
pub use context::{ExpressionContext, NoContext, Usage};
pub use convert::{from_json, to_bool, to_int, to_json, to_number, to_text, type_name};
pub use digits::{Digits, parse_json};
pub use error::{CompileError, EvalError};
pub use functions::{decode_jwt, query_map, url_parts, url_value};
pub use member::Member;
pub use timestamp::{format_pattern, format_rfc3339, parse_rfc3339};
pub use value::{HeldResponse, Map, ResponsePart, Value};

#[cfg(test)]
mod tests;
