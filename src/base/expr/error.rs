//! Why an expression has no value.

/// The reason for the log; it is never sent to a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub String);

impl EvalError {
    /// An error with this reason.
    pub fn new(reason: impl Into<String>) -> EvalError {
        EvalError(reason.into())
    }

    /// A function or an operator without an overload for its arguments.
    pub fn types(what: &str, found: &[&str]) -> EvalError {
        EvalError(format!("{what} is not defined for {}", found.join(", ")))
    }
}

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileError {
    pub message: String,
    /// An unknown name, and the names that are known in its place.
    pub unknown: Option<(String, Vec<&'static str>)>,
    /// How to write it.
    pub help: Option<String>,
}

impl CompileError {
    pub(super) fn new(message: impl Into<String>) -> CompileError {
        CompileError { message: message.into(), ..CompileError::default() }
    }

    pub(super) fn unknown(what: &str, name: &str, known: Vec<&'static str>) -> CompileError {
        CompileError {
            message: format!("unknown {what} `{name}`"),
            unknown: Some((name.to_owned(), known)),
            help: None,
        }
    }
}
