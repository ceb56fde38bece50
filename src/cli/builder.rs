//! margay as a library: the same program with custom stages (middleware, filters, plugins).

use crate::{pipeline::stage::Stage, stages::custom::StageRegistry};
use serde::de::DeserializeOwned;
use std::process::ExitCode;

/// The gateway as a library: a program that adds custom stages. `docs/custom-stages.md` builds one in five minutes.
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
///         "sets the tenant".into()
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
    /// A gateway with the built-in stages only.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Collects custom stages before the gateway runs.
///
/// ```
/// use margay::{Builder, pipeline::{exchange::Exchange, stage::{Stage, Step}}};
///
/// #[derive(Debug, Default, serde::Deserialize)]
/// #[serde(rename_all = "PascalCase", default)]
/// struct Greeting {
///     text: String,
/// }
///
/// impl Stage for Greeting {
///     fn name(&self) -> &'static str {
///         "Greeting"
///     }
///     fn on_request(&self, exchange: &mut Exchange) -> Step {
///         exchange.request.set(b"X-Greeting", self.text.as_bytes());
///         Step::Next
///     }
///     fn describe(&self) -> String {
///         format!("sets X-Greeting to {}", self.text)
///     }
/// }
///
/// /// The settings are the stage itself; a longer text is an error of the configuration.
/// fn with_greeting(builder: Builder) -> Builder {
///     builder.add_stage("Greeting", |greeting: Greeting| match greeting.text.len() {
///         ..=20 => Ok(greeting),
///         n => Err(format!("expected at most 20 bytes, found {n}")),
///     })
/// }
/// # let _ = with_greeting(margay::Gateway::builder());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    stages: StageRegistry,
}

impl Builder {
    /// Adds a stage: routes name it in `DelegatingHandlers`, `HandlerSettings` contains its settings. `make` receives the
    /// settings, or their defaults, once for each route.
    ///
    /// # Errors
    ///
    /// An error of `make` is a diagnostic at the settings: the configuration is rejected with this text.
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

    /// Runs the command line (`run`, `check`, `explain` and all other commands) with these stages. Blocks until the command
    /// ends: `run` until the gateway has drained. Exit codes: 0 success, 1 failure, 2 invalid configuration, 64 usage.
    pub fn main(self) -> ExitCode {
        super::main_with(&self.stages)
    }
}
