//! Custom stages (Envoy filters, nginx modules, ASP.NET delegating handlers): a program that uses margay as a library
//! registers them by name. Routes list the names in `DelegatingHandlers`, and their settings in `HandlerSettings`.

use super::feature::{BuildContext, StageConfig};
use crate::{
    config::{Diagnostics, Node, Span, codes, de, options::shared_settings},
    pipeline::{
        exchange::Exchange,
        response::RouteResult,
        stage::{BoxStage, Stage, Step},
    },
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Name of the stage in the metric label `stage`, in `margay explain` and in the reference.
pub const NAME: &str = "custom";

shared_settings! { $ custom_stage_settings {
    /// Names of the custom stages that the route runs, in this order. Default: `[]`. Source: Ocelot, Delegating
    /// Handlers.
    #[serde(rename = "DelegatingHandlers")]
    pub handlers: List<String>,
    /// Settings of the custom stages named in `DelegatingHandlers`: stage name → object. Default: `{}`, the defaults of
    /// each stage. Source: margay, docs/custom-stages.md.
    pub handler_settings: Setting<StageSettings>,
} }

/// The use of a custom stage by a route: its settings, and the position for diagnostics.
pub struct StageRequest<'o> {
    /// The settings of the document; `None`: the defaults.
    pub settings: Option<&'o Node>,
    /// Position of the name in the route.
    pub stage_name: Span,
    /// How settings are deserialized.
    pub options: de::Options,
}

type StageFactory = dyn Fn(&StageRequest, &mut Diagnostics) -> Option<BoxStage> + Send + Sync;

/// The custom stages of a program, by name.
///
/// ```
/// use margay::{
///     pipeline::{exchange::Exchange, stage::{Stage, Step}},
///     stages::custom::StageRegistry,
/// };
///
/// #[derive(serde::Deserialize, Default)]
/// #[serde(default)]
/// struct Settings {
///     value: String,
/// }
///
/// #[derive(Debug)]
/// struct Mark(Vec<u8>);
///
/// impl Stage for Mark {
///     fn name(&self) -> &'static str {
///         "Mark"
///     }
///
///     fn on_request(&self, exchange: &mut Exchange) -> Step {
///         exchange.request.set(b"X-Mark", &self.0);
///         Step::Next
///     }
///
///     fn describe(&self) -> String {
///         "sets X-Mark".to_owned()
///     }
/// }
///
/// let mut registry = StageRegistry::default();
/// registry.add("Mark", |settings: Settings| match settings.value.is_empty() {
///     true => Err("Value must not be empty".to_owned()),
///     false => Ok(Mark(settings.value.into_bytes())),
/// });
/// assert!(registry.contains("Mark"));
/// ```
#[derive(Clone, Default)]
pub struct StageRegistry {
    factories: Vec<(String, Arc<StageFactory>)>,
}

impl std::fmt::Debug for StageRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl StageRegistry {
    /// Adds a stage; a stage with the same name is replaced. Unknown settings and wrong types are reported as for built-in
    /// stages. `make` builds the stage of a route from its settings, or from their defaults.
    ///
    /// # Errors
    ///
    /// `make` returns the reason, one sentence, why settings are invalid. It becomes a diagnostic at the position of the
    /// settings; the configuration is rejected.
    pub fn add<S, K, F>(&mut self, name: impl Into<String>, make: F)
    where
        S: DeserializeOwned + Default,
        K: Stage + 'static,
        F: Fn(S) -> Result<K, String> + Send + Sync + 'static,
    {
        let name = name.into();
        let stage_name = name.clone();
        let make = move |request: &StageRequest, diagnostics: &mut Diagnostics| {
            let settings =
                request.settings.map_or_else(S::default, |node| de::read(node, diagnostics, request.options));
            match make(settings) {
                Ok(stage) => Some(Box::new(stage) as BoxStage),
                Err(error) => {
                    let span = request.settings.map_or(request.stage_name, |node| node.span);
                    diagnostics.error(
                        codes::BAD_HANDLER_SETTINGS,
                        span,
                        format!("invalid settings of the stage \"{stage_name}\": {error}"),
                    );
                    None
                }
            }
        };
        self.factories.retain(|(known, _)| *known != name);
        self.factories.push((name, Arc::new(make)));
    }

    /// The names, in the order of registration.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.factories.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a stage is registered. Names are case-sensitive, as in Ocelot.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Builds the stage of a route. `None`: the name is unknown, or `diagnostics` has an error about its settings.
    pub fn build(
        &self,
        name: &str,
        request: &StageRequest,
        diagnostics: &mut Diagnostics,
    ) -> Option<CustomStage> {
        let (name, make) = self.factories.iter().find(|(known, _)| known == name)?;
        let stage: Arc<dyn Stage> = make(request, diagnostics)?.into();
        Some(CustomStage { name: name.as_str().into(), stage })
    }
}

/// The custom stages of a route, in the order in which the route names them.
pub type CustomStages = Vec<CustomStage>;

impl StageConfig for CustomStages {
    type State = ();

    fn build(&self, (): &(), _: &BuildContext) -> Vec<BoxStage> {
        self.iter().map(|stage| Box::new(stage.clone()) as BoxStage).collect()
    }
}

/// A custom stage of a route.
#[derive(Clone, Debug)]
pub struct CustomStage {
    name: Arc<str>,
    stage: Arc<dyn Stage>,
}

impl Stage for CustomStage {
    /// The name in the table of stages: all custom stages run at one position, in the order of the route.
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_request(&self, exchange: &mut Exchange) -> Step {
        self.stage.on_request(exchange)
    }

    fn on_response(&self, exchange: &mut Exchange, outcome: &mut RouteResult) {
        self.stage.on_response(exchange, outcome);
    }

    fn describe(&self) -> String {
        format!("{}: {}", self.name, self.stage.describe())
    }
}
