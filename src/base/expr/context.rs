//! What expressions read of an exchange.

use super::{error::EvalError, member::Member, value::Value};
use bytes::Bytes;

/// What an expression reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub request_body: bool,
    pub response_body: bool,
    /// Anything of the response.
    pub response: bool,
    /// Anything of the request but its body.
    pub request: bool,
}

impl Usage {
    /// Adds what a member reads.
    pub(super) fn add(&mut self, member: Member) {
        self.request_body |= member == Member::RequestBody;
        self.response_body |= member == Member::ResponseBody;
        self.response |= member.path().starts_with("Response");
        self.request |= member.path().starts_with("Request.");
    }

    /// The sum of two expressions.
    #[must_use]
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            request_body: self.request_body || other.request_body,
            response_body: self.response_body || other.response_body,
            response: self.response || other.response,
            request: self.request || other.request,
        }
    }
}

/// The exchange, as expressions read it.
pub trait ExpressionContext {
    /// The value of a leaf; whether an object exists: null or [`Value::Object`].
    fn member(&self, member: Member) -> Result<Value, EvalError>;

    /// The value of a name in a map; of headers and query parameters a list of texts.
    fn entry(&self, map: Member, name: &str) -> Result<Option<Value>, EvalError>;

    /// All names of a map with their values.
    fn entries(&self, map: Member) -> Result<Vec<(String, Value)>, EvalError>;

    /// The collected body; `None` without one.
    fn body(&self, body: Member) -> Result<Option<Bytes>, EvalError>;
}

/// No exchange: for constants.
#[derive(Clone, Copy, Debug)]
pub struct NoContext;

impl ExpressionContext for NoContext {
    fn member(&self, _member: Member) -> Result<Value, EvalError> {
        Err(EvalError::new("there is no request"))
    }

    fn entry(&self, _map: Member, _name: &str) -> Result<Option<Value>, EvalError> {
        Err(EvalError::new("there is no request"))
    }

    fn entries(&self, _map: Member) -> Result<Vec<(String, Value)>, EvalError> {
        Err(EvalError::new("there is no request"))
    }

    fn body(&self, _body: Member) -> Result<Option<Bytes>, EvalError> {
        Err(EvalError::new("there is no request"))
    }
}
