//! C# in XML documents, translated to CEL expression by expression.
//!
//! A small parser of our own rather than `tree-sitter-c-sharp`: policy expressions use a narrow part of the language, a cast in
//! front of a generic call is read as a comparison by that grammar, and the program stays 5.8 MB smaller. What the translator
//! does not understand is an error with the reason; nothing is guessed.

mod calls;
mod construct;
mod lexer;
mod methods;
mod new_expression;
mod parser;
mod scan;
mod statements;
mod syntax;
mod translate;
mod translator;

pub use scan::end_of_expression;
use translator::Translator;

/// Translates `@( )` or `@{ }` to CEL in `@( )`.
///
/// # Errors
///
/// What was not understood.
pub fn translate(text: &str) -> Result<String, String> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix("@(").and_then(|rest| rest.strip_suffix(')')) {
        let expression = parser::parse_expression(inner)?;
        return Translator.expression(&expression).map(|cel| format!("@({cel})"));
    }
    let inner =
        text.strip_prefix("@{").and_then(|rest| rest.strip_suffix('}')).ok_or("it is not an expression")?;
    Translator.block(&statements::parse_block(inner)?).map(|cel| format!("@({cel})"))
}

#[cfg(test)]
mod tests;
