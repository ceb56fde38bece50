//! Errors of filters, with the texts that clients of the data plane expect.

use std::fmt;

/// Why a filter is invalid. `Display` is the message of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError(String);

impl FilterError {
    /// Parsing failed at this byte of the text.
    pub(super) fn syntax(text: &str, at: usize) -> FilterError {
        let position = text.get(..at).unwrap_or(text).chars().count();
        FilterError(format!(
            "Invalid syntax for '{text}': Syntax error at position {position} in '{text}'. (Parameter 'filter')"
        ))
    }

    /// A part of the expression has another type than the one that is expected there.
    pub(super) fn wrong_type(part: &str, found: &str, expected: &str) -> FilterError {
        FilterError(format!(
            "Invalid syntax for '{part}': Type '{found}', expect '{expected}'. (Parameter 'filter')"
        ))
    }

    /// The filter exceeds a limit.
    pub(super) fn limit(problem: &str) -> FilterError {
        FilterError(format!("Invalid filter: {problem}. (Parameter 'filter')"))
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}
