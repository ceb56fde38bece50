//! The parts of a request and a response that rules inspect.

pub mod arguments;
pub mod head;
pub mod parts;
