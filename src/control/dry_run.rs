//! Dry runs on a candidate: `margay explain` and the tests of the configuration. The plan is built as at startup, and
//! nothing is started.

use super::{candidate::Candidate, service_names::NAMES};
use crate::config::suggest;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::internal::{InternalService, ServiceRegistry};
use crate::plan::blueprint::Blueprint;
use crate::plan::explain::{Explainer, Explanation};
use crate::plan::route_tests::{self, TestResult};
use crate::plan::{Plan, ProcessState, build};
use crate::telemetry::Metrics;
use axum::Router;
use tokio::runtime::Runtime;

/// A candidate with a plan that serves no traffic. Not for use within a runtime.
pub struct DryRun<'c> {
    candidate: &'c Candidate,
    blueprint: &'c Blueprint,
    plan: Plan,
    runtime: Runtime,
    state: ProcessState,
}

impl<'c> DryRun<'c> {
    /// Builds the plan.
    ///
    /// # Errors
    /// A sentence: the configuration has errors, or its plan cannot be built.
    pub fn new(candidate: &'c Candidate) -> Result<DryRun<'c>, String> {
        let Some(blueprint) = &candidate.blueprint else {
            return Err("the configuration has errors".to_owned());
        };
        let mut services = ServiceRegistry::default();
        NAMES.into_iter().for_each(|name| services.add(InternalService::new(name, Router::new())));
        let state = ProcessState::new(Metrics::new(1), usize::MAX).with_services(services);
        state.agents.reconfigure(&blueprint.tunnels);
        let plan = build(blueprint, candidate.id.clone(), &state)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        Ok(DryRun { candidate, blueprint, plan, runtime, state })
    }

    /// Explains a request; without a listener, it is received by the first.
    ///
    /// # Errors
    /// The listener does not exist.
    pub fn explain(&self, mut exchange: Exchange) -> Result<Explanation, String> {
        let mut names = self.blueprint.listeners.iter().map(|listener| &*listener.name);
        match &exchange.client.listener {
            None => exchange.client.listener = names.next().map(Into::into),
            Some(name) if names.clone().any(|other| *other == **name) => {}
            Some(name) => {
                let known = suggest::list(&names.collect::<Vec<_>>());
                return Err(format!("unknown listener \"{name}\"; the listeners are {known}"));
            }
        }
        // Lets a discovery provider resolve the service; nothing else has time to start.
        self.state.background.attach(self.runtime.handle().clone());
        Ok(self.runtime.block_on(self.explainer().explain(exchange)))
    }

    /// Runs the tests of the configuration, without discovery.
    pub fn tests(&self) -> Vec<TestResult> {
        let explainer = self.explainer();
        let run = |test| self.runtime.block_on(route_tests::run(&explainer, test));
        self.blueprint.tests.iter().map(run).collect()
    }

    fn explainer(&self) -> Explainer<'_> {
        Explainer { plan: &self.plan, blueprint: self.blueprint, sources: &self.candidate.loaded.sources }
    }
}

/// Runs the tests of a candidate; the error is a sentence.
///
/// # Errors
/// The configuration has errors, or its plan cannot be built.
pub fn run_tests(candidate: &Candidate) -> Result<Vec<TestResult>, String> {
    match &candidate.blueprint {
        Some(blueprint) if blueprint.tests.is_empty() => Ok(Vec::new()),
        _ => DryRun::new(candidate).map(|run| run.tests()),
    }
}

/// The tests that a candidate fails, if its configuration must pass them before it is applied.
pub fn failed_tests(candidate: &Candidate) -> Option<Vec<TestResult>> {
    candidate.blueprint.as_ref().filter(|blueprint| blueprint.tests_before_apply)?;
    // A plan that cannot be built is reported when it is activated.
    let results = run_tests(candidate).unwrap_or_default();
    let failed: Vec<_> = results.into_iter().filter(|result| !result.passed).collect();
    (!failed.is_empty()).then_some(failed)
}
