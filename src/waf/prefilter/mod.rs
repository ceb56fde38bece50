//! Which rules can match a value at all, from one pass over it: texts and bytes that a match must contain.

pub mod chains;
pub mod requirements;
pub mod scanner;
