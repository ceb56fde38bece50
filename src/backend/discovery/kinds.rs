//! The types of registries, one line each.

use super::{Provider, Settings, consul::Consul};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// A type of registry.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// As `Type` names it, compared without regard to case.
    pub name: &'static str,
    /// What follows services in such a registry.
    pub provider: fn(&Settings) -> Arc<dyn Provider>,
}

/// Every type there is; the first is the usual one.
pub static KINDS: &[Kind] = &[
    Kind { name: "Consul", provider: |settings| Arc::new(Consul::watching(settings)) },
    Kind { name: "PollConsul", provider: |settings| Arc::new(Consul::polling(settings)) },
];

impl Kind {
    /// The type of that name.
    pub fn of(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
