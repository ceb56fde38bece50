//! The difference between two configurations in words: what changes for traffic. decK's `diff` does this for Kong,
//! `terraform plan` for infrastructure.
//!
//! Entry point: [`diff()`], called by `cli` (`margay diff`) and `control` (history, the watch of a change). The words come
//! from the documents: the settings of a route are its own, those of its policies and those inherited from
//! `GlobalConfiguration`. Whether two documents differ is decided by what they compile to: a default that is written out,
//! a moved option or a reordering without effect is no change. Pure; owns nothing.

mod change;
mod compiled;
mod configuration;
mod flatten;
mod order;
mod routes;
mod schema;
mod sections;

pub use change::{Change, ChangeKind, Diff};
pub use configuration::Configuration;

/// What changes for traffic from `old` to `new`.
pub fn diff(old: &Configuration, new: &Configuration) -> Diff {
    let mut diff = Diff::default();
    routes::compare(old, new, &mut diff);
    sections::compare(old, new, &mut diff);
    diff
}

#[cfg(test)]
mod tests;
