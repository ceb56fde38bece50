//! `SecurityOptions` as the document has them. In `GlobalConfiguration` they have no `RouteKeys`, and a route with
//! its own list replaces them as a whole.

use crate::config::{
    options::{GlobalOptions, Options},
    values::{List, Setting, items},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// IP filter: client addresses that are allowed or blocked: single addresses, ranges (`10.0.0.1-9`), or networks
/// (`10.0.0.0/8`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecurityOptions {
    /// Only these addresses are allowed. Default: `[]`, all. Source: Ocelot, Security.
    #[serde(rename = "IPAllowedList")]
    pub allowed: List<String>,
    /// These addresses are blocked. Default: `[]`, none. Source: Ocelot, Security.
    #[serde(rename = "IPBlockedList")]
    pub blocked: List<String>,
    /// Whether the allowed addresses are excluded from the blocked ones. Default: false. Source: Ocelot, Security.
    #[serde(rename = "ExcludeAllowedFromBlocked")]
    pub exclude_allowed: Setting<bool>,
}

impl Options for SecurityOptions {
    type Global = SecurityOptions;

    /// Only an entry of a list counts as set.
    fn is_empty(&self) -> bool {
        items(&self.allowed).is_empty() && items(&self.blocked).is_empty()
    }

    fn inherit_from(&self, _: &Self) -> Self {
        self.clone()
    }
}

impl GlobalOptions for SecurityOptions {
    type Options = SecurityOptions;

    fn options(&self) -> SecurityOptions {
        self.clone()
    }

    fn route_keys(&self) -> &List<String> {
        &None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::testing::merged;

    #[test]
    fn lists_of_the_route_replace_the_global_ones_as_a_whole() {
        let global = r#"{ "IPBlockedList": ["1.1.1.1"], "ExcludeAllowedFromBlocked": true }"#;
        let of = |own: &str| merged::<SecurityOptions>(Some(global), Some(own), None).expect("options");
        let inherited = of(r#"{ "ExcludeAllowedFromBlocked": false }"#);
        assert!(inherited.exclude_allowed.expect("the global one").value);
        let own = of(r#"{ "IPAllowedList": ["2.2.2.2"] }"#);
        assert!(own.blocked.is_none() && own.exclude_allowed.is_none());
    }
}
