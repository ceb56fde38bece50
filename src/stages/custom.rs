//! Stages of the user's own: a program that uses margay as a library adds them to the table by name, routes name them
//! in `DelegatingHandlers`, and their settings stand in `HandlerSettings` under the same name.

use crate::{
    config::{Diagnostics, Node, Span, codes, de},
    pipeline::{
        exchange::Exchange,
        response::RouteResult,
        stage::{BoxStage, Stage, Step},
    },
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub const NAME: &str = "custom";

/// What is needed to make a stage: where its settings are and where mistakes are told.
pub struct StageRequest<'o> {
    /// The settings as written; none: the stage gets its defaults.
    pub settings: Option<&'o Node>,
    /// Where the route names the stage.
    pub stage_name: Span,
    pub options: de::Options,
}

type StageFactory = dyn Fn(&StageRequest, &mut Diagnostics) -> Option<BoxStage> + Send + Sync;

/// The stages that a program adds.
#[derive(Clone, Default)]
pub struct StageRegistry {
    kinds: Vec<(String, Arc<StageFactory>)>,
}

impl std::fmt::Debug for StageRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl StageRegistry {
    /// Adds a stage under a name. Its settings are read with all the care of our own: unknown keys and wrong types are
    /// told with their place. `make` says in a sentence why settings that can be read are not acceptable.
    pub fn add<S, K, F>(&mut self, name: impl Into<String>, make: F)
    where
        S: DeserializeOwned + Default,
        K: Stage + 'static,
        F: Fn(S) -> Result<K, String> + Send + Sync + 'static,
    {
        let name = name.into();
        let title = name.clone();
        let make = move |order: &StageRequest, diagnostics: &mut Diagnostics| {
            let settings =
                order.settings.map_or_else(S::default, |node| de::read(node, diagnostics, order.options));
            match make(settings) {
                Ok(stage) => Some(Box::new(stage) as BoxStage),
                Err(why) => {
                    let place = order.settings.map_or(order.stage_name, |node| node.span);
                    diagnostics.error(
                        codes::BAD_HANDLER_SETTINGS,
                        place,
                        format!("the stage \"{title}\" does not take its settings: {why}"),
                    );
                    None
                }
            }
        };
        self.kinds.retain(|(known, _)| *known != name);
        self.kinds.push((name, Arc::new(make)));
    }

    /// The names, in the order in which they were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is such a stage. Names are compared with regard to case, as in Ocelot.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Makes the stage of that name.
    pub fn build(
        &self,
        name: &str,
        order: &StageRequest,
        diagnostics: &mut Diagnostics,
    ) -> Option<CustomStage> {
        let (name, make) = self.kinds.iter().find(|(known, _)| known == name)?;
        let stage: Arc<dyn Stage> = make(order, diagnostics)?.into();
        Some(CustomStage { name: name.as_str().into(), stage })
    }
}

/// A stage of the user's own in its place on a route.
#[derive(Clone, Debug)]
pub struct CustomStage {
    name: Arc<str>,
    stage: Arc<dyn Stage>,
}

impl Stage for CustomStage {
    /// The name in the table: all handlers stand in one place, in the order in which the route names them.
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
