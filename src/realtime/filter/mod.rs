//! Filters of the data plane: a subset of OData expressions about a connection (`userId eq 'ann' and 'g' in groups`).
//!
//! Entry points: [`Filter::parse`], once per request, and [`Filter::matches`] for each connection, which does not allocate
//! once `scratch` has grown. Size, number of clauses and depth are limited. [`FilterCache`] keeps compiled
//! filters by their text, within a bound.

mod cache;
mod error;
mod evaluate;
mod expression;
#[expect(clippy::module_inception)]
mod filter;
mod parse;
#[cfg(test)]
mod tests;
mod token;

pub use cache::FilterCache;
pub use error::FilterError;
pub use evaluate::FilterSubject;
pub use filter::Filter;
