//! margay as a library: the same program, with stages of your own in its table.

use crate::{pipeline::stage::Stage, stages::custom::StageRegistry};
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// The gateway as a program of your own; `docs/custom-stages.md` builds one in five minutes.
///
/// ```no_run
/// use margay::{Gateway, pipeline::{exchange::Exchange, stage::{Stage, Step}}};
///
/// #[derive(Default, serde::Deserialize)]
/// #[serde(rename_all = "PascalCase", default)]
/// struct Settings {
///     header: String,
/// }
///
/// #[derive(Debug)]
/// struct Tenant(Vec<u8>);
///
/// impl Stage for Tenant {
///     fn name(&self) -> &'static str {
///         "Tenant"
///     }
///     fn on_request(&self, exchange: &mut Exchange) -> Step {
///         exchange.request.set(&self.0, b"acme");
///         Step::Next
///     }
///     fn describe(&self) -> String {
///         "says whose request it is".into()
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     let make = |settings: Settings| Ok(Tenant(settings.header.into_bytes()));
///     Gateway::builder().add_stage("Tenant", make).main()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gateway;

impl Gateway {
    /// A gateway with the stages that come with it.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// What is added to the gateway before it runs.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    stages: StageRegistry,
}

impl Builder {
    /// Adds a stage: routes name it in `DelegatingHandlers`, its settings stand in `HandlerSettings`. `make` gets the
    /// settings, or their defaults, and says in a sentence why it does not take them.
    #[must_use]
    pub fn add_stage<S, K, F>(mut self, name: impl Into<String>, make: F) -> Self
    where
        S: DeserializeOwned + Default,
        K: Stage + 'static,
        F: Fn(S) -> Result<K, String> + Send + Sync + 'static,
    {
        self.stages.add(name, make);
        self
    }

    /// Runs the command line: `run`, `check`, `explain` and all the others, with these stages.
    pub fn main(self) -> ExitCode {
        super::main_with(&self.stages)
    }
}
